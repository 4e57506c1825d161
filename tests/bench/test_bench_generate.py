"""`iai bench generate` on a tiny model: every contestant does the same work, and the ratios are of what it says."""

from typing import Any

import pytest

from interconnected_ai.bench.generate import bench_generate
from interconnected_ai.config import ExpertConfig
from interconnected_ai.experts.compiled import step_library

TINY = ExpertConfig(vocab_size=120, d_model=16, n_layers=1, n_heads=2, norm="pre", max_seq_len=32)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return bench_generate(TINY, num_prompt=3, num_new=5, repeats=1, only=["torch"])


def test_every_contestant_is_measured_at_every_batch(found: dict[str, Any]) -> None:
    measured = [(row["engine"], row["batch"]) for row in found["rows"]]
    names = ("torch float32", "torch float32, calls", "transformers sdpa", "transformers eager")
    assert measured == [(name, batch) for batch in (1, 8) for name in names]
    assert all(row["tokens_per_second"] > 0 for row in found["rows"])
    assert found["passed_over"].keys() == {"torch int8", "torch int4"}


def test_the_same_weights_give_the_same_tokens(found: dict[str, Any]) -> None:
    assert all(row["same_tokens"] == 1.0 for row in found["rows"])


def test_the_ratios_are_of_the_rows(found: dict[str, Any]) -> None:
    for batch in (1, 8):
        speed = {row["engine"]: row["tokens_per_second"] for row in found["rows"] if row["batch"] == batch}
        best = max(speed["transformers sdpa"], speed["transformers eager"])
        assert found[f"torch_over_hf_b{batch}"] == pytest.approx(speed["torch float32"] / best)
        assert found[f"torch_calls_over_hf_b{batch}"] == pytest.approx(speed["torch float32, calls"] / best)
        assert found[f"best_over_hf_b{batch}"] == found[f"torch_over_hf_b{batch}"]
        assert found[f"torch_calls_token_ms_b{batch}"] != found[f"torch_token_ms_b{batch}"]
    assert found["torch_step"] == (step_library().why_not or "compiled")


def test_a_token_reads_the_weights_and_the_cache(found: dict[str, Any]) -> None:
    weights = found["num_params"] - 120 * 16
    cache = 2 * 1 * 16 * (3 + 5 // 2)
    assert found["token_bytes_b1"] == 4 * (weights + cache)
    assert found["token_bytes_b8"] == 4 * (weights + 8 * cache)
    assert found["load_ms"] > 0
    assert found["load_again_ms"] > 0
