"""`Council`: recall → route → borrow → generate → remember, each timed, cancellable at any token, everything given back."""

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from interconnected_ai.config import CouncilConfig, GenerationConfig
from interconnected_ai.council.answers import CouncilAnswer, Timings
from interconnected_ai.council.recollecting import RecollectedTexts
from interconnected_ai.council.routers import cascade_of, routing_cards
from interconnected_ai.council.seats import card_at, cards_of, pool_of, seat
from interconnected_ai.council.wellness import Wellness
from interconnected_ai.errors import (
    Blame,
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
    LEAST_PRIOR,
    BatchLimits,
    ChatAnswer,
    Chatting,
    DeliberationEngine,
    Engine,
    Expert,
    ExpertCard,
    ExpertPool,
    PromptCache,
    RecallingEngine,
    Speaker,
    TextExpert,
    results_as_turns,
)
from interconnected_ai.memory import Context, ThreeLevelMemory
from interconnected_ai.routing import Cascade, understood
from interconnected_ai.types import ChatMessage, Request, Route, Router, ScoredExpert, Stream, Told

SESSION, USER = "default", "default"
_FEWEST_RECALLED = 64  # tokens below which recalling says nothing


@dataclass(frozen=True)
class Asked:
    """One turn as it was asked.

    history, after: messages before the question and behind it (calls, and what functions gave), where the caller keeps the
    conversation itself. unheard: what was said since the last answer, and is to be remembered.
    """

    question: str
    history: tuple[ChatMessage, ...]
    after: tuple[ChatMessage, ...]
    unheard: tuple[ChatMessage, ...]
    role: str | None
    session: str
    user: str
    flags: frozenset[str]
    width: int
    experts: tuple[str, ...] | None
    system: str | None
    seed: int | None
    settings: Mapping[str, Any]


class Council:
    """Experts, a router and a memory as one: ask it, and whoever knows answers.

    config: see `CouncilConfig`. router, memory, pool: in the place of those that the config describes; they stay their owner's.
    wellness: who is set aside after a failure. batching: experts make the answers of all turns together within these limits,
    where their engines do that, for many who ask at once; None makes each by itself.

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
        batching: BatchLimits | None = None,
    ) -> None:
        self.config = config
        self.wellness = wellness or Wellness()
        self._closed = False
        self._batching = batching
        self._is_given = {"router": router is not None, "pool": pool is not None}
        self._changing, self._standing = threading.RLock(), threading.Lock()
        with ExitStack() as opened:
            self.cards = cards_of(config.experts)
            self.recollected = RecollectedTexts(config.recollection) if config.recollection and pool is None else None
            self.pool = pool or opened.enter_context(
                pool_of(config, self.cards, batching=batching, recollected=self.recollected)
            )
            self.router: Router = router or cascade_of(config, self.cards, self.wellness.is_well, self.pool)
            self.memory = memory
            if memory is None and config.memory is not None:
                self.memory = opened.enter_context(ThreeLevelMemory(config.memory))
            self._opened = opened.pop_all()

    @classmethod
    def from_config(cls, path: str | Path, *, batching: BatchLimits | None = None) -> Self:
        """The council of a YAML or JSON file; places in it are seen from the file's folder."""
        return cls(CouncilConfig.from_file(path).seen_from(Path(path).resolve().parent), batching=batching)

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
        system: str | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> Stream[str, CouncilAnswer]:
        """The answer in pieces, as they come; its `result` is what `chat` gives. Closing it cancels at the next token.

        asked: what the user says, the session's memory being the conversation; or messages whose last is the user's or what a
        function gave (role tool), and then nothing but what they say is the conversation; what functions gave is remembered as
        theirs. width: how many experts deliberate. experts: these answer, nobody is routed. system: what they are told before
        everything, None is as the config says it. settings: the fields of `GenerationConfig`. A turn that was cancelled or
        failed is not remembered.
        Raises `PromptError` for an empty question or messages that end in another way, `UnknownNameError`,
        `ConfigError`; `EngineError` where nobody can answer.
        """
        if self._closed:
            raise ClosedError("the council is closed; open it again")
        said = _said_in(asked, role)
        for name in experts or ():
            if name not in self.config.experts:
                raise UnknownNameError("expert", name, self.config.experts)
        wide = width if width is not None else len(experts) if experts else self.config.width
        if type(wide) is not int or wide < 1:
            raise ConfigError(f"width={width!r}: needed is a number of experts, 1 at least")
        GenerationConfig(**settings)  # what cannot be is said before anything is loaded
        chosen = None if experts is None else tuple(experts)
        turn = Asked(*said, session, user, flags, wide, chosen, system, seed, settings)
        with self._standing:
            as_it_stands = copy(self)  # a turn goes to its end by the config and the router that it began with
        return Stream(as_it_stands._answering(turn))

    def route(
        self, question: str, *, session: str | None = None, user: str | None = None, role: str | None = None
    ) -> Route:
        """Who would answer, and why; nobody is asked, and a session stays with whom it is."""
        router = self.router
        ask = router.foresee if isinstance(router, Cascade) else router.route
        (found,) = ask([Request(question, role=role, session=session, user=user)])
        return found

    # Changes

    def take(self, config: CouncilConfig) -> None:
        """Go by another config from the next turn on: experts that come and go, rules, routers, settings.

        Turns that are being made end as they began. Raises `ConfigError` for what needs a new council (the budget, the memory),
        and whatever a part of it raises that cannot be; then all stays as it was.
        """
        with self._changing:
            self._require_own()
            for key in ("budget_mb", "memory", "recollection"):
                if getattr(config, key) != getattr(self.config, key):
                    raise ConfigError(f"{key} cannot change while a council is open; close it and open it again")
            cards = {
                name: self.cards[name] if self.config.experts.get(name) == member else card_at(member)
                for name, member in config.experts.items()
            }
            router = cascade_of(config, cards, self.wellness.is_well, self.pool)
            changed = [
                name
                for name, member in config.experts.items()
                if (known := self.config.experts.get(name)) is None
                or (known.place, known.engine) != (member.place, member.engine)
            ]
            try:
                for name in changed:
                    self._seat(config, cards, name)
            except BaseException:
                for name in changed:
                    if name in self.config.experts:
                        self._seat(self.config, self.cards, name)
                raise
            self._stand(config, cards, router)
            for name in self.pool.names:
                if name not in config.experts:
                    self.pool.remove(name)

    def reopen(self, name: str) -> None:
        """Take up what stands in an expert's place by now, from the next turn on; who has the old one keeps it to its end.

        Where it is in memory the new one is loaded first: what that raises is raised, and the old one answers on. Raises
        `UnknownNameError`, and what reading the new one's card raises.
        """
        with self._changing:
            self._require_own()
            if name not in self.config.experts:
                raise UnknownNameError("expert", name, self.config.experts)
            card = card_at(self.config.experts[name])
            if isinstance(card, InterconnectedAIError):
                raise card
            cards = {**self.cards, name: card}
            is_said_anew = routing_cards(self.config, cards) != routing_cards(self.config, self.cards)
            router = cascade_of(self.config, cards, self.wellness.is_well, self.pool) if is_said_anew else self.router
            self._seat(self.config, cards, name)
            self._stand(self.config, cards, router)
            self.wellness.answered(name)

    def _require_own(self) -> None:
        for what, is_given in self._is_given.items():
            if is_given:
                raise ConfigError(f"the council's {what} was given to it, so it is changed by its owner")

    def _seat(self, config: CouncilConfig, cards: Mapping[str, ExpertCard | InterconnectedAIError], name: str) -> None:
        def put(name: str, opener: Callable[[], TextExpert], **more: Any) -> None:
            if name in self.pool.names:
                self.pool.replace(name, opener, wait_seconds=config.wait_seconds, **more)
            else:
                self.pool.add(name, opener, **more)

        seat(put, self.pool, config, cards, name, batching=self._batching, recollected=self.recollected)

    def _stand(
        self, config: CouncilConfig, cards: dict[str, ExpertCard | InterconnectedAIError], router: Router
    ) -> None:
        with self._standing:
            self.config, self.cards, self.router = config, cards, router

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
        causes: list[Exception] = []
        while True:
            names = self._seated(route, asked, tried)
            if not names:
                raise EngineError(
                    f"no expert can answer this: {'; '.join(notices) or self._ailments() or route.reason}"
                ).blaming(*_blames_of_all(causes))
            tried.update(names)
            try:
                answer = yield from self._attempt(asked, names, route, context, timings, notices)
            except _Unable as unable:
                causes.append(unable.cause)
                if unable.is_ill:
                    self.wellness.failed(unable.expert, str(unable.cause))
                code, what = ("set_aside", "is set aside") if unable.is_ill else ("unable", "cannot answer now")
                notices.append(_notice(code, f"{unable.expert} {what}", unable.cause, expert=unable.expert))
                if asked.experts is not None:
                    raise unable.cause from None
                continue
            if answer.message.content or asked.experts is not None or len(tried) >= len(self.config.experts):
                return self._remembered(asked, answer, notices)
            silent = ", ".join(answer.experts)
            notices.append(Told.of("silent", f"{silent} wrote nothing", expert=silent))

    def _ailments(self) -> str:
        return "; ".join(f"{name} is set aside: {each.reason}" for name, each in self.wellness.ailments().items())

    def _routed(self, asked: Asked) -> Route:
        if asked.experts is not None:
            named = tuple(ScoredExpert(name, 1.0) for name in asked.experts)
            return Route(named, Told.of("by_name", "asked for by name"), "caller")
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
        sure = may[:1] + [name for name in may[1:] if route.score_of(name) > 0][: asked.width - 1]
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
            experts = yield from self._borrowed(names, held, notices, is_named=asked.experts is not None)
            borrowed = time.perf_counter()
            notices += self._deaf(experts)
            messages, shown = self._messages(asked, next(iter(experts.values())), context, notices)
            try:
                together = self._deliberating(experts, route, notices) if len(experts) > 1 else None
                stream = held.enter_context(self._speaking(asked, experts, together, messages))
            except (ClosedError, PromptError):
                raise
            except InterconnectedAIError as error:  # said before anything is computed: it cannot do what is asked for
                raise _Unable(names[0], error, is_ill=False) from error
            said = ""
            first = 0.0

            def heard(piece: str) -> str:
                nonlocal said, first
                if not said:
                    first = time.perf_counter()
                said += piece
                return piece

            try:
                answer = yield from stream.passed_on(heard)
            except (ClosedError, PromptError):
                raise
            except (InterconnectedAIError, OSError) as error:
                is_ill = not _blames(error)  # else any other expert would fail at what was asked
                if said:  # what was said cannot be taken back, but nobody is sent there for a while
                    if is_ill:
                        self.wellness.failed(names[0], str(error))
                    raise
                raise _Unable(names[0], error, is_ill=is_ill) from error
            ended = time.perf_counter()
        for name in experts:
            self.wellness.answered(name)
        took = replace(
            timings, borrow=borrowed - began, first_piece=(first or ended) - borrowed, generate=ended - borrowed
        )
        return CouncilAnswer(
            answer.message, tuple(experts), route, answer.generation, answer.num_prompt_tokens,
            () if shown is None else shown.source_ids, 0 if shown is None else shown.num_tokens, tuple(notices), took,
            {} if together is None else together.shares,
        )  # fmt: skip

    def _borrowed(
        self, names: list[str], held: ExitStack, notices: list[str], *, is_named: bool
    ) -> Generator[None, None, dict[str, Chatting]]:
        """These experts, held until the stack is left; of those after the first whoever there is room for now.

        Where there is room they load side by side. It yields while it waits, so that a stream that is closed meanwhile waits no
        longer. Who holds one expert does not wait for others to give back another: they may wait for the same.
        """
        experts: dict[str, Chatting] = {}
        for name in names:
            if not held.enter_context(self.wellness.trying(name)) and not is_named:
                if experts:
                    continue
                raise _Unable(name, EngineError("somebody finds out whether it can answer again"), is_ill=False)
            try:
                asked = held.enter_context(self.pool.ask(name, at_once=bool(experts)))
                if not experts:
                    with suppress(UnknownNameError):  # said of whom it is when that one is asked for
                        self.pool.prefetch(names[1:])
                yield from asked.waiting(self.config.wait_seconds)
                (loan,) = asked.loans()
            except ClosedError:
                raise
            except PoolError as error:
                if not experts:
                    raise _Unable(name, error, is_ill=False) from error
                notices.append(_notice("apart", f"{name} does not deliberate", error, expert=name))
                continue
            except (InterconnectedAIError, OSError) as error:
                raise _Unable(name, error) from error
            if not isinstance(loan.expert, Chatting):
                raise _Unable(name, EngineError(f"{name} cannot hold a conversation"))
            experts[name] = loan.expert
        return experts

    def _speaking(
        self,
        asked: Asked,
        experts: Mapping[str, Chatting],
        together: DeliberationEngine | None,
        messages: Sequence[ChatMessage],
    ) -> Stream[str, ChatAnswer]:
        settings = {"max_new_tokens": self.config.max_new_tokens, **asked.settings}
        first = next(iter(experts.values()))
        if together is not None and isinstance(first, Expert):
            recollections = (each.recollection for each in experts.values() if isinstance(each, Expert))
            recollection = next((each for each in recollections if each is not None), None)
            engine = together if recollection is None else RecallingEngine(together, recollection)
            speaker = Speaker(engine, first.tokenizer, first.template, cache=PromptCache())
            return speaker.stream(messages, seed=asked.seed, too_long="drop_oldest", **settings)
        return first.stream_chat(
            messages, seed=asked.seed, session=(asked.user, asked.session), too_long="drop_oldest", **settings
        )

    def _deaf(self, experts: Mapping[str, Chatting]) -> list[str]:
        """Who of these recollects nothing, though the council does, and why."""
        found = self.recollected
        return [] if found is None else [why for name in experts if (why := found.why_not(name)) is not None]

    def _deliberating(
        self, experts: Mapping[str, Chatting], route: Route, notices: list[str]
    ) -> DeliberationEngine | None:
        """What speaks for all of them; None, with a notice, where they cannot mix their tokens."""
        first = next(iter(experts.values()))
        alike = {name: each for name, each in experts.items() if isinstance(each, Expert)}
        kinds = {each.tokenizer.sha256 for each in alike.values()}
        if not isinstance(first, Expert) or len(alike) < len(experts) or len(kinds) > 1:
            told = "the experts have different tokenizers, so the surest answers alone"
            notices.append(Told.of("tokenizers", told))
            return None
        least = {self.config.seed: self.config.seed_weight}
        prior = {name: max(route.score_of(name), least.get(name, LEAST_PRIOR)) for name in alike}
        prior[next(iter(alike))] = max(prior.values())  # who answers is heard no less than whom a router leans to
        try:
            return DeliberationEngine(
                {name: each.engine for name, each in alike.items()}, first.tokenizer, prior=prior,
                forgetting=self.config.forgetting, power=self.config.power,
            )  # fmt: skip
        except EngineError as error:
            notices.append(_notice("alone", "the surest answers alone", error))
            return None

    # Memory

    def _recalled(self, asked: Asked, budget_tokens: int, notices: list[str]) -> Context | None:
        if self.memory is None or budget_tokens < _FEWEST_RECALLED:
            return None
        try:
            return self.memory.context(
                asked.question, session=asked.session, user=asked.user, budget_tokens=budget_tokens
            )
        except StorageError as error:
            notices.append(_notice("unrecalled", "nothing is recalled", error))
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
        told = self.config.system if asked.system is None else asked.system
        system = [ChatMessage("system", told)] if told else []
        if asked.history or asked.after:
            block = [] if context is None or not context.text else [ChatMessage("user", context.text)]
            spoken = [*asked.history, ChatMessage("user", asked.question), *asked.after]
            return [*system, *block, *results_as_turns(spoken)]
        if context is None:
            return [*system, ChatMessage("user", asked.question)]
        return [*system, *(ChatMessage(turn["role"], turn["content"]) for turn in context.turns(asked.question))]

    def _remembered(self, asked: Asked, answer: CouncilAnswer, notices: list[str]) -> CouncilAnswer:
        began = time.perf_counter()
        if self.memory is not None:
            try:
                for message in (*asked.unheard, answer.message):
                    if message.content.strip():
                        self.memory.add(message.role, message.content, session=asked.session, user=asked.user)
            except StorageError as error:
                notices.append(_notice("unremembered", "this turn is not remembered", error))
        took = replace(answer.timings, remember=time.perf_counter() - began)
        return replace(answer, timings=took, notices=tuple(notices))


class _Unable(Exception):
    """This expert cannot answer now. is_ill: it would fail again; otherwise there is no room for it."""

    def __init__(self, expert: str, cause: Exception, *, is_ill: bool = True) -> None:
        super().__init__(f"{expert}: {cause}")
        self.expert, self.cause, self.is_ill = expert, cause, is_ill


def _notice(code: str, what: str, why: object, **values: str) -> Told:
    return Told.of(code, f"{what}: {why}", why=str(why), **values)


def _blames(error: Exception) -> tuple[Blame, ...]:
    return error.blames if isinstance(error, InterconnectedAIError) else ()


def _blames_of_all(causes: Sequence[Exception]) -> tuple[Blame, ...]:
    """What the request itself is to blame for, where every expert that was tried failed at it; the first one's words."""
    return _blames(causes[0]) if causes and all(map(_blames, causes)) else ()


class _Said(NamedTuple):
    """The first fields of `Asked`, those that stand in what was said."""

    question: str
    history: tuple[ChatMessage, ...]
    after: tuple[ChatMessage, ...]
    unheard: tuple[ChatMessage, ...]
    role: str | None


def _said_in(asked: str | Sequence[ChatMessage | Mapping[str, str]], role: str | None) -> _Said:
    """The question is what the user said last; a role token that it begins with is said to the router alone."""
    if isinstance(asked, str):
        messages = [ChatMessage("user", asked)]
    else:
        messages = [each if isinstance(each, ChatMessage) else _message_of(each) for each in asked]
    place = max((place for place, message in enumerate(messages) if message.role == "user"), default=-1)
    if place < 0 or messages[-1].role not in ("user", "tool"):
        raise PromptError(
            "a conversation that is to be answered ends with what the user says, or with what a function gave"
        )
    request = understood(Request(messages[place].content, role=role))
    if not request.text.strip():
        raise PromptError("the question is empty; ask something")
    since = max((place for place, message in enumerate(messages) if message.role == "assistant"), default=-1)
    unheard = [
        ChatMessage("user", request.text) if number == place else message
        for number, message in enumerate(messages)
        if number > since and (number == place or message.role == "tool")
    ]
    return _Said(request.text, tuple(messages[:place]), tuple(messages[place + 1 :]), tuple(unheard), request.role)


def _message_of(given: Mapping[str, str]) -> ChatMessage:
    if not isinstance(given, Mapping) or not all(isinstance(given.get(key), str) for key in ("role", "content")):
        raise PromptError(f"a message has a role and a content, both texts, got {repr(given)[:80]}")
    return ChatMessage(given["role"], given["content"])


def _window_of(expert: Chatting, max_new_tokens: int) -> Any:
    """Whether messages and an answer fit the expert's window; where nobody can tell they are taken to."""
    if not isinstance(expert, Expert):
        return lambda messages: True
    if not isinstance(expert.engine, Engine):
        return lambda messages: True
    window, template = expert.engine.max_seq_len, expert.template
    return lambda messages: template.count(messages) + max_new_tokens <= window
