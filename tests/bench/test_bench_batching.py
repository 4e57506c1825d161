"""The bench of answers made together, on tiny models: the same tokens at some speed, and the command prints it."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli import command_line
from tests.experts.causal_folders import causal_folder, small_llama

from conftest import make_system
from interconnected_ai.bench import batching as file
from interconnected_ai.bench import bench_batching
from interconnected_ai.config import ExpertConfig

TINY: dict[str, Any] = {"num_streams": 3, "num_prompt": 5, "num_new": 8, "num_callers": 3, "repeats": 1}
FIGURES = ("batching_gain", "sampled_gain", "over_turns", "over_one_call", "classify_batch_share")


@pytest.mark.parametrize("what", ["an expert", "a base"])
def test_streams_say_the_same_tokens_together_at_some_speed(what: str, tmp_path: Path) -> None:
    base = None if what == "an expert" else causal_folder(tmp_path / "base", small_llama())
    config = ExpertConfig(vocab_size=97, d_model=32, n_layers=2, n_heads=4, norm="pre")
    found = bench_batching(base, config=config, system=make_system("topic"), **TINY)
    assert found["same_tokens"] == 1.0
    assert all(found[figure] > 0 for figure in FIGURES)
    assert 1 <= found["rows_per_pass"] <= 3
    assert 1 <= found["texts_per_pass"] <= 3


def test_the_command_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = file.bench_batching
    monkeypatch.setattr(
        file, "bench_batching", lambda base, **more: measure(base, **{**more, **TINY, "system": make_system("topic")})
    )
    base = causal_folder(tmp_path / "base", small_llama())
    found = command_line.run_json(capsys, "bench", "batching", "--base", str(base), "--streams", "3", "--repeats", "1")
    assert found["base"] == str(base)
    assert all(found[figure] > 0 for figure in FIGURES)
