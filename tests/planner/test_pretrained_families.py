"""Pretrained MoE families: every tensor, byte and cache entry is that of the model transformers builds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from moe_configs import FULL, MEASURED, SLIDING, Config, build, configs, example, few, on_meta
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from interconnected_ai.planner.pretrained import read_pretrained
from properties import examples


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


@pytest.mark.parametrize("model_type", sorted(set(MEASURED) - {"qwen3_moe", "mixtral", "olmoe"}))
def test_every_tensor_of_the_other_families_is_the_one_transformers_builds(model_type: str) -> None:
    examples(4)(given(configs(model_type))(agrees))()


@pytest.mark.parametrize("model_type", MEASURED)
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


@pytest.mark.parametrize("model_type", MEASURED)
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


@pytest.mark.parametrize("model_type", MEASURED)
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
