"""Which tokens llama.cpp's server keeps back, and which ones it may have been, told by the bytes that it sent for them."""

from collections.abc import Iterator, Sequence
from functools import cached_property

_LEADS = ((0xE0, 0xC0, 2), (0xF0, 0xE0, 3), (0xF8, 0xF0, 4))  # mask, first byte, bytes of the character
_ENOUGH = 2  # fillings, to know that there is not one alone


class Pieces:
    """The bytes of every token by id, and the tokens of every bytes."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def of(self, token_id: int) -> bytes:
        """A token's bytes; none beyond the vocabulary."""
        return self._pieces[token_id] if token_id < len(self._pieces) else b""

    @cached_property
    def tokens(self) -> dict[bytes, list[int]]:
        """The tokens that some bytes may be; of those without bytes none."""
        found: dict[bytes, list[int]] = {}
        for token_id, piece in enumerate(self._pieces):
            if piece:
                found.setdefault(piece, []).append(token_id)
        return found


class UnsentText:
    """The end of an answer as llama.cpp's server looks at it after each token (`validate_utf8` in its server-common.cpp)."""

    def __init__(self) -> None:
        self._end = b""

    def add(self, piece: bytes) -> bool:
        """One token more: whether its text is sent, which it is not while the last four bytes begin a character unended."""
        self._end = (self._end + piece)[-4:]
        return not is_within_character(self._end)


def is_within_character(text: bytes) -> bool:
    """Whether one of the last four bytes begins a character that is longer than what follows it."""
    return any(
        text[-back] & mask == first and back < length
        for back in range(1, min(4, len(text)) + 1)
        for mask, first, length in _LEADS
    )


def fillings(pieces: Pieces, text: bytes, num_tokens: int) -> list[tuple[int, ...]]:
    """At most two ways in which so many tokens make up these bytes, each of them ending within a character.

    A token without text, said within a character, is taken for not said.
    """
    found: list[tuple[int, ...]] = []
    for way in _ways(pieces, text, num_tokens, b""):
        found.append(way)
        if len(found) == _ENOUGH:
            break
    return found


def _ways(pieces: Pieces, text: bytes, num_tokens: int, before: bytes) -> Iterator[tuple[int, ...]]:
    if not num_tokens:
        if not text:
            yield ()
        return
    for cut in range(1, len(text) - num_tokens + 2):
        piece, said = text[:cut], before + text[:cut]
        if is_within_character(said[-4:]):
            for token_id in pieces.tokens.get(piece, ()):
                for rest in _ways(pieces, text[cut:], num_tokens - 1, said):
                    yield (token_id, *rest)
