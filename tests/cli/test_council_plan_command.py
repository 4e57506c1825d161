"""`iai council plan`: a verdict with its range and what it rests on, before anything is trained."""

import json
from pathlib import Path

import pytest
from command_line import error_of, run_json, run_main

ASKED = ("council", "plan", "--tokens", "3000000", "--domains", "6", "--device", "L4")


def test_a_plan_says_its_verdict_its_range_and_what_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, *ASKED, "--minutes", "5")
    assert told["verdict"] in ("council", "dense", "either")
    ratio = told["bits_per_byte_ratio"]
    assert ratio["low"] < ratio["expected"] < ratio["high"]
    assert told["council_bytes"] == 7 * told["dense_bytes"]
    assert run_main(*ASKED, "--minutes", "5") == 0
    said = capsys.readouterr().out
    assert f"{told['verdict']}: " in said
    assert "Measured 20" in said


def test_a_curve_of_ones_own_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = {
        "what": "",
        "num_domains": 6,
        "seed_share": 0.5,
        "num_params": 1,
        "text_tokens": 1,
        "council_over_dense_bpb": 0.8,
    }
    content = {"measured": "here", "points": [{**point, "dense_tokens": 10**power} for power in (1, 3, 6)]}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    told = run_json(capsys, *ASKED, "--minutes", "5", "--curve", str(tmp_path / "mine.json"))
    assert told["verdict"] == "council"
    assert told["measured"] == "here"
    (tmp_path / "mine.json").write_text(json.dumps({"measured": "here", "points": []}))
    assert "points" in error_of(capsys, *ASKED, "--minutes", "5", "--curve", str(tmp_path / "mine.json"))


def test_what_does_not_fit_together_is_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, *ASKED, "--minutes", "5", "--ram-gb", "0.002")
    assert told["verdict"] == "dense"
    assert told["num_resident"] < 2
