"""Pretrained MoEs that cannot be sized: every refusal names the key and the remedy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_configs import MEASURED, PUBLISHED, Config, example, ways

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.pretrained import FAMILIES, MOST_DEVICES, read_pretrained, size_ways, split_over
from properties import examples


def refused(config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_pretrained(config)
    return str(caught.value)


def test_an_unknown_architecture_is_named_beside_the_known_ones_nearest_first() -> None:
    message = refused({**example("mixtral"), "model_type": "mistral"})
    assert "'mistral'" in message
    assert all(name in message for name in FAMILIES)
    assert message.index("mixtral") < message.index("qwen3_moe")


@pytest.mark.parametrize("model_type", MEASURED)
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


@examples(150)
@given(st.sampled_from(MEASURED), st.data())
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
        (10**9, 0, "max_devices"),
        (10**9, MOST_DEVICES + 1, "fewer"),
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
