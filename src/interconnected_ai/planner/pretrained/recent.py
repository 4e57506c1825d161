"""Families beyond DeepSeek, Qwen and Mixtral: sparse attention, hybrids with convolutions and state spaces, text models of
wrappers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interconnected_ai.planner.pretrained.attention import Attention, GatedDeltaNet, GroupedQueryAttention
from interconnected_ai.planner.pretrained.blueprint import Blueprint
from interconnected_ai.planner.pretrained.hybrids import (
    BlockSparseAttention,
    HeadGatedAttention,
    HeadGatedLatentAttention,
    IndexedLatentAttention,
    KimiDeltaAttention,
    Mamba,
    Mamba2,
    MixerAttention,
    NoMixer,
    ShortConvolution,
)
from interconnected_ai.planner.pretrained.parts import (
    after_dense,
    biased_heads_of,
    blueprint_of,
    deepseek_experts_of,
    experts_of,
    heads_of,
    in_every_layer,
    latent_in_every_layer,
    latent_of,
    n_layers_of,
    qwen_experts_of,
    sparse_layers,
    with_norms,
)
from interconnected_ai.planner.pretrained.settings import Settings
from interconnected_ai.planner.pretrained.weights import Piece

# Layers by their kind, as transformers 5 names them and as older files did.
_ATTENTION, _RECURRENT, _FFN = ("full_attention", "attention", "*"), ("linear_attention", "mamba", "M"), ("mlp", "-")


def deepseek_v32(settings: Settings) -> Blueprint:
    """DeepSeek-V3 with an indexer in every layer."""
    attentions = _indexed(settings, [True] * n_layers_of(settings))
    experts = deepseek_experts_of(settings, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(settings, attentions, experts, sparse_layers(settings, 3))


def glm_moe_dsa(settings: Settings) -> Blueprint:
    """GLM-5: an indexer in the layers that do not share one."""
    n_layers = n_layers_of(settings)
    types = settings.names("indexer_types", n_layers, ("full", "shared"))
    own = [kind == "full" for kind in types] if types else [True] * n_layers
    experts = deepseek_experts_of(settings, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(settings, _indexed(settings, own), experts, sparse_layers(settings, 3))


def _indexed(settings: Settings, own: list[bool]) -> list[Attention]:
    sizes = {
        "index_heads": settings.count("index_n_heads"),
        "index_dim": settings.count("index_head_dim"),
        "most": settings.count("index_topk", default=2048),
    }
    return [latent_of(settings, IndexedLatentAttention, **sizes, has_indexer=each) for each in own]


def glm4_moe_lite(settings: Settings) -> Blueprint:
    """GLM-4.7-Flash: DeepSeek-V3's parts behind one dense layer."""
    experts = deepseek_experts_of(settings, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(settings, latent_in_every_layer(settings), experts, sparse_layers(settings, 1))


def dots1(settings: Settings) -> Blueprint:
    """dots.llm1: heads with norms, DeepSeek-V3's experts."""
    heads = with_norms(biased_heads_of(settings))
    until = settings.count("max_window_layers", default=62, at_least=0)
    attentions = in_every_layer(settings, heads, lambda n: settings.has("sliding_window") and n >= until)
    experts = deepseek_experts_of(settings, "num_local_experts", groups=False, correction="float32")
    return blueprint_of(settings, attentions, experts, after_dense(settings))


def ernie4_5_moe(settings: Settings) -> Blueprint:
    """ERNIE-4.5: the correction of its router is a parameter."""
    bias = settings.flag("use_bias", False)
    attentions = in_every_layer(settings, heads_of(settings, bias=bias, out_bias=bias))
    num_experts = settings.count("moe_num_experts", "num_experts")
    num_shared = settings.count("moe_num_shared_experts", at_least=0, default=2)
    correction = Piece("gate.moe_statics.e_score_correction_bias", (1, num_experts))
    experts = experts_of(
        settings, "moe_num_experts", "num_experts", d_ff="moe_intermediate_size", top_k=("moe_k", "num_experts_per_tok"),
        num_shared=num_shared, d_ff_shared=num_shared * settings.count("moe_intermediate_size"), mlp_bias=bias,
        more_router=(correction,), float32_router=True,
    )  # fmt: skip
    last, every = n_layers_of(settings) - 1, settings.count("moe_layer_interval", default=1)
    end = settings.values.get("moe_layer_end_index")
    until = last if end in (None, -1) else settings.count("moe_layer_end_index")
    start = settings.count("moe_layer_start_index", at_least=0, default=1)
    layers = [n for n in range(start, min(until, last) + 1) if (n + 1) % every == 0]
    return blueprint_of(settings, attentions, experts, layers, tied=True)


def hunyuan_v1_moe(settings: Settings) -> Blueprint:
    """Hunyuan-A13B: one expert beside the routed ones, as wide as one of them."""
    norms = ("query_layernorm", "key_layernorm")
    heads = replace(with_norms(biased_heads_of(settings)), norm_names=norms)
    alike = Settings({**settings.values, "moe_topk": _same_everywhere(settings, "moe_topk")}, settings.source)
    d_ff = settings.count("intermediate_size")
    experts = experts_of(
        alike, "num_experts", "num_local_experts", top_k=("moe_topk", "num_experts_per_tok"), num_shared=1,
        d_ff_shared=d_ff, shared="shared_mlp", router="gate.wg", linear_router=True,
    )  # fmt: skip
    return blueprint_of(settings, in_every_layer(settings, heads), experts)


def _same_everywhere(settings: Settings, key: str) -> Any:
    """A number that the file may give once for each layer."""
    value = settings.values.get(key)
    if not isinstance(value, list):
        return value
    if len(set(value)) != 1:
        raise settings.wrong(key, "layers that differ cannot be sized here")
    return value[0]


def lfm2_moe(settings: Settings) -> Blueprint:
    """LFM2: convolutions, and attention in some layers."""
    heads = replace(with_norms(heads_of(settings)), norm_names=("q_layernorm", "k_layernorm"), out="out_proj")
    types = settings.names("layer_types", n_layers_of(settings), ("conv", "full_attention"))
    if types is None:
        raise settings.error("key 'layer_types' is missing; copy the config.json that belongs to the weights")
    kernel, bias = settings.count("conv_L_cache", default=3), settings.flag("conv_bias", False)
    convolution = ShortConvolution(settings.count("hidden_size"), kernel, bias)
    attentions: list[Attention] = [heads if kind == "full_attention" else convolution for kind in types]
    experts = experts_of(
        settings, "num_experts", d_ff="moe_intermediate_size", block="feed_forward",
        correction="float32" if settings.flag("use_expert_bias", True) else "",
    )  # fmt: skip
    layers = range(settings.count("num_dense_layers", at_least=0, default=2), len(attentions))
    tied = settings.flag("tie_embedding", True)
    return blueprint_of(
        settings, attentions, experts, layers, tied=tied, norms=("operator_norm", "ffn_norm"), last_norm="embedding_norm",
        dense=("w1", "w3", "w2"),
    )  # fmt: skip


def jamba(settings: Settings) -> Blueprint:
    """Jamba: Mamba with attention in every eighth layer."""
    n_layers, d_model = n_layers_of(settings), settings.count("hidden_size")
    rank = settings.values.get("mamba_dt_rank", "auto")
    mamba = Mamba(
        d_inner=settings.count("mamba_expand", default=2) * d_model,
        d_state=settings.count("mamba_d_state", default=16),
        kernel=settings.count("mamba_d_conv", default=4),
        dt_rank=-(-d_model // 16) if rank in ("auto", None) else settings.count("mamba_dt_rank"),
        conv_bias=settings.flag("mamba_conv_bias", True),
        proj_bias=settings.flag("mamba_proj_bias", False),
    )
    heads = heads_of(settings)
    period, offset = (
        settings.count("attn_layer_period", default=8),
        settings.count("attn_layer_offset", at_least=0, default=4),
    )
    attentions: list[Attention] = [heads if n % period == offset else mamba for n in range(n_layers)]
    every, first = (
        settings.count("expert_layer_period", default=2),
        settings.count("expert_layer_offset", at_least=0, default=1),
    )
    experts = experts_of(settings, "num_experts", "num_local_experts", block="feed_forward", router="router")
    layers = [n for n in range(n_layers) if n % every == first]
    return blueprint_of(
        settings,
        attentions,
        experts,
        layers,
        norms=("input_layernorm", "pre_ff_layernorm"),
        last_norm="final_layernorm",
    )


def nemotron_h(settings: Settings) -> Blueprint:
    """Nemotron-3: each layer is one thing, Mamba-2, attention, experts or a plain feed-forward."""
    pattern = settings.values.get("layers_block_type") or list(settings.values.get("hybrid_override_pattern") or "")
    kinds = (*_ATTENTION, *_RECURRENT, *_FFN, "moe", "E")
    if not pattern or any(kind not in kinds for kind in pattern):
        raise settings.error("layers_block_type (or hybrid_override_pattern) must name the kind of each layer")
    heads = heads_of(settings, 128, kind=MixerAttention)
    mamba = Mamba2(
        n_heads=settings.count("mamba_num_heads"),
        head_dim=settings.count("mamba_head_dim"),
        d_state=settings.count("ssm_state_size"),
        num_groups=settings.count("n_groups", "mamba_n_groups", default=8),
        kernel=settings.count("conv_kernel", "mamba_d_conv", default=4),
        conv_bias=settings.flag("use_conv_bias", True),
        proj_bias=settings.flag("use_bias", False),
    )
    attentions: list[Attention] = [
        heads if kind in _ATTENTION else mamba if kind in _RECURRENT else NoMixer() for kind in pattern
    ]
    latent = settings.count("moe_latent_size") if settings.has("moe_latent_size") else 0
    experts = experts_of(
        settings, "n_routed_experts", "num_local_experts", d_ff="moe_intermediate_size", num_shared=1,
        d_ff_shared=settings.count("moe_shared_expert_intermediate_size"), mlp_bias=settings.flag("mlp_bias", False),
        gated=False, d_latent=latent, block="mixer", correction="float32", float32_router=True,
    )  # fmt: skip
    return blueprint_of(
        settings, attentions, experts, [n for n, kind in enumerate(pattern) if kind in ("moe", "E")],
        bare=frozenset(n for n, kind in enumerate(pattern) if kind in (*_ATTENTION, *_RECURRENT)), norms=("norm",),
        embedding="embeddings", last_norm="norm_f", dense=("up_proj", "down_proj"),
    )  # fmt: skip


def qwen3_5_moe(settings: Settings) -> Blueprint:
    """Qwen3.5: Qwen3-Next with its linear attention's projections apart."""
    n_layers, every = n_layers_of(settings), settings.count("full_attention_interval", default=4)
    heads = with_norms(biased_heads_of(settings, 256, gated=True))
    sizes = "num_key_heads num_value_heads key_head_dim value_head_dim conv_kernel_dim".split()
    recurrent = replace(GatedDeltaNet(*(settings.count(f"linear_{size}") for size in sizes)), apart=True)
    types = settings.names("layer_types", n_layers, ("full_attention", "linear_attention"))
    full = [kind == "full_attention" for kind in types] if types else [(n + 1) % every == 0 for n in range(n_layers)]
    attentions: list[Attention] = [heads if looks_back else recurrent for looks_back in full]
    return blueprint_of(settings, attentions, qwen_experts_of(settings), norm="float32 rms")


def llama4(settings: Settings) -> Blueprint:
    """Llama 4's text model: a dense layer between each two with experts in Maverick, none in Scout."""
    n_layers, every = n_layers_of(settings), settings.count("interleave_moe_layer_step", default=1)
    given = settings.layers("moe_layers")
    layers = given or list(range(every - 1, n_layers, every))
    d_ff = settings.count("intermediate_size")
    experts = experts_of(
        settings, "num_local_experts", block="feed_forward", router="router", linear_router=True, transposed=True,
        num_shared=1, d_ff_shared=d_ff, shared="shared_expert",
    )  # fmt: skip
    heads, chunk = biased_heads_of(settings, 128), settings.values.get("attention_chunk_size", 8192)
    types = settings.names("layer_types", n_layers, ("full_attention", "chunked_attention"))
    step = settings.count("no_rope_layer_interval", default=4)
    rotated = settings.values.get("no_rope_layers") or [(n + 1) % step != 0 for n in range(n_layers)]
    chunked = [kind == "chunked_attention" for kind in types] if types else [bool(each) for each in rotated]
    if len(chunked) != n_layers:
        raise settings.wrong("no_rope_layers", f"needs {n_layers} numbers, one a layer")
    attentions = [
        replace(heads, chunk=settings.count("attention_chunk_size", default=chunk) if each and chunk else None)
        for each in chunked
    ]
    return blueprint_of(settings, attentions, experts, layers, dense_key="intermediate_size_mlp")


def gemma4(settings: Settings) -> Blueprint:
    """Gemma 4's mixture: experts beside a dense feed-forward in every layer."""
    n_layers = n_layers_of(settings)
    heads = with_norms(biased_heads_of(settings, 256))
    alike = settings.flag("attention_k_eq_v", False)
    wide, num_kv = _of_layers_that_see_all(settings, heads, alike=alike)
    full = replace(heads, head_dim=wide, num_kv_heads=num_kv, q_norm=wide, k_norm=wide, keys_as_values=alike)
    types = settings.names("layer_types", n_layers, ("sliding_attention", "full_attention"))
    slides = [kind == "sliding_attention" for kind in types] if types else [bool((n + 1) % 6) for n in range(n_layers)]
    slides[-1] = False
    window = settings.count("sliding_window", default=512)
    attentions: list[Attention] = [replace(heads, window=window) if slide else full for slide in slides]
    if settings.values.get("hidden_size_per_layer_input", 256):
        raise settings.wrong("hidden_size_per_layer_input", "a mixture with embeddings by layer cannot be sized here")
    num_experts, d_model = settings.count("num_experts"), settings.count("hidden_size")
    experts = experts_of(
        settings, "num_experts", d_ff="moe_intermediate_size", top_k=("top_k_experts",), block="", router="router.proj",
        linear_router=True, more_router=(Piece("router.scale", (d_model,)), Piece("router.per_expert_scale", (num_experts,))),
    )  # fmt: skip
    names = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    more = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2")
    return blueprint_of(
        settings, attentions, experts, tied=True, norms=(*names, *more), dense_block="mlp", beside_experts=True
    )


def _of_layers_that_see_all(settings: Settings, heads: GroupedQueryAttention, *, alike: bool) -> tuple[int, int]:
    """Size and number of key heads in Gemma 4's layers without a window: as published, or as transformers saves them."""
    saved = settings.values.get("per_layer_config")
    if isinstance(saved, Mapping):
        own: Mapping[str, Any] = next(iter(saved.values()), {})
        return own.get("head_dim", heads.head_dim), own.get("num_key_value_heads", heads.num_kv_heads)
    num_kv = settings.count("num_global_key_value_heads", default=heads.num_kv_heads) if alike else heads.num_kv_heads
    return settings.count("global_head_dim", default=512), num_kv


def minimax_m3(settings: Settings) -> Blueprint:
    """MiniMax-M3's text model: an indexer in the layers that look at blocks."""
    n_layers = n_layers_of(settings)
    sparse = settings.values.get("sparse_attention_config") or {}
    freq = sparse.get("sparse_attention_freq")
    types = settings.names("layer_types", n_layers, ("minimax_m3_sparse", "full_attention"))
    looks = (
        [kind == "minimax_m3_sparse" for kind in types] if types else [bool(each) for each in freq or [0] * n_layers]
    )
    plain: Any = with_norms(heads_of(settings, 128, kind=BlockSparseAttention, partly_rotated=True))
    heads = settings.count("index_n_heads", default=sparse.get("sparse_num_index_heads", 4))
    dim = settings.count("index_head_dim", default=sparse.get("sparse_index_dim", 128))
    blocks = settings.count("index_topk_blocks", default=sparse.get("sparse_topk_blocks", 16))
    most = blocks * settings.count("index_block_size", default=sparse.get("sparse_block_size", 128))
    attentions: list[Attention] = [replace(plain, index_heads=heads * each, index_dim=dim, most=most) for each in looks]
    moe = settings.values.get("moe_layer_freq")
    kinds = settings.names("mlp_layer_types", n_layers, ("dense", "sparse"))
    chosen = [kind == "sparse" for kind in kinds] if kinds else [bool(each) for each in moe or [1] * n_layers]
    experts = experts_of(
        settings, "num_local_experts", "num_experts", num_shared=1, d_ff_shared=settings.count("shared_intermediate_size"),
        correction="as the weights", fused=True,
    )  # fmt: skip
    layers = [n for n, each in enumerate(chosen) if each]
    return blueprint_of(settings, attentions, experts, layers, dense_key="dense_intermediate_size")


def mimo_v2_flash(settings: Settings) -> Blueprint:
    """MiMo-V2-Flash: narrower values, sinks in the layers that slide, more heads for keys there."""
    n_layers = n_layers_of(settings)
    pattern = settings.values.get("hybrid_layer_pattern")
    types = settings.names("layer_types", n_layers, ("sliding_attention", "full_attention"))
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
    elif pattern:
        slides = [bool(each) for each in pattern]
    else:
        slides = [not (n == 0 or (n + 1) % 6 == 0) for n in range(n_layers)]
    v_dim, bias = settings.count("v_head_dim", default=128), settings.flag("attention_bias", False)
    full = replace(heads_of(settings, 192, bias=bias, partly_rotated=True), v_dim=v_dim)
    window = settings.count("sliding_window_size", default=settings.count("sliding_window", default=128) - 1) + 1
    num_kv = settings.count("swa_num_key_value_heads", default=2 * full.num_kv_heads)
    local = replace(full, num_kv_heads=num_kv, sinks=True, window=window)
    attentions: list[Attention] = [local if slide else full for slide in slides]
    experts = experts_of(
        settings, "n_routed_experts", "num_local_experts", d_ff="moe_intermediate_size", correction="float32",
        float32_router=True,
    )  # fmt: skip
    freq = settings.values.get("moe_layer_freq")
    layers = [n for n, each in enumerate(freq) if each] if isinstance(freq, list) else sparse_layers(settings, 1)
    return blueprint_of(settings, attentions, experts, layers)


def bailing_hybrid(settings: Settings) -> Blueprint:
    """Ling 3: Kimi's delta rule, and latent attention with gated heads in every sixth layer."""
    named = _under_their_names(
        settings, n_shared_experts="num_shared_experts", num_experts_per_tok="num_experts_per_token",
        n_group="num_expert_group", n_routed_experts="num_experts", linear_conv_kernel_dim="short_conv_kernel_size",
        linear_head_dim="head_dim", linear_num_heads="num_attention_heads",
    )  # fmt: skip
    latent = latent_of(Settings({**named.values, "q_lora_rank": None}, settings.source), HeadGatedLatentAttention)
    delta = KimiDeltaAttention(
        named.count("linear_num_heads"), named.count("linear_head_dim", default=128),
        named.count("linear_conv_kernel_dim", default=4),
    )  # fmt: skip
    n_layers, every = n_layers_of(named), named.count("layer_group_size", default=6)
    types = named.names("layer_types", n_layers, ("full_attention", "linear_attention"))
    full = [kind == "full_attention" for kind in types] if types else [(n + 1) % every == 0 for n in range(n_layers)]
    attentions: list[Attention] = [latent if looks_back else delta for looks_back in full]
    experts = deepseek_experts_of(named, "num_local_experts", groups=True, correction="float32")
    return blueprint_of(named, attentions, experts, sparse_layers(named, 2))


def step3p5(settings: Settings) -> Blueprint:
    """Step-3.5 and the text model of Step-3.7: heads with gates, more of them in the layers that slide."""
    named = _under_their_names(
        settings, num_key_value_heads="num_attention_groups", n_routed_experts="moe_num_experts",
        num_experts_per_tok="moe_top_k", share_expert_dim="share_expert_dims",
    )  # fmt: skip
    n_layers = n_layers_of(named)
    gated = with_norms(biased_heads_of(named, 128, kind=HeadGatedAttention, partly_rotated=True))
    other = named.values.get("attention_other_setting") or {}
    sliding = named.count("num_sliding_attention_heads", default=other.get("num_attention_heads", gated.n_heads))
    kinds = named.values.get("layer_types")  # published files name the layers of their further heads too
    trimmed = {"layer_types": kinds[:n_layers]} if isinstance(kinds, list) else {}
    alike = Settings({**named.values, **trimmed}, settings.source)
    attentions: list[Attention] = [
        replace(heads, n_heads=sliding) if isinstance(heads, GroupedQueryAttention) and heads.window else heads
        for heads in in_every_layer(alike, gated, lambda n: False)
    ]
    width = named.count("share_expert_dim", default=1280)
    experts = experts_of(
        named, "n_routed_experts", "num_local_experts", d_ff="moe_intermediate_size", num_shared=1, d_ff_shared=width,
        correction="as the weights", mlp_bias=named.flag("mlp_bias", False),
    )  # fmt: skip
    return blueprint_of(named, attentions, experts, _step_layers(named, n_layers))


def _step_layers(settings: Settings, n_layers: int) -> list[int]:
    """The layers with experts: by kinds, or as published, "3,4,5"."""
    listed = settings.values.get("moe_layers_enum")
    if listed is None:
        return sparse_layers(settings, 3)
    numbers = listed.split(",") if isinstance(listed, str) else listed
    try:
        return [n for n in map(int, numbers) if n < n_layers]
    except (TypeError, ValueError) as error:
        raise settings.wrong("moe_layers_enum", "needs numbers of layers, such as '3,4,5'") from error


def _under_their_names(settings: Settings, **published: str) -> Settings:
    """The same settings, those that a published file calls otherwise also under the names that transformers has."""
    values = settings.values
    more = {
        ours: values[theirs] for ours, theirs in published.items() if not settings.has(ours) and settings.has(theirs)
    }
    return Settings({**values, **more}, settings.source)
