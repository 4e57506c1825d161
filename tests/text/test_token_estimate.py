"""The estimate of tokens against o200k's own counts, which stand in o200k_counts.json: no vocabulary is needed here.

They were counted once with the package bpe-openai, which brings the vocabulary along. The weights were fitted to other texts of
the same kinds, but for the scripts, of which there is one text each.
"""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.text import estimate_tokens, rounded_thousandths, token_estimate, token_thousandths
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


def counted_plainly(text: str) -> int:
    """The estimate with every pattern counted in the whole text."""
    data = text.encode("utf-8", "surrogatepass")
    classes = data.translate(token_estimate._CLASSES)
    letters, sounds = classes.replace(b"b", b"a").replace(b"k", b"a"), classes.replace(b"k", b"b")
    weights = token_estimate._WEIGHTS
    tokens = sum(weight * letters.count(what) for what, weight in token_estimate._PATTERNS.items())
    tokens += weights["rare consonant"] * classes.count(b"k")
    tokens += weights["four consonants"] * sounds.count(b"bbbb") + weights["three vowels"] * sounds.count(b"aaa")
    threes = letters.replace(b"000", b"D")
    tokens += threes.count(b"D") + threes.count(b"0") - threes.count(b"00")
    leads = data.translate(None, token_estimate._NO_LEADS)
    tokens += sum(token_estimate._LEADS[bytes([one])] * leads.count(one) for one in sorted(set(leads)))
    pairs = Counter(re.findall(rb"[\xe0-\xe2][\x80-\xbf]", data))
    tokens += sum(token_estimate._PAIRS[pair] * number for pair, number in sorted(pairs.items()))
    return max(1, round(tokens)) if text else 0


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_are_counted_where_runs_begin_as_in_the_whole_text(kind: str) -> None:
    for one in COUNTED:
        if one["kind"] == kind:
            assert estimate_tokens(one["text"]) == counted_plainly(one["text"])


@examples(300)
@given(st.text(st.sampled_from("aabeBU10 \n\t.,kЁяé—Ⴀไ한😀\ud83d"), max_size=60) | st.text(st.characters(codec=None)))
def test_patterns_are_counted_where_runs_begin_in_any_text(text: str) -> None:
    assert estimate_tokens(text) == counted_plainly(text)


@pytest.mark.parametrize("kind", KINDS)
def test_thousandths_are_what_the_estimate_rounds(kind: str) -> None:
    for one in COUNTED:
        if one["kind"] == kind:
            assert rounded_thousandths(token_thousandths(one["text"])) in (None, estimate_tokens(one["text"]))


@examples(300)
@given(st.text(st.sampled_from("aabeBU10 \n\t.,kЁяé—Ⴀ大한😀"), min_size=1, max_size=60) | st.text(min_size=1))
def test_thousandths_are_what_the_estimate_rounds_in_any_text(text: str) -> None:
    assert abs(token_thousandths(text) / 1_000 - token_estimate._sum_of(text, token_estimate._TOKENS)) < 1e-6
    assert rounded_thousandths(token_thousandths(text)) in (None, estimate_tokens(text))


def test_only_a_half_is_not_rounded() -> None:
    told = {0: 1, 499: 1, 500: None, 501: 1, 1_499: 1, 1_500: None, 1_501: 2, 2_500: None, 12_000_499: 12_000}
    assert {thousandths: rounded_thousandths(thousandths) for thousandths in told} == told


_ANY = st.text(st.sampled_from("aabeBU10 \n.,:>kЁя—한"), max_size=30) | st.text(max_size=30)


@examples(300)
@given(_ANY, _ANY)
def test_thousandths_add_up_where_a_text_is_cut_before_a_line_or_between_a_mark_and_a_space(
    first: str, second: str
) -> None:
    for before, behind in ((first.rstrip("\r\n"), f"\n{second}"), (f"{first}>", f" {second}")):
        assert token_thousandths(before) + token_thousandths(behind) == token_thousandths(before + behind)
