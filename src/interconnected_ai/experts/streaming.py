"""Text as it comes: never half a character, never the beginning of a stop string."""

import codecs
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.text_rules import TextRules, Written
from interconnected_ai.text import Tokenizer, token_bytes
from interconnected_ai.types import Generate, TokenStep


class TextFeed:
    """Tokens in, text out: what `add` and `finish` return is, joined, the text of the answer.

    Bytes that may be the beginning of a stop string, or of a character, wait until the next tokens tell.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        rules = TextRules.of(GenerationConfig(stop=tuple(stop)), tokenizer)
        self._rules = rules or TextRules(token_bytes(tokenizer), (), (), ())
        self._written = Written(self._rules)
        self._num_shown = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """What this token brings to light; may be empty."""
        self._written = self._written.plus(token_id)
        answer, stop_at = self._written.answer, self._written.stop_at
        return self._show(len(answer) - self._num_waiting(answer) if stop_at is None else stop_at)

    def finish(self) -> str:
        """What waited in vain. A character that never came to its end is U+FFFD."""
        stop_at = self._written.stop_at
        end = len(self._written.answer) if stop_at is None else stop_at
        return self._show(end) + self._decoder.decode(b"", final=True)

    def _show(self, end: int) -> str:
        fresh = self._written.answer[self._num_shown : end]
        self._num_shown = max(self._num_shown, end)
        return self._decoder.decode(fresh)

    def _num_waiting(self, answer: bytes) -> int:
        """How many of the last bytes may be the beginning of a stop string."""
        sizes = (n for stop in self._rules.stop for n in range(1, len(stop)) if answer.endswith(stop[:n]))
        return max(sizes, default=0)


class _Stopped(Exception):
    """Nobody reads the stream any more."""


def stream_steps(
    generate: Generate, prompt: Sequence[int], config: GenerationConfig, *, seed: int | None = None
) -> Iterator[TokenStep]:
    """The tokens of one answer as an engine finds them, in a thread of their own.

    Whoever stops reading stops the engine at its next token. What the engine raises is raised here.
    """
    found: SimpleQueue[TokenStep | BaseException | None] = SimpleQueue()
    unwanted = threading.Event()

    def note(step: TokenStep) -> None:
        if unwanted.is_set():
            raise _Stopped
        found.put(step)

    def work() -> None:
        try:
            generate([prompt], config, seed=seed, on_step=note)
            found.put(None)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits for it
            found.put(error)

    worker = threading.Thread(target=work, name="generation", daemon=True)
    worker.start()
    try:
        while (step := found.get()) is not None:
            if isinstance(step, BaseException):
                raise step
            yield step
    finally:
        unwanted.set()
        worker.join()
