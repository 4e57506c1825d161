"""Callables and small records that rooms hand each other, so that strangers need not know each other."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

from interconnected_ai.errors import EngineError

if TYPE_CHECKING:
    from interconnected_ai.config import GenerationConfig  # pydantic is 15 MB that a memory does not need


Part = TypeVar("Part")
Whole = TypeVar("Whole")
Made = TypeVar("Made")


class Stream(Iterator[Part], Generic[Part, Whole]):
    """What is made piece by piece: iterating gives the pieces as they come, `result` the whole.

    pieces: a generator that yields them, or None where it may be closed without one; it returns the whole, and gives back in
    `finally` what it holds. What it raises is raised where the stream is read.

    Threads: any thread may read, one piece at a time; several readers share the pieces. `close` may be called from any thread
    at any time and never waits: where no piece is being made all is given back at once, else the thread that waits for the
    piece does it, instead of having the piece, and sees the stream end. An async program reads in worker threads:
    `while (piece := await asyncio.to_thread(next, stream, None)) is not None`. Leaving a `with` closes the stream, and so does
    dropping it.
    """

    def __init__(self, pieces: Generator[Part | None, None, Whole]) -> None:
        self._pieces = pieces
        self._reading = threading.Lock()
        self._closed = False
        self._whole: list[Whole] = []  # empty until the last piece

    def __next__(self) -> Part:
        try:
            with self._reading:
                piece = self._next_piece()
        finally:
            if self._closed:
                self._give_back()
        if piece is None or self._closed:
            raise StopIteration
        return piece

    def _next_piece(self) -> Part | None:
        """The next one, None at the end."""
        while True:
            piece, is_over = self._step()
            if piece is not None or is_over:
                return piece

    def _step(self) -> tuple[Part | None, bool]:
        """What comes next, a piece or None, and whether that was the end."""
        if self._closed:
            return None, True
        try:
            return next(self._pieces), False
        except StopIteration as end:
            if end.value is not None:
                self._whole.append(end.value)
            return None, True

    def passed_on(self, made: Callable[[Part], Made | None]) -> Generator[Made | None, None, Whole]:
        """For the generator of a stream that is made of this one: `whole = yield from stream.passed_on(made)`.

        made: a piece → what becomes of it, or None. Gives that, and None wherever this stream may be closed, so that closing
        the other one ends this one there, not only at its next piece. It is closed at the end, as by a `with`. Raises as
        `result` does.
        """
        with self:
            while True:
                try:
                    with self._reading:
                        piece, is_over = self._step()
                finally:
                    if self._closed:
                        self._give_back()
                if is_over:
                    return self.result()
                yield None if piece is None else made(piece)

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


class Piece(str):
    """Some text of an answer as it comes, with the tokens that brought it to light."""

    __slots__ = ("steps",)
    steps: tuple[TokenStep, ...]

    def __new__(cls, text: str, steps: tuple[TokenStep, ...] = ()) -> Self:
        """The text, and the steps that were not told with a piece before."""
        made = super().__new__(cls, text)
        made.steps = steps
        return made


@dataclass(frozen=True)
class Generation:
    """What continues one prompt: the new tokens alone, their log probabilities, and why it ended there.

    text: None where no tokenizer was at hand. ended: "length" (max_new_tokens), "eos" (the end token, not in `token_ids`, or
    an answer held to a form that is whole and can have no more), "stop" (a stop string, not in `text`).
    satisfied: whether `text` is what json_schema, regex or choices ask for; False for an answer that was cut short, None
    where nothing was asked for. num_known_tokens: of the prompt, those that a cache supplied; the answer is the same without.
    stopped_by: the stop string that ended it, where the answer was read as a stream of text.
    """

    token_ids: tuple[int, ...]
    ended: Literal["length", "eos", "stop"]
    text: str | None = None
    steps: tuple[TokenStep, ...] = ()
    satisfied: bool | None = None
    num_known_tokens: int = field(default=0, compare=False)
    stopped_by: str | None = field(default=None, compare=False)

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


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks, as a router sees it. Threads may share it.

    role: the name in a role token (`code` of <|role=code|>); a token at the beginning of the text says it too, and this
    wins. prompt_id: of a prompt that the caller keeps under a name. language: "Russian", "English", "other" or "none", as
    `text.language_of` names them; None lets the text tell. flags: whatever the caller knows of the request ("guest", "child").
    """

    text: str
    role: str | None = None
    prompt_id: str | None = None
    session: str | None = None
    user: str | None = None
    language: str | None = None
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ScoredExpert:
    """An expert's name and how sure a router is of it, from 0 to 1."""

    expert: str
    score: float


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence, so that it can be said in other languages. code: what it says; values: of whom and how much."""

    code: str
    values: Mapping[str, str | float]


class Told(str):
    """A sentence for people, in English, that knows its clauses. Wherever text is wanted it is that text."""

    clauses: tuple[Clause, ...]

    def __new__(cls, text: str, *clauses: Clause) -> Self:
        """The text, and what it consists of."""
        made = super().__new__(cls, text)
        made.clauses = clauses
        return made

    @classmethod
    def of(cls, code: str, text: str, /, **values: str | float) -> Self:
        """A sentence of one clause."""
        return cls(text, Clause(code, values))

    def then(self, other: str, *, between: str = "; ") -> "Told":
        """This, and behind it another one. between: in the text."""
        return Told(f"{self}{between}{other}", *self.clauses, *clauses_of(other))


def clauses_of(text: str) -> tuple[Clause, ...]:
    """The clauses of a sentence; one that does not know its own is a clause by itself, with the code "text"."""
    return text.clauses if isinstance(text, Told) else (Clause("text", {"text": text}),) if text else ()


@dataclass(frozen=True, slots=True)
class Route:
    """Who is to answer a request, and why. Threads may share it.

    experts: best first. reason: in words, for people; routers of this package give a `Told`. router: the kind of router
    that decided. abstains: it would rather not decide; `experts` are then what it leans to. is_outside: it abstains since
    the request is nobody's business, of which it is sure. is_fallback: nobody was sure, and the answer is whom the
    settings name for that. barred: experts that may not answer this request, whatever other routers say. considered: what
    was asked before.
    """

    experts: tuple[ScoredExpert, ...]
    reason: str
    router: str
    abstains: bool = False
    is_fallback: bool = False
    is_outside: bool = False
    barred: frozenset[str] = frozenset()
    considered: tuple["Route", ...] = ()

    @property
    def expert(self) -> str | None:
        """Who answers; None where the router abstains."""
        return None if self.abstains or not self.experts else self.experts[0].expert

    @property
    def runner_up(self) -> ScoredExpert | None:
        """Who would answer in the first one's place."""
        return self.experts[1] if len(self.experts) > 1 else None

    @property
    def margin(self) -> float:
        """How much surer the router is of the first expert than of the second."""
        best = self.experts[0].score if self.experts else 0.0
        return best - (self.runner_up.score if self.runner_up else 0.0)

    def score_of(self, expert: str) -> float:
        """An expert's score, 0 for one that was not considered."""
        return next((each.score for each in self.experts if each.expert == expert), 0.0)


class Router(Protocol):
    """Requests → a `Route` each, in order. What has a model answers many at once faster than one by one.

    Threads: any number may ask at once, and every request has the route that it would have alone.
    """

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests."""


class Classified(Protocol):
    """What a classifier says of one text, as a branch does: labels with probabilities, and whether it is none of them."""

    @property
    def top(self) -> Sequence[tuple[str, float]]:
        """(label, probability), best first."""

    @property
    def unknown(self) -> bool:
        """Whether the text is none of the classifier's business."""


Classify = Callable[[Sequence[str]], Sequence[Classified]]
"""Texts → what a classifier says of each, in order."""

LogLikelihoods = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Texts → for each the natural logarithm of its likelihood under every expert, by the experts' names."""
