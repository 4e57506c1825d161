"""Pretrained MoE models: every count equals the model transformers builds, every refusal names the key and the remedy."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.pretrained import (
    FAMILIES,
    MOST_DEVICES,
    PretrainedMoE,
    TrainingWay,
    read_pretrained,
    size_ways,
    split_over,
)

few = settings(deadline=None, max_examples=6, derandomize=True)
Draw = Callable[[st.SearchStrategy[Any]], Any]
Config = dict[str, Any]

SLIDING, FULL = "sliding_attention", "full_attention"


def sizes(*values: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values)


def common(draw: Draw, *, n_layers: int = 3) -> Config:
    n_heads = draw(sizes(2, 4))
    return {
        "vocab_size": draw(st.integers(20, 70)),
        "hidden_size": n_heads * draw(sizes(8, 16)),
        "num_hidden_layers": draw(st.integers(1, n_layers)),
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_heads // draw(sizes(1, 2)),
        "num_experts_per_tok": draw(st.integers(1, 3)),
        "tie_word_embeddings": draw(st.booleans()),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def one_size(draw: Draw, experts: str) -> Config:
    return {"intermediate_size": draw(sizes(8, 24)), experts: draw(st.integers(3, 6))}


def qwen(draw: Draw) -> Config:
    n_layers = draw(st.integers(2, 4))
    dense = draw(st.sets(st.integers(0, n_layers - 2), max_size=1))
    return {
        "num_hidden_layers": n_layers,
        "intermediate_size": draw(sizes(8, 24)),
        "moe_intermediate_size": draw(sizes(8, 16)),
        "num_experts": draw(st.integers(3, 6)),
        "mlp_only_layers": sorted(dense),
        "decoder_sparse_step": 1 if dense else draw(st.integers(1, n_layers)),
    }


def deepseek(draw: Draw) -> Config:
    groups = draw(sizes(1, 2))
    return {
        "num_hidden_layers": 3,
        "intermediate_size": draw(sizes(8, 24)),
        "moe_intermediate_size": draw(sizes(8, 16)),
        "n_routed_experts": groups * draw(sizes(3, 4)),
        "n_shared_experts": draw(sizes(1, 2)),
        "first_k_dense_replace": draw(st.integers(0, 2)),
        "n_group": groups,
        "topk_group": 1,
    }


def latent(draw: Draw, config: Config) -> Config:
    return {
        "num_key_value_heads": config["num_attention_heads"],
        "kv_lora_rank": draw(sizes(6, 10)),
        "q_lora_rank": draw(st.sampled_from([None, 8, 14])),
        "qk_nope_head_dim": draw(sizes(6, 12)),
        "qk_rope_head_dim": draw(sizes(4, 8)),
        "v_head_dim": draw(sizes(6, 8)),
    }


@st.composite
def configs(draw: Draw, model_type: str) -> Config:
    """A small valid config.json of this family."""
    config = common(draw)
    bias = {"attention_bias": draw(st.booleans())}
    if model_type in ("qwen3_moe", "qwen2_moe", "qwen3_next"):
        config |= qwen(draw)
    if model_type in ("deepseek_v2", "deepseek_v3"):
        config |= deepseek(draw) | bias
        config |= latent(draw, config)
    config |= {
        "qwen3_moe": lambda: bias | draw(st.sampled_from([{}, {"head_dim": 6}])),
        "qwen2_moe": lambda: {"qkv_bias": draw(st.booleans()), "shared_expert_intermediate_size": draw(sizes(8, 20))},
        "qwen3_next": lambda: (
            bias
            | {
                "head_dim": draw(sizes(8, 16)),
                "shared_expert_intermediate_size": draw(sizes(8, 20)),
                "linear_num_key_heads": 2,
                "linear_num_value_heads": draw(sizes(2, 4)),
                "linear_key_head_dim": draw(sizes(6, 8)),
                "linear_value_head_dim": draw(sizes(6, 10)),
                "linear_conv_kernel_dim": draw(sizes(2, 4)),
                "layer_types": [FULL, *(["linear_attention"] * (config["num_hidden_layers"] - 1))],
            }
        ),
        "mixtral": lambda: (
            one_size(draw, "num_local_experts") | {"sliding_window": draw(st.sampled_from([None, 1, 5]))}
        ),
        "olmoe": lambda: one_size(draw, "num_experts") | bias,
        "minimax_m2": lambda: one_size(draw, "num_local_experts") | {"head_dim": draw(sizes(8, 16))},
        "gpt_oss": lambda: one_size(draw, "num_local_experts") | bias | {"head_dim": 8, "sliding_window": 4},
        "phimoe": lambda: one_size(draw, "num_local_experts") | bias | {"lm_head_bias": draw(st.booleans())},
        "granitemoe": lambda: one_size(draw, "num_local_experts") | bias,
        "glm4_moe": lambda: deepseek(draw) | bias | {"use_qk_norm": draw(st.booleans())},
        "deepseek_v2": lambda: {"mlp_bias": draw(st.booleans())},
        "deepseek_v3": dict,
    }[model_type]()
    if model_type == "phimoe":  # its router always picks two
        config["num_experts_per_tok"] = 2
    return {"model_type": model_type, **config}


def example(model_type: str, **changes: Any) -> Config:
    """One fixed small config of each family, big enough that activations are not all small change."""
    config: Config = {
        "vocab_size": 64,
        "hidden_size": 128,
        "intermediate_size": 96,
        "moe_intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "num_experts_per_tok": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    shared = {"num_experts": 8, "shared_expert_intermediate_size": 56, "mlp_only_layers": [1]}
    groups = {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1}
    latents = {"kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24}
    latents |= groups | {"num_key_value_heads": 8}
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_conv_kernel_dim": 4}
    linear |= {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    own: dict[str, Config] = {
        "qwen3_moe": {"num_experts": 8, "head_dim": 16, "mlp_only_layers": [1]},
        "qwen2_moe": shared,
        "qwen3_next": {
            **shared,
            **linear,
            "head_dim": 16,
            "layer_types": ["linear_attention", FULL, "linear_attention"],
        },
        "mixtral": {"num_local_experts": 8, "sliding_window": 5},
        "olmoe": {"num_experts": 8},
        "minimax_m2": {"num_local_experts": 8, "head_dim": 16},
        "gpt_oss": {"num_local_experts": 8, "head_dim": 16, "sliding_window": 6},
        "phimoe": {"num_local_experts": 8, "sliding_window": 5},
        "granitemoe": {"num_local_experts": 8},
        "glm4_moe": {**groups, "use_qk_norm": True},
        "deepseek_v2": {**latents, "q_lora_rank": None},
        "deepseek_v3": {**latents, "q_lora_rank": 48},
    }
    return {"model_type": model_type, **config, **own[model_type], **changes}


def build(config: Config, **more: Any) -> nn.Module:
    """The model transformers makes of it."""
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), **more)


def on_meta(config: Config) -> nn.Module:
    with torch.device("meta"):
        return build(config)


def agrees(config: Config) -> None:
    """The planner's inventory is that of the built model, name by name and shape by shape."""
    built, planned = on_meta(config), read_pretrained(config)
    shapes = {name: tuple(p.shape) for name, p in built.named_parameters()}
    assert {weight.name: weight.shape for weight in planned.weights} == shapes
    assert planned.num_params == sum(p.numel() for p in built.parameters())

    def total(*marks: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes.items() if any(mark in name for mark in marks))

    routers = (".mlp.gate.", ".mlp.router.", ".block_sparse_moe.router.")
    assert planned.num_router_params == total(*routers)
    assert planned.num_expert_params_all == total(".experts.")
    assert planned.num_expert_params * planned.num_experts * planned.num_moe_layers == total(".experts.")
    assert planned.num_embedding_params == total("embed_tokens")
    assert planned.num_head_params == total("lm_head")
    assert planned.num_attention_params == total(".self_attn.", ".linear_attn.")
    assert planned.num_shared_expert_params == total("shared_expert")
    assert planned.num_moe_layers == sum(name.endswith("experts.down_proj") for name in shapes)
    linears = {name for name, module in built.named_modules() if type(module) is nn.Linear}
    ours = {weight.name.removesuffix(".weight") for weight in planned.weights if weight.linear}
    assert ours - {"lm_head"} == linears - {"lm_head"}


@few
@given(configs("qwen3_moe"))
def test_every_tensor_of_a_qwen3_moe_is_the_one_transformers_builds(config: Config) -> None:
    agrees(config)


@few
@given(configs("mixtral"))
def test_every_tensor_of_a_mixtral_is_the_one_transformers_builds(config: Config) -> None:
    agrees(config)


@few
@given(configs("olmoe"))
def test_every_tensor_of_an_olmoe_is_the_one_transformers_builds(config: Config) -> None:
    agrees(config)


@pytest.mark.parametrize("model_type", sorted(set(FAMILIES) - {"qwen3_moe", "mixtral", "olmoe"}))
def test_every_tensor_of_the_other_families_is_the_one_transformers_builds(model_type: str) -> None:
    settings(few, max_examples=4)(given(configs(model_type))(agrees))()


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_config_that_transformers_saved_reads_like_the_one_it_was_made_from(model_type: str, tmp_path: Path) -> None:
    config = example(model_type)
    AutoConfig.for_model(**config).save_pretrained(tmp_path)
    saved, given_ = read_pretrained(tmp_path), read_pretrained(config)
    assert saved.weights == given_.weights
    assert saved.kv_cache_bytes(9) == given_.kv_cache_bytes(9)
    assert saved.name == tmp_path.name
    assert read_pretrained(tmp_path / "config.json") == read_pretrained(str(tmp_path))


def test_the_key_that_transformers_renames_on_saving_is_read_under_both_names(tmp_path: Path) -> None:
    AutoConfig.for_model(**example("qwen3_moe")).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert "num_experts" not in values  # the trap this test is about
    assert values["num_local_experts"] == 8
    assert read_pretrained(values).num_experts == read_pretrained(example("qwen3_moe")).num_experts == 8


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_weights_take_the_bytes_of_the_loaded_state_dict_and_of_the_saved_file(model_type: str, tmp_path: Path) -> None:
    config = example(model_type, num_hidden_layers=2, mlp_only_layers=[0], tie_word_embeddings=model_type == "olmoe")
    config.pop("layer_types", None)
    if model_type == "qwen3_next":
        config["layer_types"] = [FULL, "linear_attention"]
    for dtype in (torch.float32, torch.bfloat16):
        precision = str(dtype).removeprefix("torch.")
        build(config, dtype=dtype).save_pretrained(tmp_path / precision)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / precision, dtype=dtype)
        stores = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in model.state_dict().values()}
        planned = read_pretrained(tmp_path / precision)
        assert planned.precision == precision
        assert planned.weights_bytes() == planned.weights_bytes(precision) == sum(stores.values())
        model.save_pretrained(tmp_path / precision)  # a freshly built model has its buffers in another precision
        file = (tmp_path / precision / "model.safetensors").read_bytes()
        assert planned.stored_bytes == len(file) - 8 - int.from_bytes(file[:8], "little")


def cache_bytes(cache: Any) -> int:
    """Bytes of every tensor a transformers cache holds."""
    tensors = []
    for layer in cache.layers:
        tensors += [getattr(layer, name) for name in ("keys", "values") if hasattr(layer, name)]
        for name in ("conv_states", "recurrent_states"):
            tensors += getattr(layer, name, {}).values()
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


@torch.no_grad()
def cache_after(model: nn.Module, steps: tuple[int, ...], batch: int) -> int:
    cache = None
    for tokens in steps:
        cache = model(torch.randint(3, 60, (batch, tokens)), past_key_values=cache, use_cache=True).past_key_values
    return cache_bytes(cache)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kv_cache_takes_the_bytes_of_a_real_forward_pass(model_type: str, dtype: torch.dtype) -> None:
    config = example(model_type)
    model, planned = build(config, dtype=dtype).eval(), read_pretrained(config)
    precision = str(dtype).removeprefix("torch.")
    for steps in ((3,), (9,), (6, 1, 1)):
        assert cache_after(model, steps, 2) == planned.kv_cache_bytes(sum(steps), 2, precision), steps


def test_only_the_layers_that_slide_forget_positions() -> None:
    whole, sliding = example("qwen2_moe"), example("qwen2_moe", use_sliding_window=True, sliding_window=5)
    fewer = example("qwen2_moe", use_sliding_window=True, sliding_window=5, max_window_layers=1)
    mixed = example("gpt_oss", layer_types=[FULL, SLIDING, FULL])
    tiny = example("mixtral", sliding_window=1)  # transformers then keeps everything
    for config in (whole, sliding, fewer, mixed, tiny):
        assert cache_after(build(config).eval(), (7, 1), 1) == read_pretrained(config).kv_cache_bytes(8, 1, "float32")
    assert read_pretrained(sliding).kv_cache_bytes(8) < read_pretrained(fewer).kv_cache_bytes(8)


def test_an_expanded_latent_cache_holds_what_transformers_expands_latents_to() -> None:
    config = example("deepseek_v3")
    planned, attention = read_pretrained(config), build(config).model.layers[0].self_attn
    keys, values = attention.expand_kv(torch.zeros(2, 1, 7, 32), torch.zeros(2, 1, 7, 8))
    expanded = planned.kv_cache_bytes(7, 2, "float32", expanded=True)
    assert expanded == 3 * 4 * (keys.numel() + values.numel())
    assert planned.kv_cache_bytes(7, 2, "float32") < expanded
    grouped = read_pretrained(example("qwen3_moe"))
    assert grouped.kv_cache_bytes(7, expanded=True) == grouped.kv_cache_bytes(7)


PUBLISHED: dict[str, Config] = {
    "Qwen3-30B-A3B": {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Qwen3-235B-A22B": {
        "model_type": "qwen3_moe",
        "hidden_size": 4096,
        "num_hidden_layers": 94,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "moe_intermediate_size": 1536,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Qwen1.5-MoE-A2.7B": {
        "model_type": "qwen2_moe",
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Mixtral-8x7B": {
        "model_type": "mixtral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
        "vocab_size": 32000,
        "torch_dtype": "bfloat16",
    },
    "OLMoE-1B-7B": {
        "model_type": "olmoe",
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "vocab_size": 50304,
        "torch_dtype": "bfloat16",
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "vocab_size": 201088,
        "quantization_config": {"quant_method": "mxfp4"},
    },
    "DeepSeek-V2-Lite": {
        "model_type": "deepseek_v2",
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "n_shared_experts": 2,
        "n_routed_experts": 64,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "q_lora_rank": None,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 102400,
        "torch_dtype": "bfloat16",
    },
    "DeepSeek-V3": {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_group": 8,
        "topk_group": 4,
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
        "num_nextn_predict_layers": 1,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    },
    "Phi-3.5-MoE": {
        "model_type": "phimoe",
        "hidden_size": 4096,
        "intermediate_size": 6400,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 16,
        "num_experts_per_tok": 2,
        "attention_bias": True,
        "lm_head_bias": True,
        "sliding_window": 131072,
        "vocab_size": 32064,
        "torch_dtype": "bfloat16",
    },
}
PUBLISHED["gpt-oss-120b"] = {**PUBLISHED["gpt-oss-20b"], "num_hidden_layers": 36, "num_local_experts": 128}


def published(name: str) -> PretrainedMoE:
    return read_pretrained({**PUBLISHED[name], "_name_or_path": name})


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("Qwen3-235B-A22B", "235", "22"),
        ("Qwen1.5-MoE-A2.7B", "14.3", "2.7"),
        ("Mixtral-8x7B", "46.7", "12.9"),
        ("OLMoE-1B-7B", "6.9", "1.3"),
        ("Phi-3.5-MoE", "41.9", "6.6"),
    ],
)
def test_published_totals_come_out_to_the_published_digit(name: str, total: str, active: str) -> None:
    model, digits = published(name), len(total.partition(".")[2])
    assert f"{model.num_params / 1e9:.{digits}f}" == total
    assert f"{model.num_active_params / 1e9:.{digits}f}" == active


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("gpt-oss-20b", "20.91", "3.61"),
        ("gpt-oss-120b", "116.83", "5.13"),
        ("DeepSeek-V3", "671", "37"),
        ("DeepSeek-V2-Lite", "15.7", "2.5"),  # published as 2.4, cut off
    ],
)
def test_publishers_who_leave_the_embedding_out_of_the_active_count_are_met_without_it(
    name: str, total: str, active: str
) -> None:
    model, digits = published(name), len(total.partition(".")[2])
    assert f"{model.num_params / 1e9:.{digits}f}" == total
    assert f"{model.num_active_params_without_lookup / 1e9:.{digits}f}" == active


def test_qwen3_30b_a3b_is_the_one_of_its_model_card() -> None:
    model = published("Qwen3-30B-A3B")
    assert model.num_params == 30_532_122_624  # 30.5B in total
    assert math.floor(model.num_active_params / 1e8) == 33  # 3.3B activated: 3.353, cut off
    without = model.num_params - model.num_embedding_params - model.num_head_params
    assert f"{without / 1e9:.1f}" == "29.9"  # non-embedding
    assert (model.n_layers, model.n_heads, model.num_kv_heads, model.num_experts, model.top_k) == (48, 32, 4, 128, 8)
    assert model.num_expert_params == 3 * 2048 * 768


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-20b", "12.8"), ("gpt-oss-120b", "60.8")])
def test_an_mxfp4_checkpoint_has_the_size_of_its_model_card(name: str, gib: str) -> None:
    model = published(name)
    assert model.stored_bytes is not None
    assert f"{model.stored_bytes / 2**30:.1f}" == gib
    assert any("mxfp4" in note for note in model.notes)


def test_what_was_assumed_about_a_checkpoint_is_said() -> None:
    deepseek_v3 = published("DeepSeek-V3")
    assert deepseek_v3.stored_bytes is None  # fp8 leaves parts unquantised that a config.json does not list
    said = " ".join(deepseek_v3.notes)
    assert all(words in said for words in ("fp8", "latents", "num_nextn_predict_layers"))
    silent = {key: value for key, value in PUBLISHED["OLMoE-1B-7B"].items() if key != "torch_dtype"}
    assert "no dtype" in " ".join(read_pretrained(silent).notes)
    assert published("OLMoE-1B-7B").notes == ()
    assert published("DeepSeek-V3").head_dim == 192


def test_a_summary_is_ready_for_json() -> None:
    told = json.loads(json.dumps(published("gpt-oss-20b").summary()))
    assert told["name"] == "gpt-oss-20b"
    assert told["num_params"] == 20_914_757_184
    assert told["quantization"] == "mxfp4"
    assert "blueprint" not in told


def ways(model: PretrainedMoE, **settings_: Any) -> dict[str, TrainingWay]:
    return {way.name: way for way in size_ways(model, **settings_)}


BATCH, SEQ = 2, 64


def kept_bytes(model: nn.Module) -> int:
    """Bytes that autograd keeps for the backward pass beside the parameters, measured in a real forward pass."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(3, 60, (BATCH, SEQ))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.train()(input_ids=ids, labels=ids, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


def planned_kept_bytes(way: TrainingWay, model: PretrainedMoE) -> int:
    """The planner's figure without logits and their gradient, which no hook sees."""
    return way.activation_bytes - way.load.tokens * model.vocab_size * (way.load.each + 4)


def sized(config: Config, precision: str, **more: Any) -> tuple[PretrainedMoE, dict[str, TrainingWay]]:
    model = read_pretrained({**config, "dtype": precision})
    return model, ways(model, batch=BATCH, seq_tokens=SEQ, checkpointing=False, **more)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_of_full_training_are_those_autograd_keeps(model_type: str, precision: str) -> None:
    # a window would need a mask, and with one torch's attention keeps more
    config = example(model_type, sliding_window=SEQ if model_type == "gpt_oss" else None)
    model, planned = sized(config, precision)
    measured = kept_bytes(build(config, dtype=getattr(torch, precision)))
    assert planned_kept_bytes(planned["full"], model) == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize("model_type", ["qwen3_moe", "mixtral", "olmoe", "deepseek_v3", "gpt_oss"])
def test_activations_of_router_only_training_are_those_autograd_keeps(model_type: str) -> None:
    config = example(
        model_type, num_hidden_layers=10, mlp_only_layers=[], sliding_window=SEQ if model_type == "gpt_oss" else None
    )
    model, planned = sized(config, "bfloat16")
    built = build(config, dtype=torch.bfloat16)
    routers = {weight.name for weight in model.weights if weight.part == "router"}
    for name, parameter in built.named_parameters():
        parameter.requires_grad_(name in routers)
    assert planned["router-only"].num_trainable_params == sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert planned_kept_bytes(planned["router-only"], model) == pytest.approx(kept_bytes(built), rel=0.10)


@pytest.mark.filterwarnings("ignore")  # peft's own
@pytest.mark.parametrize("model_type", ["qwen3_moe", "deepseek_v3", "gpt_oss"])
def test_lora_has_the_parameters_and_activations_of_peft(model_type: str) -> None:
    peft = pytest.importorskip("peft")
    config = example(model_type, num_hidden_layers=8, mlp_only_layers=[], first_k_dense_replace=0)
    config["sliding_window"] = SEQ if model_type == "gpt_oss" else None
    model, planned = sized(config, "bfloat16", lora_rank=4)
    linears = {
        w.name.split(".")[-2] for w in model.weights if w.part == "attention" and w.linear and w.name.endswith("t")
    }
    targets = {
        "lora": {"target_modules": sorted(linears)},
        "lora with experts": {
            "target_modules": [],
            "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        },
    }
    for name, target in targets.items():
        built = peft.get_peft_model(build(config, dtype=torch.bfloat16), peft.LoraConfig(r=4, **target))
        assert planned[name].num_trainable_params == sum(p.numel() for p in built.parameters() if p.requires_grad)
        assert planned_kept_bytes(planned[name], model) == pytest.approx(kept_bytes(built), rel=0.10)


def test_with_gradient_checkpointing_a_forward_pass_keeps_the_layers_inputs_and_the_head() -> None:
    config = example(
        "qwen3_moe", vocab_size=4000, num_hidden_layers=6, mlp_only_layers=[]
    )  # so wide a head is the peak
    model = read_pretrained({**config, "dtype": "bfloat16"})
    way = ways(model, batch=BATCH, seq_tokens=SEQ, checkpointing=True)["full"]
    built = build(config, dtype=torch.bfloat16)
    enable = "activation_checkpointing_enable"  # its name since transformers 5.23
    getattr(built, enable if hasattr(built, enable) else "gradient_checkpointing_enable")()
    assert planned_kept_bytes(way, model) == pytest.approx(kept_bytes(built), rel=0.02)
    assert way.activation_bytes < ways(model, batch=BATCH, seq_tokens=SEQ, checkpointing=False)["full"].activation_bytes


def test_a_learning_parameter_takes_sixteen_bytes_in_both_precisions() -> None:
    model = published("Mixtral-8x7B")
    mixed, plain = ways(model)["full"], ways(model, precision="float32")["full"]
    num = model.num_params
    assert (mixed.weights_bytes, mixed.gradient_bytes, mixed.optimizer_bytes) == (2 * num, 2 * num, 12 * num)
    assert (plain.weights_bytes, plain.gradient_bytes, plain.optimizer_bytes) == (4 * num, 4 * num, 8 * num)
    assert ways(model, gradient_precision="float32")["full"].gradient_bytes == 4 * num
    assert mixed.total_bytes == 16 * num + mixed.activation_bytes
    assert ways(model, precision="int4")["full"].weights_bytes == 2 * num
    assert "cannot learn" in ways(model, precision="int4")["full"].notes[0]


def test_adapters_are_float32_and_need_no_second_copy() -> None:
    model = published("Qwen3-30B-A3B")
    for name in ("lora", "lora with experts", "single-expert lora"):
        way = ways(model, lora_rank=8)[name]
        assert way.weights_bytes == model.weights_bytes() + 4 * way.num_trainable_params
        assert way.gradient_bytes == 4 * way.num_trainable_params
        assert way.optimizer_bytes == 8 * way.num_trainable_params


def test_single_expert_lora_is_six_small_matrices_in_each_chosen_layer() -> None:
    model = published("Qwen3-30B-A3B")
    in_layer = 3 * 8 * (2048 + 768)
    assert ways(model, lora_rank=8)["single-expert lora"].num_trainable_params == 48 * in_layer
    assert ways(model, lora_rank=8, single_expert_layers=2)["single-expert lora"].num_trainable_params == 2 * in_layer


def test_qlora_today_shrinks_nothing_but_linears_and_says_so() -> None:
    model = published("Qwen3-30B-A3B")
    planned = ways(model)
    linear = sum(w.num_params for w in model.weights if w.linear and w.part != "head")
    adapters = 4 * planned["qlora"].num_trainable_params
    today = planned["qlora"].weights_bytes - adapters
    assert today == 2 * (model.num_params - linear) + round(linear * (0.5 + 2 / 64))
    hoped = planned["qlora with 4-bit experts"].weights_bytes - adapters
    packed = linear + model.num_expert_params_all
    assert hoped == 2 * (model.num_params - packed) + round(packed * (0.5 + 2 / 64))
    assert today / hoped > 3  # the surprise: 60 GB instead of 17
    assert "fused experts stay bfloat16" in planned["qlora"].notes[0]
    assert "hoped for" in planned["qlora with 4-bit experts"].notes[0]
    assert model.weights_bytes("int4") == hoped
    assert model.weights_bytes("int4", quantised_experts=False) == today


def test_inference_counts_the_cache_and_no_gradients() -> None:
    model = published("gpt-oss-20b")
    way = ways(model, batch=3, seq_tokens=1000)["inference"]
    assert way.kv_cache_bytes == model.kv_cache_bytes(1000, 3, "bfloat16")
    assert way.gradient_bytes == way.optimizer_bytes == way.num_trainable_params == 0
    assert way.weights_bytes == 2 * model.num_params
    assert "12 of 24 layers cache only their last 127 positions" in way.notes


def test_the_traps_of_a_way_stand_in_its_notes() -> None:
    one = read_pretrained(example("mixtral", num_experts_per_tok=1))
    assert "no gradient" in " ".join(ways(one)["router-only"].notes)
    assert "whole adapted expert stack" in " ".join(ways(one)["lora with experts"].notes)
    for name in ("inference", "lora", "single-expert lora", "router-only"):
        assert "bitsandbytes" in " ".join(ways(one, precision="int8")[name].notes)


GB = 10**9


def test_expert_parallelism_divides_experts_and_nothing_else() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["inference"]
    plan = split_over(model, way, 80 * GB, 8)
    experts = 2 * model.num_expert_params_all
    parallel = {row.num_devices: row for row in plan.rows if row.kind == "expert parallelism"}
    assert list(parallel) == [1, 2, 4, 8]  # divisors of 128
    for devices, row in parallel.items():
        assert row.bytes_per_device == way.total_bytes - experts + experts // devices
        assert row.traffic_bytes == 2048 * 8 * 2048 * 2 * 2 * 48 * (devices - 1) // devices
        assert row.fits == (row.bytes_per_device <= 80 * GB)


def test_fsdp_divides_everything_but_activations_and_gathers_layers() -> None:
    model = published("OLMoE-1B-7B")
    way = ways(model)["full"]
    rows = {row.num_devices: row for row in split_over(model, way, 80 * GB, 3).rows if row.kind == "fsdp"}
    assert list(rows) == [2, 3]
    layer = (model.num_params - model.num_embedding_params - model.num_head_params - 2048) // 16
    outside = model.num_embedding_params + model.num_head_params + 2048
    gathered = 2 * outside + 2 * 2 * layer + 2 * layer
    assert way.gathered_bytes == gathered
    assert rows[2].bytes_per_device == way.activation_bytes + 8 * model.num_params + gathered


def test_the_lowest_expert_parallelism_that_fits_is_taken_and_the_reason_is_its_traffic() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["inference"]
    plan = split_over(model, way, 24 * GB, 16)
    assert plan.best is not None
    assert (plan.best.kind, plan.best.num_devices) == ("expert parallelism", 4)
    fitting = [row.num_devices for row in plan.rows if row.fits and row.kind == "expert parallelism"]
    assert min(fitting) == 4
    assert "lowest that fits" in plan.advice
    assert "traffic grows" in plan.advice
    alone = split_over(model, way, 80 * GB, 16)
    assert alone.best is not None
    assert alone.best.num_devices == 1
    assert "one device" in alone.advice


def test_where_the_undivided_rest_is_too_large_fsdp_is_taken() -> None:
    model = published("Qwen3-30B-A3B")
    plan = split_over(model, ways(model)["full"], 80 * GB, 8)
    assert plan.best is not None
    assert plan.best.kind == "fsdp"
    assert not any(row.fits for row in plan.rows if row.kind == "expert parallelism")
    assert "no expert parallelism fits" in plan.advice


@pytest.mark.parametrize(
    ("name", "way", "memory", "devices", "words"),
    [
        ("Qwen3-30B-A3B", "inference", 24, 1, "int4 weights, experts too"),
        ("Qwen3-30B-A3B", "inference", 48, 1, "int8 weights, experts too"),
        ("Qwen3-30B-A3B", "full", 80, 1, "lora"),
        ("Qwen3-30B-A3B", "lora", 24, 1, "qlora with 4-bit experts"),
        ("OLMoE-1B-7B", "full", 24, 2, "lora"),
        ("gpt-oss-20b", "router-only", 24, 1, "int4 weights, experts too"),
    ],
)
def test_when_nothing_fits_the_nearest_change_that_does_is_named_and_true(
    name: str, way: str, memory: int, devices: int, words: str
) -> None:
    model = published(name)
    plan = split_over(model, ways(model)[way], memory * GB, devices)
    assert plan.best is None
    assert not any(row.fits for row in plan.rows)
    assert f"nearest change that fits: {words} on" in plan.advice
    changed = {"int4 weights, experts too": (way, "int4"), "int8 weights, experts too": (way, "int8")}
    instead, precision = changed.get(words, (words, None))
    done = split_over(model, ways(model, precision=precision)[instead], memory * GB, devices)
    assert done.best is not None
    assert str(done.best) in plan.advice


def test_when_nothing_fits_the_number_of_devices_that_would_do_is_named_and_true() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["full"]
    advice = split_over(model, way, 24 * GB, 2).advice
    needed = int(advice.partition("more devices: FSDP over ")[2].split()[0])
    assert split_over(model, way, 24 * GB, needed).best is not None
    assert split_over(model, way, 24 * GB, needed - 1).best is None


def test_a_longer_batch_or_no_checkpointing_is_undone_first() -> None:
    model = published("OLMoE-1B-7B")
    kept = ways(model, batch=8, checkpointing=False)["lora"]
    assert "gradient checkpointing" in split_over(model, kept, 40 * GB, 1).advice
    wide = ways(model, batch=64)["lora"]
    assert "batch 1" in split_over(model, wide, 24 * GB, 1).advice


def test_devices_too_small_for_any_change_are_told_so() -> None:
    model = published("DeepSeek-V3")
    advice = split_over(model, ways(model)["full"], 8 * GB, 2).advice
    assert "take devices with more memory" in advice


def refused(config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_pretrained(config)
    return str(caught.value)


def test_an_unknown_architecture_is_named_beside_the_known_ones_nearest_first() -> None:
    message = refused({**example("mixtral"), "model_type": "mistral"})
    assert "'mistral'" in message
    assert all(name in message for name in FAMILIES)
    assert message.index("mixtral") < message.index("qwen3_moe")


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_every_size_a_family_needs_is_named_when_it_is_missing(model_type: str) -> None:
    config = example(model_type)
    shown = read_pretrained(config)
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_experts_per_tok"):
        message = refused({name: value for name, value in config.items() if name != key})
        assert f"'{key}' is missing" in message
        assert "copy the config.json" in message
    assert shown.num_params > 0


@pytest.mark.parametrize(
    ("model_type", "changes", "words"),
    [
        ("qwen3_moe", {"hidden_size": 128.0}, "hidden_size = 128.0: needs a whole number"),
        ("qwen3_moe", {"hidden_size": True}, "hidden_size = True"),
        ("qwen3_moe", {"hidden_size": "128"}, "hidden_size = '128'"),
        ("qwen3_moe", {"num_experts": 0}, "num_experts = 0: needs a whole number of at least 1"),
        ("qwen3_moe", {"num_local_experts": 16}, "contradict"),
        ("qwen3_moe", {"num_local_experts": [16]}, "contradict"),
        ("qwen3_moe", {"num_experts": None}, "'num_experts' is missing (also read as num_local_experts)"),
        ("qwen3_moe", {"num_experts_per_tok": 9}, "num_experts_per_tok = 9: a token cannot choose more than the 8"),
        ("qwen3_moe", {"num_key_value_heads": 3}, "needs a divisor of num_attention_heads = 8"),
        ("qwen3_moe", {"head_dim": 15}, "even number"),
        ("qwen3_moe", {"attention_bias": "no"}, "attention_bias = 'no': needs true or false"),
        ("qwen3_moe", {"mlp_only_layers": [0, 1, 2]}, "dense model"),
        ("qwen3_moe", {"mlp_only_layers": 3}, "needs a list of layer numbers"),
        ("qwen3_moe", {"num_hidden_layers": 10**9}, "needs 1000 or fewer"),
        ("qwen3_moe", {"per_layer_config": {"0": {"num_experts": 4}}}, "per_layer_config"),
        ("qwen3_moe", {"model_type": None}, "'model_type' is missing"),
        ("qwen3_moe", {"model_type": ["qwen3_moe"]}, "'model_type' is missing, or no text"),
        ("qwen3_moe", {"intermediate_size": None}, "'intermediate_size' is missing"),
        ("qwen3_moe", {"dtype": "float8_e4m3fn"}, "needs one of float32, bfloat16, float16"),
        ("qwen3_moe", {"dtype": 16}, "dtype = 16"),
        ("qwen3_moe", {"dtype": "bfloat16", "torch_dtype": "float16"}, "contradict"),
        ("qwen3_moe", {"quantization_config": "fp8"}, "needs an object with a quant_method"),
        ("qwen3_moe", {"quantization_config": {}}, "no quant_method"),
        ("mixtral", {"hidden_size": 129}, "needs a multiple of num_attention_heads = 8, or head_dim"),
        ("mixtral", {"sliding_window": 0}, "sliding_window = 0"),
        ("gpt_oss", {"layer_types": ["full_attention"]}, "needs 3 names, one a layer"),
        (
            "gpt_oss",
            {"layer_types": ["full_attention", "sliding", "full_attention"]},
            "full_attention, sliding_attention",
        ),
        ("gpt_oss", {"sliding_window": None}, "'sliding_window' is missing"),
        ("qwen3_next", {"layer_types": ["linear_attention"] * 3}, "needs a layer of full attention"),
        ("qwen3_next", {"linear_num_value_heads": 3}, "needs a multiple of linear_num_key_heads"),
        ("deepseek_v3", {"n_group": 3}, "n_group = 3: needs equal groups"),
        ("deepseek_v3", {"n_group": 8}, "n_group = 8: needs equal groups of two or more"),
        ("deepseek_v3", {"num_experts_per_tok": 5}, "1 of 2 groups of 4 FFN experts cannot give a token 5"),
        ("deepseek_v3", {"topk_group": 3}, "topk_group = 3"),
        ("deepseek_v3", {"first_k_dense_replace": 3}, "dense model"),
        ("deepseek_v3", {"num_key_value_heads": 2}, "latents serve all heads"),
        ("deepseek_v3", {"qk_rope_head_dim": 7}, "even number"),
        ("deepseek_v2", {"hidden_size": 129}, "needs a multiple of num_attention_heads"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_key_and_the_rule(
    model_type: str, changes: Config, words: str
) -> None:
    assert words in refused({**example(model_type), **changes})


def test_a_latent_attention_must_say_whether_queries_are_compressed() -> None:
    config = example("deepseek_v3")
    config.pop("q_lora_rank")
    assert "'q_lora_rank' is missing; give a number, or null" in refused(config)


JUNK = st.sampled_from([None, -1, 0, 1, 3, 7, 2.5, "8", "", [], [1], ["x"], {}, {"a": 1}, True, False, 10**12])


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_no_config_however_broken_ends_in_anything_but_a_model_or_a_clear_refusal(
    model_type: str, data: st.DataObject
) -> None:
    config = example(model_type, layer_types=None, dtype="bfloat16", quantization_config=None)
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3, unique=True)):
        config[key] = data.draw(JUNK)
    try:
        model = read_pretrained(config)
    except ConfigError as error:
        told = str(error)
    else:
        assert model.num_params >= model.num_active_params > 0
        assert len(size_ways(model)) == 8
        told = "config: fine"
    assert told.startswith("config: ")


def test_a_file_that_is_absent_or_no_json_is_refused_with_its_path(tmp_path: Path) -> None:
    absent = refused(tmp_path / "config.json")
    assert "no config.json at" in absent
    assert "download" in absent
    assert "no config.json at" in refused(tmp_path)  # a folder without one
    broken = tmp_path / "broken.json"
    for content in (b"{", b"[1, 2]", b"", b"\xff\xfe\x00", b"[" * 100_000):
        broken.write_bytes(content)
        assert str(broken) in refused(broken)
    assert "cannot read" in refused(tmp_path / ("x" * 300))


def test_a_file_by_another_name_gives_the_model_its_name(tmp_path: Path) -> None:
    file = tmp_path / "my-model.json"
    file.write_text(json.dumps(example("mixtral")))
    assert read_pretrained(file).name == "my-model"
    file.write_text(json.dumps({**example("mixtral"), "_name_or_path": "me/model"}))
    assert read_pretrained(file).name == "me/model"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 0}, "batch=0"),
        ({"seq_tokens": 2.5}, "seq_tokens=2.5"),
        ({"lora_rank": -1}, "lora_rank=-1"),
        ({"single_expert_layers": 4}, "there are 2 MoE layers; ask for fewer"),
        ({"single_expert_layers": 0}, "single_expert_layers=0"),
        ({"precision": "fp4"}, "needs one of float32, bfloat16, float16, int8, int4"),
        ({"gradient_precision": "int8"}, "gradient_precision = 'int8'"),
    ],
)
def test_a_load_that_cannot_be_is_refused(changes: Config, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        size_ways(read_pretrained(example("qwen3_moe")), **changes)


def test_devices_and_caches_that_cannot_be_are_refused() -> None:
    model = read_pretrained(example("qwen3_moe"))
    way = ways(model)["full"]
    for memory, devices, words in (
        (0, 1, "device_memory_bytes"),
        (GB, 0, "max_devices"),
        (GB, MOST_DEVICES + 1, "fewer"),
    ):
        with pytest.raises(ConfigError, match=words):
            split_over(model, way, memory, devices)
    with pytest.raises(ConfigError, match="KV cache precision = 'int8'"):
        model.kv_cache_bytes(8, 1, "int8")
    with pytest.raises(ConfigError, match="seq_tokens=0"):
        model.kv_cache_bytes(0)
    with pytest.raises(ConfigError, match="precision = 'half'"):
        model.weights_bytes("half")


def test_a_config_is_sized_without_torch() -> None:
    code = (
        "import json, sys; from interconnected_ai.planner.pretrained import read_pretrained, size_ways;"
        "model = read_pretrained(json.loads(sys.argv[1])); size_ways(model);"
        "print(model.num_params, [name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    config = json.dumps(PUBLISHED["DeepSeek-V3"])
    done = subprocess.run([sys.executable, "-c", code, config], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "671026404352 []"
