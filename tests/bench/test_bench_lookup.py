"""The bench of prompt look-up on a tiny base: both ways say the same, and the command prints it."""

from pathlib import Path

import pytest
from tests.cli import command_line
from tests.experts.causal_folders import causal_folder, small_llama

from interconnected_ai.bench import bench_lookup
from interconnected_ai.bench.lookup import TASKS


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return causal_folder(tmp_path_factory.mktemp("base"), small_llama(max_position_embeddings=1024))


def test_both_ways_say_the_same_tokens_at_some_speed(base: Path) -> None:
    found = bench_lookup(base, num_new=12, repeats=1)
    assert [row["task"] for row in found["lookup_rows"]] == list(TASKS)
    for row in found["lookup_rows"]:
        assert row["same_tokens"] == 1.0
        assert row["ratio"] == found[f"lookup_{row['task']}"] > 0


def test_the_command_prints_it(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = command_line.run_json(capsys, "bench", "generate", "--lookup", str(base), "--repeats", "1")
    assert found["lookup_quote"] > 0
    assert found["base"] == str(base)
