"""Numbers that say where a thing stands: a message's session and place, an index entry's message, kind and length.

number = session · 2³⁰ + place        messages lie on disk in the order of their session, neighbours are ± 1
entry  = number · 2¹⁰ + kind · 2⁸ + length code        what BM25 needs of a hit is in its number: no second look-up
"""

from enum import IntEnum

_PLACE_BITS, _ENTRY_BITS, _LENGTH_BITS = 30, 10, 8
MAX_PLACE = (1 << _PLACE_BITS) - 1
_STEPS_PER_DOUBLING = 16


class Kind(IntEnum):
    """What an index entry is of. Speech is what a user or a named speaker says; a reply, what an assistant or a tool does."""

    SPEECH = 0
    REPLY = 1
    SUMMARY = 2
    FACT = 3


def number_of(session: int, place: int) -> int:
    """The number of a session's place; also of its fact or summary with that number, beside their kind."""
    assert 0 <= place <= MAX_PLACE
    return (session << _PLACE_BITS) | place


def session_of(number: int) -> int:
    """The session that a number belongs to."""
    return number >> _PLACE_BITS


def place_of(number: int) -> int:
    """The place within its session."""
    return number & MAX_PLACE


def entry_of(number: int, kind: Kind, num_words: int) -> int:
    """The index entry of a message, summary or fact of `num_words` words."""
    return (number << _ENTRY_BITS) | (kind << _LENGTH_BITS) | length_code(num_words)


def number_in(entry: int) -> int:
    """The number inside an index entry."""
    return entry >> _ENTRY_BITS


def kind_in(entry: int) -> int:
    """The kind inside an index entry, as a plain number: this is asked for every posting."""
    return (entry >> _LENGTH_BITS) & 3


def length_code(num_words: int) -> int:
    """Eight bits for a length: 16 steps a doubling, so that a length is kept to 4.4 %."""
    if num_words < 1:
        return 0
    doublings = num_words.bit_length() - 1
    part = ((num_words - (1 << doublings)) * _STEPS_PER_DOUBLING) >> doublings
    return min(255, doublings * _STEPS_PER_DOUBLING + part + 1)


LENGTHS = (0.5, *(2 ** (step // _STEPS_PER_DOUBLING) * (1 + step % _STEPS_PER_DOUBLING / 16) for step in range(255)))
"""Words for every length code."""
