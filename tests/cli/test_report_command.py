"""`iai report` as a stranger uses it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import make_encoder, make_rows
from interconnected_ai.cli import main
from interconnected_ai.data import write_rows

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    write_rows(folder / "topics.jsonl", *make_rows("topics", 90).of("topics"))
    config = {
        "output": str(folder / "run"),
        "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 32},
        "data": {"branches": [{"name": "topics", "path": "topics.jsonl"}], "test_fraction": 0.2},
        "training": {"epochs": 2, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": []},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    assert leave_code("train", str(folder / "run.yaml")) == 0
    return folder / "run"


def leave_code(*arguments: str) -> int:
    """The exit code of `iai ARGUMENTS`."""
    try:
        main(list(arguments))
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


def report_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """What `iai report ARGUMENTS --json` prints on stdout: exactly one JSON object."""
    capsys.readouterr()
    assert leave_code("report", *arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_the_page_stands_in_the_run_unless_another_place_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert leave_code("report", str(run)) == 0
    out = capsys.readouterr().out
    assert f"Wrote {run / 'report.html'}" in out
    assert "ECE before %" in out
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    page, picture = tmp_path / "made" / "page.html", tmp_path / "page.png"
    assert leave_code("report", str(run), "--output", str(page), "--png", str(picture), "--language", "ru") == 0
    assert "Результаты на тесте" in page.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_has_the_measured_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report_json(capsys, str(run), "--usd-per-hour", "7.2")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    topics = found["branches"]["topics"]
    assert topics["accuracy"] == pytest.approx(results["test"]["topics"]["accuracy"])
    assert topics["num_classes"] == 3
    assert topics["calibration_error_before"] >= 0
    assert found["cost"]["usd"] == pytest.approx(found["cost"]["seconds"] * 0.002)
    assert found["fit"]["steps"] == results["fit"]["steps"]
    assert (found["finished"], found["missing"], found["picture"]) == (True, [], None)
    assert found["page"] == str(run / "report.html")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["{tmp}/nowhere"], "NotAModelError", "no folder at"),
        (["{tmp}"], "NotAModelError", "is no run"),
        (["{run}", "--output", "{tmp}/page.txt"], "ConfigError", "does not end in .html"),
        (["{run}", "--png", "{tmp}/page.gif"], "ConfigError", "does not end in .png"),
        (["{run}", "--usd-per-hour", "-2"], "ConfigError", "usd_per_hour=-2"),
        (["{run}", "--usd-per-hour", "cheap"], "UsageError", "cheap"),
        (["{run}", "--language", "de"], "UsageError", "'ru'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], kind: str, words: str
) -> None:
    filled = [argument.format(run=run, tmp=tmp_path) for argument in arguments]
    error = report_json(capsys, *filled, code=2)["error"]
    assert error["kind"] == kind
    assert words in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_extra_is_named(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = report_json(capsys, str(run), code=2)["error"]
    assert error["kind"] == "MissingExtraError"
    assert "interconnected-ai[training]" in error["message"]
