"""The estimate of tokens against o200k's own counts, which stand in o200k_counts.json: no vocabulary is needed here.

They were counted once with the package bpe-openai, which brings the vocabulary along. The weights were fitted to other texts of
the same kinds, but for the scripts, of which there is one text each.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.text import estimate_tokens
from properties import examples

COUNTED = json.loads((Path(__file__).parent / "o200k_counts.json").read_text(encoding="utf-8"))
KINDS = sorted({one["kind"] for one in COUNTED})


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_of_each_kind_of_text_is_within_a_tenth_of_o200k(kind: str) -> None:
    texts = [one for one in COUNTED if one["kind"] == kind]
    estimated = sum(estimate_tokens(one["text"]) for one in texts)
    counted = sum(one["tokens"] for one in texts)
    assert 0.9 * counted <= estimated <= 1.1 * counted


def test_all_kinds_together_are_estimated_a_little_above() -> None:
    sums: defaultdict[str, int] = defaultdict(int)
    for one in COUNTED:
        sums["estimated"] += estimate_tokens(one["text"])
        sums["counted"] += one["tokens"]
    assert sums["counted"] <= sums["estimated"] <= 1.06 * sums["counted"]


@pytest.mark.parametrize(("digits", "tokens"), [("7", 1), ("123", 1), ("1234", 2), ("123456", 2), ("1" * 300, 100)])
def test_three_digits_are_one_token(digits: str, tokens: int) -> None:
    assert estimate_tokens(digits) == tokens


@examples(200)
@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(first: str, second: str) -> None:
    assert estimate_tokens(first + second) >= estimate_tokens(first)


@given(st.text(st.characters(codec=None), min_size=1))
def test_every_text_has_an_estimate(text: str) -> None:
    assert 1 <= estimate_tokens(text) <= 4 * len(text.encode("utf-8", "surrogatepass"))
