"""Published pretrained MoEs come out to the published digit."""

import json
import math

import pytest
from moe_configs import PUBLISHED, published

from interconnected_ai.planner.pretrained import read_pretrained


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
