"""Tokens that a server's stream leaves out: told from the bytes that it sends for them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.experts.engines.token_gaps import Pieces, UnsentText, fillings, is_within_character
from properties import examples

_BYTES = Pieces([bytes([number]) for number in range(256)])


@examples(60)
@given(text=st.text(min_size=1, max_size=6))
def test_text_of_single_bytes_is_told_byte_for_byte(text: str) -> None:
    raw, unsent = text.encode(), UnsentText()
    kept: list[int] = []
    for number in raw:
        if unsent.add(bytes([number])):
            between = bytes(kept)
            assert fillings(_BYTES, between, len(kept)) == [tuple(kept)]
            kept = []
        else:
            kept.append(number)
    assert not kept  # whole characters are sent


def test_a_character_that_has_not_ended_is_kept_back() -> None:
    cut = ["ж".encode()[:1], "日".encode()[:2], "😀".encode()[:3], b"a" + "日".encode()[:1], "日".encode()[:1] + b"a"]
    assert [is_within_character(text) for text in cut] == [True] * 5
    assert not any(map(is_within_character, ["ж".encode(), "a日".encode(), "😀".encode(), b"", b"\xff", b"\x80\x80"]))


@pytest.mark.parametrize(
    ("pieces", "text", "num_tokens", "wanted"),
    [
        ([b"\xf0\x9f", b"\x98", b"\x80"], b"\xf0\x9f\x98", 2, [(0, 1)]),
        ([b"\xf0", b"\x9f", b"\x98", b"\xf0\x9f", b"\x9f\x98"], b"\xf0\x9f\x98", 2, [(0, 4), (3, 2)]),  # either
        ([b"\xe6", b"\xe6", b"\x97"], b"\xe6", 1, [(0,), (1,)]),  # two tokens of one text
        ([b"a", b"\xe6"], b"a\xe6", 2, []),  # a whole character is sent at once
        ([b"a\xe6"], b"a\xe6", 1, [(0,)]),
        ([b"\xe6"], b"", 1, []),
    ],
)
def test_two_ways_to_fill_a_gap_are_not_taken_for_one(
    pieces: list[bytes], text: bytes, num_tokens: int, wanted: list[tuple[int, ...]]
) -> None:
    assert fillings(Pieces(pieces), text, num_tokens) == wanted


def test_never_more_than_two_ways_are_looked_for() -> None:
    many = Pieces([b"\xf0"] * 500 + [b"\x9f"] * 500)
    assert len(fillings(many, b"\xf0\x9f", 2)) == 2


def _cuts(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((raw[:cut], raw[cut:]) for cut in range(1, len(raw)))


def test_every_cut_of_a_character_is_within_it() -> None:
    for character in "жé日😀":
        assert all(is_within_character(before) for before, _ in _cuts(character.encode()))
