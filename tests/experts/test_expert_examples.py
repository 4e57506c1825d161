"""The document's five examples run as they stand, and print what it says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(capsys: pytest.CaptureFixture[str], name: str, **settings: Any) -> list[str]:
    """The lines that an example prints."""
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**settings)
    return capsys.readouterr().out.splitlines()


def test_basic_use(capsys: pytest.CaptureFixture[str]) -> None:
    counted, shapes = run(capsys, "expert_basic")
    assert counted.startswith("5,719,552 parameters")
    assert shapes == "token ids [1, 10] -> logits [1, 10, 5000]"


def test_strategies(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "expert_strategies")
    answers = {line[:27].strip(): line[28:] for line in lines}
    assert len(answers) == 11
    assert len(set(answers.values())) >= 8
    assert run(capsys, "expert_strategies") == lines


def test_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split() for line in run(capsys, "expert_sizes")[1:]]
    assert rows == [
        ["tiny", "1,676,800", "6.4", "3.2", "1.6"],
        ["small", "8,279,552", "31.6", "15.8", "7.9"],
        ["medium", "51,683,328", "197.2", "98.6", "49.3"],
        ["large", "133,504,512", "509.3", "254.6", "127.3"],
    ]


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "expert_speed", vocab_size=100, d_model=32, n_layers=1, num_new=3, batches=(1, 2))
    assert [line.split()[0] for line in lines[2:]] == ["1", "2"]
    assert all(float(line.split()[2]) > 0 for line in lines[2:])


def test_save_and_load(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "expert_save_load")
    assert len(lines) == 2
    assert all(line.endswith("0.0000000000") for line in lines)
