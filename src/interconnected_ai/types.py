"""Callables and small records that rooms hand each other, so that strangers need not know each other."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

from interconnected_ai.errors import EngineError

if TYPE_CHECKING:
    from interconnected_ai.config import GenerationConfig  # pydantic is 15 MB that a memory does not need


Piece = TypeVar("Piece")
Whole = TypeVar("Whole")


class Stream(Iterator[Piece], Generic[Piece, Whole]):
    """What is made piece by piece: iterating gives the pieces as they come, `result` the whole.

    pieces: a generator that yields them, or None where it may be closed without one; it returns the whole, and gives back in
    `finally` what it holds. What it raises is raised where the stream is read.

    Threads: any thread may read, one piece at a time; several readers share the pieces. `close` may be called from any thread
    at any time and never waits: where no piece is being made all is given back at once, else the thread that waits for the
    piece does it, instead of having the piece, and sees the stream end. An async program reads in worker threads:
    `while (piece := await asyncio.to_thread(next, stream, None)) is not None`. Leaving a `with` closes the stream, and so does
    dropping it.
    """

    def __init__(self, pieces: Generator[Piece | None, None, Whole]) -> None:
        self._pieces = pieces
        self._reading = threading.Lock()
        self._closed = False
        self._whole: list[Whole] = []  # empty until the last piece

    def __next__(self) -> Piece:
        try:
            with self._reading:
                piece = self._next_piece()
        finally:
            if self._closed:
                self._give_back()
        if piece is None or self._closed:
            raise StopIteration
        return piece

    def _next_piece(self) -> Piece | None:
        """The next one, None at the end."""
        piece: Piece | None = None
        while piece is None and not self._closed:
            try:
                piece = next(self._pieces)
            except StopIteration as end:
                if end.value is not None:
                    self._whole.append(end.value)
                return None
        return piece

    def close(self) -> None:
        """End it: no further piece comes, and what the pieces were made with is given back. More than once is the same."""
        self._closed = True
        self._give_back()

    def _give_back(self) -> None:
        """Close the generator, unless a thread is in it: that one does it when it comes out."""
        if self._reading.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._reading.release()

    def result(self) -> Whole:
        """Read to the end: the whole. Raises `EngineError` where the stream was closed, or broke, before its end."""
        for _ in self:
            continue
        if not self._whole:
            raise EngineError("the stream ended before its last piece, so there is no whole answer; ask again")
        return self._whole[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, as a chat template reads it. Threads may share it.

    role: "system", "user", "assistant" or "tool", and whatever else the model's template knows.
    """

    role: str
    content: str


@dataclass(frozen=True)
class TokenStep:
    """One token as it comes: the row it continues, its id, and log probabilities where they were asked for.

    logprob: natural logarithm of its probability under the model, before temperature and cuts. top: the likeliest
    tokens' ids with theirs, best first.
    """

    row: int
    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Generation:
    """What continues one prompt: the new tokens alone, their log probabilities, and why it ended there.

    text: None where no tokenizer was at hand. ended: "length" (max_new_tokens), "eos" (the end token, not in `token_ids`, or
    an answer held to a form that is whole and can have no more), "stop" (a stop string, not in `text`).
    satisfied: whether `text` is what json_schema, regex or choices ask for; False for an answer that was cut short, None
    where nothing was asked for. num_known_tokens: of the prompt, those that a cache supplied; the answer is the same without.
    """

    token_ids: tuple[int, ...]
    ended: Literal["length", "eos", "stop"]
    text: str | None = None
    steps: tuple[TokenStep, ...] = ()
    satisfied: bool | None = None
    num_known_tokens: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return "" if self.text is None else self.text


class Generate(Protocol):
    """Continues prompts, given as token ids: what every engine is.

    seed: of the sampling; the same seed on the same engine gives the same tokens, None draws one. Both ways of asking give the
    same tokens. They raise `PromptError` for a prompt the model cannot read, `ConfigError` for a setting that cannot be,
    `EngineError` for one that the engine lacks; `stream` does so before its first token is asked for.

    Threads: both may be called from any number of threads at once, and every call has the answer that it would have alone.
    """

    def __call__(
        self, prompts: Sequence[Sequence[int]], config: "GenerationConfig", *, seed: int | None = None
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order."""

    def stream(
        self, prompts: Sequence[Sequence[int]], config: "GenerationConfig", *, seed: int | None = None
    ) -> Stream[TokenStep, list[Generation]]:
        """Every token as it comes, those of a row in order; the result is what a call gives. Closing it stops the engine.

        With beam search no token is final before the end, and none comes.
        """


CountTokens = Callable[[str], int]
"""Text → number of tokens, as the model that will read it counts them."""


class Encode(Protocol):
    """Texts → an array (num_texts, dimension) of floats, one row a text, in order.

    A model that treats questions and passages differently may also have a method `encode_query` of the same form. An
    attribute `model_id` names the model, so that vectors of two models are never mixed.
    """

    def __call__(self, texts: Sequence[str], /) -> Any:
        """The vectors of the texts."""


class Summarize(Protocol):
    """A text → its summary in the same language, of at most `max_tokens` tokens."""

    def __call__(self, text: str, /, *, max_tokens: int) -> str:
        """The summary."""


Extract = Callable[[str], Sequence[Any]]
"""One message → its facts, each a mapping or record with `subject`, `relation` and `value`."""
