"""Families of pretrained MoE language models: what a `config.json` of each builds, tensor by tensor, as transformers does.

Names, shapes and defaults are those of transformers 5.23; the tests build its models and compare. A new family is a function
and a row in `FAMILIES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from interconnected_ai.errors import nearest_first
from interconnected_ai.mixtures import MIXTURES
from interconnected_ai.planner.pretrained import recent
from interconnected_ai.planner.pretrained.attention import Attention, GatedDeltaNet
from interconnected_ai.planner.pretrained.blueprint import Blueprint
from interconnected_ai.planner.pretrained.parts import (
    after_dense,
    biased_heads_of,
    blueprint_of,
    deepseek_experts_of,
    every_step,
    experts_of,
    heads_of,
    in_every_layer,
    latent_in_every_layer,
    n_layers_of,
    qwen_experts_of,
    with_norms,
)
from interconnected_ai.planner.pretrained.settings import Settings


def _qwen3_moe(settings: Settings) -> Blueprint:
    heads = with_norms(biased_heads_of(settings))
    slides = settings.flag("use_sliding_window", False)
    attentions = in_every_layer(settings, heads, lambda n: slides and settings.has("sliding_window"))
    # saved as num_local_experts since transformers 5.5
    experts = experts_of(settings, "num_experts", "num_local_experts", d_ff="moe_intermediate_size")
    return blueprint_of(settings, attentions, experts, every_step(settings))


def _qwen2_moe(settings: Settings) -> Blueprint:
    slides, until = (
        settings.flag("use_sliding_window", False),
        settings.count("max_window_layers", default=28, at_least=0),
    )
    heads = heads_of(settings, bias=settings.flag("qkv_bias", True))
    attentions = in_every_layer(settings, heads, lambda n: slides and n % 2 == 0 and n < until)
    return blueprint_of(settings, attentions, qwen_experts_of(settings), every_step(settings))


def _qwen3_next(settings: Settings) -> Blueprint:
    n_layers, every = n_layers_of(settings), settings.count("full_attention_interval", default=4)
    heads = with_norms(biased_heads_of(settings, 256, gated=True))
    sizes = "num_key_heads num_value_heads key_head_dim value_head_dim conv_kernel_dim".split()
    recurrent = GatedDeltaNet(*(settings.count(f"linear_{size}") for size in sizes))
    if recurrent.num_value_heads % recurrent.num_key_heads:
        raise settings.wrong("linear_num_value_heads", "needs a multiple of linear_num_key_heads")
    types = settings.names("layer_types", n_layers, ("full_attention", "linear_attention"))
    full = [kind == "full_attention" for kind in types] if types else [(n + 1) % every == 0 for n in range(n_layers)]
    attentions: list[Attention] = [heads if looks_back else recurrent for looks_back in full]
    return blueprint_of(settings, attentions, qwen_experts_of(settings), every_step(settings), norm="float32 rms")


def _mixtral(settings: Settings) -> Blueprint:
    experts = experts_of(settings, "num_local_experts", "num_experts")
    return blueprint_of(settings, in_every_layer(settings, heads_of(settings)), experts)


def _olmoe(settings: Settings) -> Blueprint:
    heads, d_model = biased_heads_of(settings), settings.count("hidden_size")
    # its norms span all heads, and take their size from hidden_size even where head_dim says otherwise
    heads = replace(heads, q_norm=d_model, k_norm=d_model // heads.n_heads * heads.num_kv_heads)
    experts = experts_of(settings, "num_experts", "num_local_experts")
    return blueprint_of(settings, in_every_layer(settings, heads), experts)


def _minimax_m2(settings: Settings) -> Blueprint:
    heads = heads_of(settings, 128, partly_rotated=True)
    heads = replace(heads, q_norm=heads.n_heads * heads.head_dim, k_norm=heads.num_kv_heads * heads.head_dim)
    experts = experts_of(settings, "num_local_experts", "num_experts", correction="as the weights")
    return blueprint_of(settings, in_every_layer(settings, heads), experts)


def _gpt_oss(settings: Settings) -> Blueprint:
    heads = biased_heads_of(settings, 64, default=True, sinks=True, fused=False)
    attentions = in_every_layer(settings, heads, lambda n: n % 2 == 0)
    experts = experts_of(settings, "num_local_experts", "num_experts", bias=True, router="router")
    return blueprint_of(settings, attentions, experts, norm="float32 rms")


def _phimoe(settings: Settings) -> Blueprint:
    attentions = in_every_layer(settings, biased_heads_of(settings))
    experts = experts_of(settings, "num_local_experts", router="router")
    return blueprint_of(settings, attentions, experts, norm="layer", head_bias=settings.flag("lm_head_bias", False))


def _granitemoe(settings: Settings) -> Blueprint:
    attentions = in_every_layer(settings, biased_heads_of(settings))
    experts = experts_of(settings, "num_local_experts", block="block_sparse_moe", router="router")
    return blueprint_of(settings, attentions, experts)


def _deepseek_v2(settings: Settings) -> Blueprint:
    groups = settings.values.get("topk_method") == "group_limited_greedy"
    mlp_bias = settings.flag("mlp_bias", False)
    experts = deepseek_experts_of(settings, "num_experts", groups=groups, mlp_bias=mlp_bias)
    n_heads = settings.count("num_attention_heads")
    if settings.count("hidden_size") % n_heads:
        raise settings.wrong("hidden_size", f"needs a multiple of num_attention_heads = {n_heads}")
    return blueprint_of(settings, latent_in_every_layer(settings), experts, after_dense(settings))


def _deepseek_v3(settings: Settings) -> Blueprint:
    experts = deepseek_experts_of(settings, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(settings, latent_in_every_layer(settings), experts, after_dense(settings))


def _glm4_moe(settings: Settings) -> Blueprint:
    heads = heads_of(settings, bias=settings.flag("attention_bias", False), partly_rotated=True)
    heads = with_norms(heads) if settings.flag("use_qk_norm", False) else heads
    experts = deepseek_experts_of(settings, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(settings, in_every_layer(settings, heads), experts, after_dense(settings))


FAMILIES: dict[str, Callable[[Settings], Blueprint]] = {
    "bailing_hybrid": recent.bailing_hybrid,
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v3,
    "deepseek_v32": recent.deepseek_v32,
    "dots1": recent.dots1,
    "ernie4_5_moe": recent.ernie4_5_moe,
    "gemma4_text": recent.gemma4,
    "glm4_moe": _glm4_moe,
    "glm4_moe_lite": recent.glm4_moe_lite,
    "glm_moe_dsa": recent.glm_moe_dsa,
    "gpt_oss": _gpt_oss,
    "granitemoe": _granitemoe,
    "hunyuan_v1_moe": recent.hunyuan_v1_moe,
    "jamba": recent.jamba,
    "lfm2_moe": recent.lfm2_moe,
    "llama4_text": recent.llama4,
    "mimo_v2_flash": recent.mimo_v2_flash,
    "minimax_m2": _minimax_m2,
    "minimax_m3_vl_text": recent.minimax_m3,
    "mixtral": _mixtral,
    "nemotron_h": recent.nemotron_h,
    "olmoe": _olmoe,
    "phimoe": _phimoe,
    "qwen2_moe": _qwen2_moe,
    "qwen3_5_moe_text": recent.qwen3_5_moe,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
    "qwen3_vl_moe_text": _qwen3_moe,
    "step3p5": recent.step3p5,
}

_EACH_LAYER_ITS_OWN = ("gemma4_text", "gemma4", "step3p5")  # what their layers differ in is known


def read_blueprint(values: Mapping[str, Any], source: str) -> Blueprint:
    """The model a `config.json` describes; `ConfigError` names an unknown architecture and the known ones, nearest first."""
    settings = Settings(values, source)
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise settings.error(
            "key 'model_type' is missing, or no text; copy the config.json that belongs to the weights"
        )
    names = next((row.model_types for row in MIXTURES if model_type in row.model_types), (model_type,))
    family = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if family is None:
        known = ", ".join(nearest_first(model_type, FAMILIES))
        raise settings.error(
            f"model_type {model_type!r} is no architecture the planner can size exactly; known, nearest first: {known}"
        )
    if settings.has("per_layer_config") and model_type not in _EACH_LAYER_ITS_OWN:
        raise settings.wrong("per_layer_config", "layers that differ cannot be sized here, nor built by transformers")
    return family(settings)
