"""What would be dropped without a word is refused: two places for one thing, and words that speak of what is not there."""

import pytest
from command_line import error_of, run_main

REFUSED = {
    ("predict", "run", "a text", "--file", "texts.txt"): ("TEXTS", "--file"),
    ("predict", "run", "a text", "--text", "column"): ("--text", "--file"),
    ("predict", "run", "-", "a text"): ("`-`", "standard input"),
    ("generate", "expert", "a prompt", "-"): ("`-`", "standard input"),
    ("evaluate", "run", "--text", "column"): ("--text", "--data"),
    ("evaluate", "run", "--label", "label"): ("--label", "--data"),  # the default too: it was written down
    ("compare", "run", "run", "--label", "column"): ("--label", "--data"),
    ("quickstart", "--text", "column"): ("--text", "--data"),
    ("expert", "evaluate", "expert", "--column", "text"): ("--column", "FILES"),
    ("surgery", "role", "m", "--name", "r", "--texts", "t", "--output", "o", "--experts", "1", "--share", "0.5"): (
        "--share",
        "--experts",
    ),
    ("surgery", "role", "m", "--name", "r", "--texts", "t", "--output", "o", "--method", "full", "--rank", "4"): (
        "--rank",
        "--method",
    ),
    ("expert", "train", "--text", "t", "--out", "o", "--minutes", "1", "--steps", "9"): ("--minutes", "--steps"),
    ("expert", "train", "--text", "t", "--out", "o", "--minutes", "1", "--epochs", "9"): ("--minutes", "--epochs"),
    ("expert", "train", "--text", "t", "--out", "o", "--tokenizer", "t", "--vocab-size", "9"): ("--tokenizer", "--vocab-size"),
    ("expert", "train", "--text", "t", "--out", "o", "--init", "e", "--vocab-size", "9"): ("--init", "--vocab-size"),
    ("expert", "train", "--text", "t", "--out", "o", "--init", "e", "--preset", "tiny"): ("--init", "--preset"),
    ("council", "quickstart", "--experts", "8", "--base", "smollm2"): ("--experts", "--base"),
    ("council", "quickstart", "--experts", "8", "--steps", "9"): ("--experts", "--steps"),
    ("plan", "system", "--data", "bank=bank.csv"): ("--data", "--write"),
    ("plan", "fit", "--data", "bank=bank.csv"): ("--data", "--write"),
    ("plan", "pool", "--experts", "4", "--ram-gb", "1", "--params", "1000", "--preset", "tiny"): ("--params", "--preset"),
    ("plan", "pool", "--experts", "4", "--ram-gb", "1", "--params", "1000", "--d-model", "8"): ("--params", "--d-model"),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_what_would_be_ignored_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    told = error_of(capsys, *words)
    assert all(named in told for named in REFUSED[words]), told


def test_figures_that_words_would_not_show_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("generate", "expert", "a prompt", "--logprobs", "3") == 2
    assert "add --json" in capsys.readouterr().err
