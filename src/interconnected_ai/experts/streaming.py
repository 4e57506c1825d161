"""Text as it comes: never half a character, never the beginning of a stop string."""

import codecs
from collections.abc import Sequence

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.text import TextTokenizer, token_bytes


class TextFeed:
    """Tokens in, text out: what `add` and `finish` return is, joined, the text of the answer.

    Bytes that may be the beginning of a stop string, or of a character, wait until the next tokens tell. Only they are kept:
    a token costs the same however long the answer is.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str] = ()) -> None:
        rules = TextRules.of(GenerationConfig(stop=tuple(stop)), tokenizer)
        self._rules = rules or TextRules(token_bytes(tokenizer), (), (), ())
        self._waiting = b""
        self._has_stopped = False
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """What this token brings to light; may be empty."""
        if self._has_stopped:
            return ""
        unshown = self._waiting + self._rules.piece(token_id)
        places = [place for stop in self._rules.stop if (place := unshown.find(stop)) >= 0]
        self._has_stopped = bool(places)
        end = min(places) if places else len(unshown) - self._num_waiting(unshown)
        self._waiting = b"" if places else unshown[end:]
        return self._decoder.decode(unshown[:end])

    def finish(self) -> str:
        """What waited in vain. A character that never came to its end is U+FFFD."""
        rest, self._waiting = self._waiting, b""
        return self._decoder.decode(rest) + self._decoder.decode(b"", final=True)

    def _num_waiting(self, unshown: bytes) -> int:
        """How many of the last bytes may be the beginning of a stop string."""
        sizes = (n for stop in self._rules.stop for n in range(1, len(stop)) if unshown.endswith(stop[:n]))
        return max(sizes, default=0)
