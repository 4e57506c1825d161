"""Who answers: a council, or one expert by its name. Sync generators that a lane's thread reads; no HTTP here."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from time import perf_counter
from typing import Any, Literal

from interconnected_ai import __version__
from interconnected_ai.config import GenerationConfig
from interconnected_ai.council import Council, CouncilAnswer
from interconnected_ai.errors import EngineError
from interconnected_ai.experts import (
    Chatting,
    Expert,
    ExpertCard,
    ExpertPool,
    TextExpert,
    TextFeed,
    pieces_of,
    results_as_turns,
)
from interconnected_ai.serving.faults import Refusal, without_places
from interconnected_ai.serving.fields import in_fields
from interconnected_ai.serving.tools import CallFeed, Watch, described, schema_of
from interconnected_ai.serving.turns import Delta, Said, TokenChance, Turn
from interconnected_ai.text import estimate_tokens, token_bytes
from interconnected_ai.types import ChatMessage, Generation, Piece, Stream, TokenStep

Speaking = Generator[Delta | None, None, Said]
_TOKENS_OF_A_TURN = 4  # a template's marks around a message, where only an estimate can be had
_LEAST = -9999.0  # of a token that cannot come: JSON has no infinity


class Voice(ABC):
    """Answers turns. name: of the model. fingerprint: what tells its weights and this program from others."""

    name: str
    fingerprint: str

    def talk(self, turn: Turn) -> Stream[Delta, Said]:
        """The answer as it comes: text, or the call of a function; closing it stops the expert at its next token."""
        return Stream(self._talking(turn))

    def _talking(self, turn: Turn) -> Speaking:
        with in_fields(turn.fields):
            return (yield from self._answered(turn))

    def _answered(self, turn: Turn) -> Speaking:
        if turn.choice == "none" or not turn.tools:
            return (yield from _as_text(self._speak(turn.messages, turn.settings, turn)))
        messages = described(turn.messages, turn.tools, turn.choice)
        if turn.choice == "auto":
            said = yield from _watched(self._speak(messages, turn.settings, turn), Watch(turn.tools))
            if said is not None:
                return said
        plain = {
            name: value
            for name, value in turn.settings.items()
            if name not in ("logprobs", "regex", "stop", "logit_bias")
        }
        settings = {**plain, "json_schema": schema_of(turn.tools, turn.choice)}
        named = next((tool.name for tool in turn.tools if tool.name == turn.choice), None)
        with in_fields({**turn.fields, "json_schema": "tools"}):
            return (yield from _as_call(self._speak(messages, settings, turn), CallFeed(named)))

    def count(self, turn: Turn) -> int:
        """How many tokens the model reads of a turn, of its functions too. It may wait for the expert."""
        tells = turn.choice != "none" and bool(turn.tools)
        return self._count(described(turn.messages, turn.tools, turn.choice) if tells else turn.messages)

    @abstractmethod
    def write(
        self, prompt: str | Sequence[int], settings: Mapping[str, Any], *, seed: int | None, fields: Mapping[str, str]
    ) -> Stream[Delta, Said]:
        """What continues a text, or token ids, as it comes. settings, fields: as a `Turn` has them."""

    @abstractmethod
    def _count(self, messages: Sequence[ChatMessage]) -> int:
        """The tokens of a conversation."""

    @abstractmethod
    def _speak(self, messages: Sequence[ChatMessage], settings: Mapping[str, Any], turn: Turn) -> Speaking:
        """The text of an answer in pieces."""


class CouncilVoice(Voice):
    """A council. width: how many deliberate, where the model's name says it."""

    def __init__(self, council: Council, name: str, *, width: int | None = None) -> None:
        self.name, self._council, self._width = name, council, width
        self.fingerprint = _fingerprint(council.config.to_dict())

    def write(
        self, prompt: str | Sequence[int], settings: Mapping[str, Any], *, seed: int | None, fields: Mapping[str, str]
    ) -> Stream[Delta, Said]:
        """Refused: a council answers people."""
        raise Refusal(
            400, "model: a council answers conversations; use /v1/chat/completions, or an expert's name",
            code="unsupported", param="model",
        )  # fmt: skip

    def _count(self, messages: Sequence[ChatMessage]) -> int:
        """An estimate: who answers, and what is recalled, is not known before."""
        return _estimated(messages)

    def _speak(self, messages: Sequence[ChatMessage], settings: Mapping[str, Any], turn: Turn) -> Speaking:
        if settings.get("logprobs") is not None:
            raise Refusal(
                400, "logprobs are of a single expert's tokens; ask for an expert by its name", code="unsupported",
                param="logprobs",
            )  # fmt: skip
        width = turn.width if turn.width is not None else self._width
        stream = _asked(
            lambda: self._council.stream(
                list(messages), session=turn.session or "default", user=turn.user, role=turn.role, width=width,
                seed=turn.seed, **settings,
            )
        )  # fmt: skip
        answer: CouncilAnswer = yield from stream.passed_on(Delta)
        told = {key: value for key, value in answer.to_dict().items() if key not in ("text", "ended")}
        told |= {
            "notices": [without_places(notice) for notice in answer.notices],
            "notice_clauses": [_placeless(clause) for clause in told["notice_clauses"]],
        }
        said = _said(answer.generation, answer.num_prompt_tokens, answer.generation.num_known_tokens, told)
        return replace(said, stop=_stop_of(answer.generation, settings))


class ExpertVoice(Voice):
    """One expert, lent by a pool. wait_seconds: for it to come into memory."""

    def __init__(
        self, pool: ExpertPool[TextExpert], name: str, card: ExpertCard | None, *, wait_seconds: float
    ) -> None:
        self.name, self._pool, self._wait_seconds = name, pool, wait_seconds
        self.fingerprint = _fingerprint({} if card is None else asdict(card))

    def _speak(self, messages: Sequence[ChatMessage], settings: Mapping[str, Any], turn: Turn) -> Speaking:
        if turn.width is not None:
            raise Refusal(
                400, "width: it is of a council; ask for the model council", code="unsupported", param="width"
            )
        with ExitStack() as held:
            expert, took = yield from self._borrowed(held)
            if not isinstance(expert, Chatting):
                raise Refusal(400, f"{self.name} cannot hold a conversation; use /v1/completions", code="unsupported")
            session = None if turn.session is None else (turn.user, turn.session)
            read = results_as_turns(messages)
            too_long: Literal["drop_oldest", "refuse"] = "drop_oldest" if turn.drops_oldest else "refuse"
            stream = _asked(
                lambda: expert.stream_chat(read, seed=turn.seed, session=session, too_long=too_long, **settings)
            )
            answer = yield from _told(stream, _bytes_of(expert, settings))
            said = _said(answer.generation, answer.num_prompt_tokens, answer.num_known_tokens, took())
            said = replace(said, chances=_chances(answer.generation.steps, _bytes_of(expert, settings)))
            if answer.dropped:
                said = replace(said, told={**said.told, "num_dropped_messages": len(answer.dropped)})
            return replace(said, stop=_stop_of(answer.generation, settings))

    def _count(self, messages: Sequence[ChatMessage]) -> int:
        """Exact where the expert's template and tokenizer are here; of an expert elsewhere an estimate."""
        with self._pool.borrow(self.name, timeout_seconds=self._wait_seconds) as loan:
            expert = loan.expert
            read = results_as_turns(messages)
            return expert.template.count(read) if isinstance(expert, Expert) else _estimated(read)

    def write(
        self, prompt: str | Sequence[int], settings: Mapping[str, Any], *, seed: int | None, fields: Mapping[str, str]
    ) -> Stream[Delta, Said]:
        """What continues a text, or token ids, as it comes."""
        return Stream(self._writing(prompt, settings, seed, fields))

    def _writing(
        self, prompt: str | Sequence[int], settings: Mapping[str, Any], seed: int | None, fields: Mapping[str, str]
    ) -> Speaking:
        with in_fields(fields), ExitStack() as held:
            expert, took = yield from self._borrowed(held)
            if isinstance(prompt, str):
                stream = _asked(lambda: expert.stream(prompt, seed=seed, **settings))
                num_prompt = _num_tokens(expert, prompt)
            elif isinstance(expert, Expert):
                config = GenerationConfig(**settings)
                tokens = _asked(lambda: expert.engine.stream([list(prompt)], config, seed=seed))
                feed = TextFeed(expert.tokenizer, config.stop)
                stream, num_prompt = Stream(pieces_of(feed, tokens, lambda made: made)), len(prompt)
            else:
                raise Refusal(
                    400, f"prompt: {self.name} has no token ids here; send text", code="unsupported", param="prompt"
                )
            generation: Generation = yield from _told(stream, _bytes_of(expert, settings))
            said = _said(generation, num_prompt, generation.num_known_tokens, took())
            return replace(
                said, text=generation.text or "", chances=_chances(generation.steps, _bytes_of(expert, settings))
            )

    def _borrowed(self, held: ExitStack) -> Generator[None, None, tuple[TextExpert, Callable[[], dict[str, Any]]]]:
        """The expert until the stack is left, and what then tells who answered and how long it took.

        It yields while it waits, so that a stream that is closed meanwhile waits no longer.
        """
        began = perf_counter()
        asked = held.enter_context(self._pool.ask(self.name))
        yield from asked.waiting(self._wait_seconds)
        (loan,) = asked.loans()
        borrowed = perf_counter()

        def took() -> dict[str, Any]:
            seconds = {"borrow": borrowed - began, "generate": perf_counter() - borrowed}
            return {"experts": [self.name], "timings": seconds}

        return loan.expert, took


def _placeless(clause: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: without_places(value) if isinstance(value, str) else value for name, value in clause["values"].items()
    }
    return {**clause, "values": values}


def _asked(ask: Callable[[], Stream[Any, Any]]) -> Stream[Any, Any]:
    """What is wrong with a request is said before anything is made, and is then the request's fault, not the engine's."""
    try:
        return ask()
    except EngineError as error:
        if error.blames:  # told in the request's own words
            raise
        raise Refusal(400, str(error), code="unsupported") from error


def _told(stream: Stream[Any, Any], token_bytes: Sequence[bytes]) -> Generator[Delta | None, None, Any]:
    def told(piece: str) -> Delta:
        steps = piece.steps if isinstance(piece, Piece) else ()
        return Delta(piece, chances=_chances(steps, token_bytes))

    return (yield from stream.passed_on(told))


def _bytes_of(expert: TextExpert, settings: Mapping[str, Any]) -> Sequence[bytes]:
    """The bytes of the expert's tokens, where log probabilities are asked for."""
    if settings.get("logprobs") is None or not isinstance(expert, Expert):
        return ()
    return token_bytes(expert.tokenizer)


def _chances(steps: Sequence[TokenStep], token_bytes: Sequence[bytes]) -> tuple[TokenChance, ...]:
    if not token_bytes:
        return ()

    def written(token: int) -> bytes:
        return token_bytes[token] if token < len(token_bytes) else b""

    return tuple(
        TokenChance(
            written(step.token_id), _finite(step.logprob), tuple((written(token), _finite(p)) for token, p in step.top)
        )
        for step in steps
    )


def _finite(logprob: float | None) -> float:
    return _LEAST if logprob is None else max(_LEAST, logprob)


def _num_tokens(expert: TextExpert, text: str) -> int:
    """What a prompt took; of an expert elsewhere an estimate."""
    if not isinstance(expert, Expert):
        return estimate_tokens(text)
    return len(expert.tokenizer.lead_ids) + len(expert.tokenizer.encode(text)) or 1


def _estimated(messages: Sequence[ChatMessage]) -> int:
    return sum(estimate_tokens(message.content) + _TOKENS_OF_A_TURN for message in messages)


def _stop_of(generation: Generation, settings: Mapping[str, Any]) -> str | None:
    """Which of the stop strings that were asked for ended an answer; a template's own are nobody's affair."""
    return generation.stopped_by if generation.stopped_by in (settings.get("stop") or ()) else None


def _said(generation: Generation, num_prompt: int, num_known: int, told: Mapping[str, Any]) -> Said:
    text = generation.text or ""
    num_tokens = len(generation.token_ids) or (
        estimate_tokens(text) if text else 0
    )  # an expert elsewhere tells no tokens
    ended = "length" if generation.ended == "length" else "stop"
    return Said(text.strip(), ended, num_prompt, num_tokens, min(num_known, num_prompt), told=told)  # type: ignore[arg-type]


def _fingerprint(known: Mapping[str, Any]) -> str:
    text = json.dumps([__version__, known], sort_keys=True, default=str)
    return f"fp_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


# Text as it is shown


def _as_text(speaking: Speaking) -> Speaking:
    """Text, without the space around the whole of it, which the whole answer has neither."""
    trim = _Trim()
    return (yield from _each(speaking, lambda delta: _if_any(Delta(trim.add(delta.text), chances=delta.chances))))


def _watched(speaking: Speaking, watch: Watch) -> Generator[Delta | None, None, Said | None]:
    """Text; None, and nothing more of it, where it begins to be a call."""
    trim = _Trim()
    held: list[TokenChance] = []
    try:
        while True:
            try:
                delta = next(speaking) or Delta()
            except StopIteration as end:
                said: Said = end.value
                if rest := trim.add(watch.finish()):
                    yield Delta(rest, chances=tuple(held))
                return said
            held += delta.chances
            shown = trim.add(watch.add(delta.text))
            if watch.is_call:
                return None
            if shown:
                yield Delta(shown, chances=tuple(held))
                held.clear()
            else:
                yield None
    finally:
        speaking.close()


def _as_call(speaking: Speaking, feed: CallFeed) -> Speaking:
    said = yield from _each(speaking, lambda delta: feed.add(delta.text))
    yield from feed.finish(is_whole=said.ended != "length")
    return replace(said, text="", call=feed.name, arguments=feed.arguments, chances=())


def _each(speaking: Speaking, shown: Callable[[Delta], list[Delta]]) -> Speaking:
    """What is shown of each piece; None where nothing is, so that it may be closed there."""
    try:
        while True:
            try:
                delta = next(speaking)
            except StopIteration as end:
                said: Said = end.value
                return said
            deltas = [] if delta is None else shown(delta)
            yield from deltas
            if not deltas:
                yield None
    finally:
        speaking.close()


def _if_any(delta: Delta) -> list[Delta]:
    return [delta] if delta.text or delta.chances else []


class _Trim:
    """Text without the space before its first letter and behind its last."""

    def __init__(self) -> None:
        self._has_begun = False
        self._space = ""

    def add(self, text: str) -> str:
        """What may be shown: space waits until something follows it."""
        whole = self._space + text
        if not self._has_begun:
            whole = whole.lstrip()
        shown = whole.rstrip()
        self._has_begun = self._has_begun or bool(shown)
        self._space = whole[len(shown) :] if self._has_begun else ""
        return shown
