"""Tables for people: what a row is of can be read, however many columns stand beside it."""

import pytest

from interconnected_ai.cli.output import Output

STEPS = [
    "see",
    "remove",
    "insert",
    "replace",
    "change of rules",
    "adapters",
    "pack",
    "offload",
    "save",
    "open",
    "merge",
]


def test_names_in_the_first_column_are_neither_cut_nor_broken(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["qwen3_5_moe_text_of_a_wrapper", "granitemoehybrid"]
    Output(as_json=False).table("Operations", ["family", *STEPS], [(name, *"✓" * len(STEPS)) for name in names])
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    assert max(map(len, shown.splitlines())) <= 120


def test_sentences_in_the_first_column_leave_room_for_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table("Rules", ["rule", "why"], [("word " * 40, "since " * 20)])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("word") == 40
    assert shown.count("since") == 20
