"""`Council`: recall → route → borrow → generate → remember, each timed, cancellable at any token, everything given back."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from interconnected_ai.config import CouncilConfig, GenerationConfig
from interconnected_ai.council.answers import CouncilAnswer, Timings
from interconnected_ai.council.routers import cascade_of
from interconnected_ai.council.seats import cards_of, pool_of
from interconnected_ai.council.wellness import Wellness
from interconnected_ai.errors import (
    ClosedError,
    ConfigError,
    EngineError,
    InterconnectedAIError,
    PoolError,
    PromptError,
    StorageError,
    UnknownNameError,
)
from interconnected_ai.experts import (
    ChatAnswer,
    Chatting,
    DeliberationEngine,
    Engine,
    Expert,
    ExpertPool,
    PromptCache,
    Speaker,
    TextExpert,
)
from interconnected_ai.memory import Context, ThreeLevelMemory
from interconnected_ai.types import ChatMessage, Request, Route, Router, ScoredExpert, Stream

SESSION, USER = "default", "default"
_LEAST_PRIOR = 0.05  # of one that deliberates though no router thought of it
_FEWEST_RECALLED = 64  # tokens below which recalling says nothing


@dataclass(frozen=True)
class Asked:
    """One turn as it was asked. history: messages before the question, where the caller keeps the conversation itself."""

    question: str
    history: tuple[ChatMessage, ...]
    session: str
    user: str
    role: str | None
    flags: frozenset[str]
    width: int
    experts: tuple[str, ...] | None
    seed: int | None
    settings: Mapping[str, Any]


class Council:
    """Experts, a router and a memory as one: ask it, and whoever knows answers.

    config: see `CouncilConfig`. router, memory, pool: in the place of those that the config describes; they stay their owner's.
    wellness: who is set aside after a failure.

    Threads: everything may be called from any number of them at once; the turns of one session are best asked one after
    another. After `close` calls raise `ClosedError`.
    Raises `ConfigError` and `StorageError` for what the config names and cannot be. An expert that cannot be opened is found
    when it is asked: it is set aside, another answers, and the answer says so.
    """

    def __init__(
        self,
        config: CouncilConfig,
        *,
        router: Router | None = None,
        memory: ThreeLevelMemory | None = None,
        pool: ExpertPool[TextExpert] | None = None,
        wellness: Wellness | None = None,
    ) -> None:
        self.config = config
        self.wellness = wellness or Wellness()
        self._closed = False
        with ExitStack() as opened:
            self.cards = cards_of(config.experts)
            self.pool = pool or opened.enter_context(pool_of(config, self.cards))
            self.router = router or cascade_of(config, self.cards, self.wellness.is_well)
            self.memory = memory
            if memory is None and config.memory is not None:
                self.memory = opened.enter_context(ThreeLevelMemory(config.memory))
            self._opened = opened.pop_all()

    @classmethod
    def from_config(cls, path: str | Path) -> Self:
        """The council of a YAML or JSON file; places in it are seen from the file's folder."""
        return cls(CouncilConfig.from_file(path).seen_from(Path(path).resolve().parent))

    # Asking

    def chat(self, asked: str | Sequence[ChatMessage | Mapping[str, str]], **more: Any) -> CouncilAnswer:
        """The answer to a question, or to a conversation that the caller keeps; arguments and errors are those of `stream`."""
        with self.stream(asked, **more) as answering:
            return answering.result()

    def stream(
        self,
        asked: str | Sequence[ChatMessage | Mapping[str, str]],
        *,
        session: str = SESSION,
        user: str = USER,
        role: str | None = None,
        flags: frozenset[str] = frozenset(),
        width: int | None = None,
        experts: Sequence[str] | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> Stream[str, CouncilAnswer]:
        """The answer in pieces, as they come; its `result` is what `chat` gives. Closing it cancels at the next token.

        asked: what the user says, the session's memory being the conversation; or messages whose last is the user's, and then
        nothing but what they say is the conversation. width: how many experts deliberate. experts: these answer, nobody is
        routed. settings: the fields of `GenerationConfig`. A turn that was cancelled or failed is not remembered.
        Raises `PromptError` for an empty question or messages that end with somebody else's, `UnknownNameError`,
        `ConfigError`; `EngineError` where nobody can answer.
        """
        if self._closed:
            raise ClosedError("the council is closed; open it again")
        question, history = _question_of(asked)
        for name in experts or ():
            if name not in self.config.experts:
                raise UnknownNameError("expert", name, self.config.experts)
        wide = width if width is not None else len(experts) if experts else self.config.width
        if type(wide) is not int or wide < 1:
            raise ConfigError(f"width={width!r}: needed is a number of experts, 1 at least")
        GenerationConfig(**settings)  # what cannot be is said before anything is loaded
        chosen = None if experts is None else tuple(experts)
        turn = Asked(question, history, session, user, role, flags, wide, chosen, seed, settings)
        return Stream(self._answering(turn))

    def route(
        self, question: str, *, session: str | None = None, user: str | None = None, role: str | None = None
    ) -> Route:
        """Who would answer, and why; nobody is asked."""
        (found,) = self.router.route([Request(question, role=role, session=session, user=user)])
        return found

    # Its end

    def close(self) -> None:
        """Let experts and memory go, after the answers that are being made. Idempotent."""
        self._closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # One turn

    def _answering(self, asked: Asked) -> Generator[str | None, None, CouncilAnswer]:
        notices: list[str] = []
        began = time.perf_counter()
        context = self._recalled(asked, self.config.memory_tokens, notices)
        recalled = time.perf_counter()
        route = self._routed(asked)
        timings = Timings(recall=recalled - began, route=time.perf_counter() - recalled)
        tried: set[str] = set()
        while True:
            names = self._seated(route, asked, tried)
            if not names:
                raise EngineError(
                    f"no expert can answer this: {'; '.join(notices) or self._ailments() or route.reason}"
                )
            tried.update(names)
            try:
                answer = yield from self._attempt(asked, names, route, context, timings, notices)
            except _Unable as unable:
                if unable.is_ill:
                    self.wellness.failed(unable.expert, str(unable.cause))
                notices.append(
                    f"{unable.expert} {'is set aside' if unable.is_ill else 'cannot answer now'}: {unable.cause}"
                )
                if asked.experts is not None:
                    raise unable.cause from None
                continue
            if answer.message.content or asked.experts is not None or len(tried) >= len(self.config.experts):
                return self._remembered(asked, answer, notices)
            notices.append(f"{', '.join(answer.experts)} wrote nothing")

    def _ailments(self) -> str:
        return "; ".join(f"{name} is set aside: {each.reason}" for name, each in self.wellness.ailments().items())

    def _routed(self, asked: Asked) -> Route:
        if asked.experts is not None:
            return Route(tuple(ScoredExpert(name, 1.0) for name in asked.experts), "asked for by name", "caller")
        request = Request(asked.question, role=asked.role, session=asked.session, user=asked.user, flags=asked.flags)
        (found,) = self.router.route([request])
        return found

    def _seated(self, route: Route, asked: Asked, tried: set[str]) -> list[str]:
        """Who is asked next: the surest who are well, as many as deliberate; after the route's own whoever else may."""
        listed = [each.expert for each in route.experts]
        if asked.experts is None:
            listed += [self.config.fallback, *self.config.experts]
        may = [
            name
            for name in dict.fromkeys(listed)
            if name in self.config.experts and name not in route.barred and name not in tried
        ]
        if asked.experts is None:
            may = [name for name in may if self.wellness.is_well(name)]
        sure = [name for name in may if route.score_of(name) > 0][: asked.width] or may[:1]
        seed = self.config.seed
        if asked.width > 1 and asked.experts is None and seed in may and seed not in sure:
            sure = [*sure[: asked.width - 1], seed]
        return sure

    def _attempt(
        self,
        asked: Asked,
        names: list[str],
        route: Route,
        context: Context | None,
        timings: Timings,
        notices: list[str],
    ) -> Generator[str | None, None, CouncilAnswer]:
        """The answer of these experts; raises `_Unable` where one of them fails before the first piece."""
        with ExitStack() as held:
            began = time.perf_counter()
            experts: dict[str, Chatting] = {}
            for name in names:
                if experts and not self.pool.can_borrow(name):
                    # who holds one and waits for room may wait for whoever waits for the same
                    notices.append(f"{name} does not deliberate: there is no room for it now")
                    continue
                try:
                    loan = held.enter_context(self.pool.borrow(name, timeout_seconds=self.config.wait_seconds))
                except ClosedError:
                    raise
                except PoolError as error:
                    raise _Unable(name, error, is_ill=False) from error
                except (InterconnectedAIError, OSError) as error:
                    raise _Unable(name, error) from error
                if not isinstance(loan.expert, Chatting):
                    raise _Unable(name, EngineError(f"{name} cannot hold a conversation"))
                experts[name] = loan.expert
            borrowed = time.perf_counter()
            messages, shown = self._messages(asked, next(iter(experts.values())), context, notices)
            said = ""
            first = 0.0
            try:
                stream = held.enter_context(self._speaking(asked, experts, route, messages, notices))
                for piece in stream:
                    if not said:
                        first = time.perf_counter()
                    said += piece
                    yield piece
                answer = stream.result()
            except ClosedError:
                raise
            except PromptError:
                raise
            except InterconnectedAIError as error:
                if said:
                    raise
                raise _Unable(names[0], error) from error
            ended = time.perf_counter()
        for name in experts:
            self.wellness.answered(name)
        took = replace(
            timings, borrow=borrowed - began, first_piece=(first or ended) - borrowed, generate=ended - borrowed
        )
        return CouncilAnswer(
            answer.message, tuple(experts), route, answer.generation, answer.num_prompt_tokens,
            () if shown is None else shown.source_ids, 0 if shown is None else shown.num_tokens, tuple(notices), took,
        )  # fmt: skip

    def _speaking(
        self,
        asked: Asked,
        experts: Mapping[str, Chatting],
        route: Route,
        messages: Sequence[ChatMessage],
        notices: list[str],
    ) -> Stream[str, ChatAnswer]:
        settings = {"max_new_tokens": self.config.max_new_tokens, **asked.settings}
        first = next(iter(experts.values()))
        if len(experts) > 1:
            together = self._deliberating(experts, route, notices)
            if together is not None:
                return together.stream(messages, seed=asked.seed, too_long="drop_oldest", **settings)
        return first.stream_chat(
            messages, seed=asked.seed, session=(asked.user, asked.session), too_long="drop_oldest", **settings
        )

    def _deliberating(self, experts: Mapping[str, Chatting], route: Route, notices: list[str]) -> Speaker | None:
        """Who speaks for all of them; None, with a notice, where they cannot mix their tokens."""
        first = next(iter(experts.values()))
        alike = {name: each for name, each in experts.items() if isinstance(each, Expert)}
        kinds = {each.tokenizer.sha256 for each in alike.values()}
        if not isinstance(first, Expert) or len(alike) < len(experts) or len(kinds) > 1:
            notices.append("the experts have different tokenizers, so the surest answers alone")
            return None
        prior = {name: max(route.score_of(name), _LEAST_PRIOR) for name in alike}
        try:
            engine = DeliberationEngine(
                {name: each.engine for name, each in alike.items()}, first.tokenizer, prior=prior,
                forgetting=self.config.forgetting, power=self.config.power,
            )  # fmt: skip
        except EngineError as error:
            notices.append(f"the surest answers alone: {error}")
            return None
        return Speaker(engine, first.tokenizer, first.template, cache=PromptCache())

    # Memory

    def _recalled(self, asked: Asked, budget_tokens: int, notices: list[str]) -> Context | None:
        if self.memory is None or budget_tokens < _FEWEST_RECALLED:
            return None
        try:
            return self.memory.context(
                asked.question, session=asked.session, user=asked.user, budget_tokens=budget_tokens
            )
        except StorageError as error:
            notices.append(f"nothing is recalled: {error}")
            return None

    def _messages(
        self, asked: Asked, expert: Chatting, context: Context | None, notices: list[str]
    ) -> tuple[list[ChatMessage], Context | None]:
        """What the expert reads, and what was recalled of it: as much as its window holds beside question and answer."""
        fits = _window_of(expert, asked.settings.get("max_new_tokens", self.config.max_new_tokens))
        while True:
            found = self._composed(asked, context)
            if context is None or fits(found):
                return found, context
            budget = context.num_tokens // 2
            context = self._recalled(asked, budget, notices)

    def _composed(self, asked: Asked, context: Context | None) -> list[ChatMessage]:
        system = [] if self.config.system is None else [ChatMessage("system", self.config.system)]
        if asked.history:
            block = [] if context is None or not context.text else [ChatMessage("user", context.text)]
            return [*system, *block, *asked.history, ChatMessage("user", asked.question)]
        if context is None:
            return [*system, ChatMessage("user", asked.question)]
        return [*system, *(ChatMessage(turn["role"], turn["content"]) for turn in context.turns(asked.question))]

    def _remembered(self, asked: Asked, answer: CouncilAnswer, notices: list[str]) -> CouncilAnswer:
        began = time.perf_counter()
        if self.memory is not None:
            try:
                for message in (ChatMessage("user", asked.question), answer.message):
                    if message.content.strip():
                        self.memory.add(message.role, message.content, session=asked.session, user=asked.user)
            except StorageError as error:
                notices.append(f"this turn is not remembered: {error}")
        took = replace(answer.timings, remember=time.perf_counter() - began)
        return replace(answer, timings=took, notices=tuple(notices))


class _Unable(Exception):
    """This expert cannot answer now. is_ill: it would fail again; otherwise there is no room for it."""

    def __init__(self, expert: str, cause: Exception, *, is_ill: bool = True) -> None:
        super().__init__(f"{expert}: {cause}")
        self.expert, self.cause, self.is_ill = expert, cause, is_ill


def _question_of(
    asked: str | Sequence[ChatMessage | Mapping[str, str]],
) -> tuple[str, tuple[ChatMessage, ...]]:
    if isinstance(asked, str):
        messages = [ChatMessage("user", asked)]
    else:
        messages = [each if isinstance(each, ChatMessage) else _message_of(each) for each in asked]
    if not messages or messages[-1].role != "user":
        raise PromptError("a conversation that is to be answered ends with what the user says")
    if not messages[-1].content.strip():
        raise PromptError("the question is empty; ask something")
    return messages[-1].content, tuple(messages[:-1])


def _message_of(given: Mapping[str, str]) -> ChatMessage:
    if not isinstance(given, Mapping) or not {"role", "content"} <= set(given):
        raise PromptError(f"a message has a role and a content, got {given!r:.80}")
    return ChatMessage(given["role"], given["content"])


def _window_of(expert: Chatting, max_new_tokens: int) -> Any:
    """Whether messages and an answer fit the expert's window; where nobody can tell they are taken to."""
    if not isinstance(expert, Expert):
        return lambda messages: True
    if not isinstance(expert.engine, Engine):
        return lambda messages: True
    window, template = expert.engine.max_seq_len, expert.template
    return lambda messages: template.count(messages) + max_new_tokens <= window
