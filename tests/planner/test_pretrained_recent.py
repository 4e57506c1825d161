"""Families of hybrids, sparse attention and wrappers: sized as transformers builds them, and as their publishers say."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from published_mixtures import PUBLISHED_MIXTURES

from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.pretrained import FAMILIES, read_pretrained, size_ways

# the family's name among the tiny models → what config.json calls its language model
TINY = {
    "bailing_hybrid": "bailing_hybrid",
    "deepseek_v32": "deepseek_v32", "dots1": "dots1", "ernie4_5_moe": "ernie4_5_moe", "gemma4": "gemma4_text",
    "glm4_moe_lite": "glm4_moe_lite", "glm_moe_dsa": "glm_moe_dsa", "hunyuan_v1_moe": "hunyuan_v1_moe", "jamba": "jamba",
    "lfm2_moe": "lfm2_moe", "llama4": "llama4_text", "mimo_v2_flash": "mimo_v2_flash",
    "minimax_m3_vl": "minimax_m3_vl_text", "nemotron_h": "nemotron_h", "qwen3_5_moe": "qwen3_5_moe_text",
}  # fmt: skip
HYBRID = {
    "gemma4": {"global_head_dim": 16, "attention_k_eq_v": True, "num_global_key_value_heads": 1},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"], "mamba_num_heads": 4,
        "mamba_head_dim": 8, "ssm_state_size": 4, "n_groups": 2, "chunk_size": 8,
    },
}  # fmt: skip
PROMPT = torch.randint(3, 90, (2, 9), generator=torch.Generator().manual_seed(0))


def tiny(name: str) -> tuple[Any, dict[str, Any]]:
    model = make(name, **HYBRID.get(name, {}))
    return model, model.config.to_dict()


@pytest.mark.parametrize("name", TINY)
def test_every_tensor_is_the_one_transformers_builds(name: str) -> None:
    model, config = tiny(name)
    planned = read_pretrained(config)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.named_parameters()}
    assert Counter(weight.shape for weight in planned.weights) == Counter(shapes.values())
    assert {weight.name for weight in planned.weights} == set(shapes)
    assert planned.num_params == sum(tensor.numel() for tensor in model.parameters())
    assert planned.num_moe_layers == sum(key.endswith("experts.down_proj") for key in shapes)
    assert planned.num_expert_params_all == sum(
        tensor.numel() for key, tensor in model.named_parameters() if ".experts." in key
    )


@torch.no_grad()
@pytest.mark.parametrize("name", TINY)
def test_the_cache_takes_the_bytes_of_a_real_forward_pass(name: str) -> None:
    model, config = tiny(name)
    planned = read_pretrained(config)
    for steps in ((3,), (9,), (6, 1, 1)):
        cache = None
        for tokens in steps:
            cache = model(PROMPT[:, :tokens], past_key_values=cache, use_cache=True).past_key_values
        assert held(cache) == planned.kv_cache_bytes(sum(steps), 2, "float32"), steps


def held(cache: Any) -> int:
    """Bytes of every tensor a transformers cache holds, wherever a layer keeps it."""
    found: dict[int, torch.Tensor] = {}

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            found[id(value)] = value
        elif isinstance(value, dict):
            for each in value.values():
                look(each)

    for layer in cache.layers:
        for value in vars(layer).values():
            look(value)
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


def meets(value: float, published: str) -> bool:
    """Within a hundredth of a published figure, or the same where that was rounded or cut off more coarsely."""
    number, unit = published[:-1], {"B": 1e9, "T": 1e12}[published[-1]]
    digits = len(number.partition(".")[2])
    cut = math.floor(value / unit * 10**digits) / 10**digits
    rounded = round(value / unit, digits)
    return abs(value / unit / float(number) - 1) <= 0.01 or float(number) in (cut, rounded)


@pytest.mark.parametrize("name", PUBLISHED_MIXTURES)
def test_published_totals_are_met_within_a_hundredth_or_to_the_published_digit(name: str) -> None:
    told = PUBLISHED_MIXTURES[name]
    counted = read_pretrained(told.config).num_params
    if "text_config" in told.config:  # towers for pictures, which are not counted, take up to a fiftieth
        assert meets(counted, told.total) or meets(counted * 1.015, told.total), told.figures
    else:
        assert meets(counted, told.total), told.figures


@pytest.mark.parametrize("name", PUBLISHED_MIXTURES)
def test_published_active_parameters_lie_between_the_counts_with_and_without_embeddings(name: str) -> None:
    told = PUBLISHED_MIXTURES[name]
    model = read_pretrained(told.config)
    most = model.num_active_params
    least = most - model.num_embedding_params - model.num_head_params
    assert least <= model.num_active_params_without_lookup <= most
    number = float(told.active[:-1]) * 1e9
    room = 10.0 ** -len(told.active[:-1].partition(".")[2]) * 1e9  # one of the last published digit
    assert least - room < number < most + room, told.figures


@pytest.mark.parametrize("name", PUBLISHED_MIXTURES)
def test_every_way_to_use_a_published_mixture_has_a_size(name: str) -> None:
    ways = size_ways(read_pretrained(PUBLISHED_MIXTURES[name].config), seq_tokens=128)
    assert all(way.total_bytes > 0 for way in ways)


def test_a_wrapper_is_sized_by_its_language_model_and_says_so() -> None:
    model = read_pretrained(PUBLISHED_MIXTURES["Llama-4-Scout"].config)
    assert model.model_type == "llama4_text"
    assert any("wrapper" in note for note in model.notes)


def test_a_hybrid_without_its_layers_kinds_is_refused_by_the_missing_key() -> None:
    config = {key: value for key, value in PUBLISHED_MIXTURES["LFM2-8B-A1B"].config.items() if key != "layer_types"}
    with pytest.raises(ConfigError, match="layer_types"):
        read_pretrained(config)


def test_the_text_model_of_step_is_the_one_transformers_builds() -> None:
    """Its wrapper is the only class there is, and published files name its settings otherwise."""
    from transformers import Step3p7Config, Step3p7ForConditionalGeneration

    text = {
        "model_type": "step3p5", "vocab_size": 90, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_attention_groups": 2, "head_dim": 8, "moe_num_experts": 6, "moe_top_k": 2,
        "moe_intermediate_size": 16, "share_expert_dim": 12, "moe_layers_enum": "1,3,4", "sliding_window": 5,
        "attention_other_setting": {"num_attention_heads": 6, "num_attention_groups": 2},
        "layer_types": ["full_attention", *["sliding_attention"] * 3, "full_attention"], "num_nextn_predict_layers": 1,
        "max_position_embeddings": 64, "dtype": "float32",
    }  # fmt: skip
    planned = read_pretrained({"model_type": "step3p7", "text_config": text})
    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        "max_position_embeddings": 4,
    }  # fmt: skip
    config = Step3p7Config(text_config=dict(text), vision_config=vision)
    model = Step3p7ForConditionalGeneration(config).eval()
    shapes = {
        name.replace("model.language_model.", "model."): tuple(tensor.shape)
        for name, tensor in model.named_parameters()
        if name.startswith(("model.language_model.", "lm_head."))
    }
    assert {weight.name: weight.shape for weight in planned.weights} == shapes
    saved = read_pretrained(config.to_dict())
    assert saved.weights == planned.weights
    with torch.no_grad():
        cache = model(PROMPT, use_cache=True).past_key_values
    assert held(cache) == planned.kv_cache_bytes(9, 2, "float32")


def test_every_family_here_has_a_row() -> None:
    assert set(TINY.values()) <= set(FAMILIES)
