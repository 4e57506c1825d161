"""`Engine`: what every engine is, whatever computes: streams, whole answers, bytes, and an end.

How tokens are found is the affair of its subclasses: `DecoderEngine` and `SamplerEngine`.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import ClassVar, Self

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ForkError
from interconnected_ai.experts.asked import Asked, EndIds, as_end_ids
from interconnected_ai.experts.heap import trim_heap
from interconnected_ai.experts.turn import NO_TURN, Turn
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, Stream, TokenStep

Steps = Generator[TokenStep | None, None, list[Generation]]  # None: no token, but it may be closed here


class Engine(ABC):
    """Continues prompts of one expert; a `Generate` of `interconnected_ai.types`.

    vocab_size, max_seq_len: of the model. tokenizer: for texts, stop strings and bad words. end_ids: a token, or several, at
    any of which an answer ends; None are the tokenizer's, and without a tokenizer no token ends one.

    Threads: calls, streams, `num_bytes` and `close` from any number of threads at once. Answers that are being made when
    `close` is called come to their end; what is asked afterwards raises `ClosedError`. In a process that was forked off after
    the engine was opened, it raises `ForkError`, since its threads stayed behind.
    """

    name: ClassVar[str]
    has_native_threads: ClassVar[bool] = True  # of a library's own, which stay behind when a process forks

    def __init__(
        self, vocab_size: int, max_seq_len: int, tokenizer: TextTokenizer | None, *, end_ids: EndIds = None
    ) -> None:
        self.vocab_size, self.max_seq_len = vocab_size, max_seq_len
        self._tokenizer = tokenizer
        self._end_ids = as_end_ids(end_ids, tokenizer)
        self._state = threading.RLock()  # a stream that the garbage collector finds leaves in whatever thread it runs
        self._answering: set[_Answering] = set()
        self._closed = False
        self._process = os.getpid()
        self._afterwards: list[Callable[[], object]] = []

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Bytes of memory that the engine takes from its first answer to its end, beside those of answers being made.

        Weights as they are mapped or copied, second copies in another layout, and buffers that are kept between answers.
        """

    def __call__(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order; see `interconnected_ai.types.Generate`."""
        asked = self._asked(prompts, config, seed)
        with _Answering(self):
            return self._answers(asked)

    def stream(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> Stream[TokenStep, list[Generation]]:
        """Every token as it comes; see `interconnected_ai.types.Generate`."""
        return Stream(self._answering_steps(self._asked(prompts, config, seed)))

    def turn(
        self, prompt: Sequence[int], config: GenerationConfig, turn: Turn, *, seed: int | None = None
    ) -> Stream[TokenStep, list[Generation]]:
        """`stream` of a conversation's next turn. An engine that cannot begin from what is known reads the whole prompt."""
        return Stream(self._answering_steps(self._asked([prompt], config, seed, turn)))

    @abstractmethod
    def _steps(self, asked: Asked) -> Steps:
        """The tokens of prompts that fit the window; gives back what it holds when it is closed."""

    def _answers(self, asked: Asked) -> list[Generation]:
        """The same without the tokens on the way, where that is cheaper."""
        return drained(self._steps(asked))

    @abstractmethod
    def _refuse(self, asked: Asked) -> None:
        """Raise `EngineError` for a setting that the engine lacks."""

    def _asked(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, seed: int | None, turn: Turn = NO_TURN
    ) -> Asked:
        self._require_open()
        self._require_own_process()
        asked = Asked.of(
            prompts, config, seed, vocab_size=self.vocab_size, max_seq_len=self.max_seq_len, tokenizer=self._tokenizer,
            end_ids=self._end_ids, turn=turn,
        )  # fmt: skip
        self._refuse(asked)
        return asked

    def _answering_steps(self, asked: Asked) -> Steps:
        with _Answering(self):
            return (yield from self._steps(asked))

    # Its end

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens at which an answer ends."""
        return self._end_ids

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Give the memory back to the system, at once or after the last answer that is being made; twice is the same."""
        with self._state:
            is_free, self._closed = not self._closed and not self._answering, True
        if is_free:
            self._free()

    def after_close(self, callback: Callable[[], object]) -> None:
        """Call this once everything is given back."""
        self._afterwards.append(callback)

    def _free(self) -> None:
        self._let_go()
        trim_heap()
        while self._afterwards:
            self._afterwards.pop()()

    @abstractmethod
    def _let_go(self) -> None:
        """Drop everything large; nobody uses it any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _require_own_process(self) -> None:
        if self.has_native_threads and self._process != os.getpid():
            raise ForkError(
                f"process {os.getpid()} was forked from {self._process}, which had opened the engine {self.name}; it would "
                "wait forever for threads that stayed there. Open the engine in the child, or start processes with "
                "multiprocessing.get_context('spawn')"
            )

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the engine {self.name} is closed; open it again with open_engine")


class _Answering:
    """An answer that is being made: an engine that is closed meanwhile gives its memory back after it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        engine = self._engine
        with engine._state:
            engine._require_open()
            engine._answering.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        engine = self._engine
        with engine._state:
            engine._answering.discard(self)
            is_last = engine._closed and not engine._answering
        if is_last:
            engine._free()


def drained(steps: Steps) -> list[Generation]:
    """What the steps return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answers: list[Generation] = end.value
            return answers
