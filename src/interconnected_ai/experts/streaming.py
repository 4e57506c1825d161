"""Text as it comes: never half a character, never the beginning of a stop string."""

import codecs
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TypeVar

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.text import TextTokenizer, token_bytes
from interconnected_ai.types import Generation, Piece, Stream, TokenStep

Whole = TypeVar("Whole")


class TextFeed:
    """Tokens in, text out: what `add` and `finish` return is, joined, the text of the answer.

    Bytes that may be the beginning of a stop string, or of a character, wait until the next tokens tell. Only they are kept:
    a token costs the same however long the answer is. stopped_by: the stop string that came, once one did.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str] = ()) -> None:
        rules = TextRules.of(GenerationConfig(stop=tuple(stop)), tokenizer)
        self._rules = rules or TextRules(token_bytes(tokenizer), (), (), ())
        self._waiting = b""
        self.stopped_by: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """What this token brings to light; may be empty."""
        if self.stopped_by is not None:
            return ""
        unshown = self._waiting + self._rules.piece(token_id)
        found = {stop: place for stop in self._rules.stop if (place := unshown.find(stop)) >= 0}
        first = min(found, key=lambda stop: found[stop]) if found else None
        end = len(unshown) - self._num_waiting(unshown) if first is None else found[first]
        self._waiting = unshown[end:] if first is None else b""
        self.stopped_by = None if first is None else first.decode()
        return self._decoder.decode(unshown[:end])

    def finish(self) -> str:
        """What waited in vain. A character that never came to its end is U+FFFD."""
        rest, self._waiting = self._waiting, b""
        return self._decoder.decode(rest) + self._decoder.decode(b"", final=True)

    def _num_waiting(self, unshown: bytes) -> int:
        """How many of the last bytes may be the beginning of a stop string."""
        sizes = (n for stop in self._rules.stop for n in range(1, len(stop)) if unshown.endswith(stop[:n]))
        return max(sizes, default=0)


def pieces_of(
    feed: TextFeed, tokens: Stream[TokenStep, list[Generation]], whole: Callable[[Generation], Whole]
) -> Generator[str | None, None, Whole]:
    """The text of one answer as its tokens bring it to light; each piece knows its tokens. whole: of the answer, the result."""
    untold: list[TokenStep] = []

    def told(step: TokenStep) -> str | None:
        untold.append(step)
        if not (text := feed.add(step.token_id)):
            return None
        piece = Piece(text, tuple(untold))
        untold.clear()
        return piece

    (generation,) = yield from tokens.passed_on(told)
    if rest := feed.finish():
        yield Piece(rest, tuple(untold))
    return whole(generation if feed.stopped_by is None else replace(generation, stopped_by=feed.stopped_by))
