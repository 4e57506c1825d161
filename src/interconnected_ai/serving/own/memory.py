"""`/v1/memory/…`: what is remembered of the key's user: recalled, searched, corrected, forgotten, exported."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.memory import Message, Pin, Reason, ThreeLevelMemory
from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Caller, Door, Rememberer, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.answers import answer, plain
from interconnected_ai.serving.schemas import Body

T = TypeVar("T")
router = APIRouter(prefix="/v1/memory", tags=["memory"])
Session = Annotated[str | None, Query(max_length=1000)]
_SESSION = "default"
_MOST_FOUND = 1000
_LARGEST = 2**63 - 1  # that a store has
Number = Annotated[int, PathParameter(ge=0, le=_LARGEST)]


class _Asked(Body):
    """A question to the memory. now: ISO 8601, the moment that "yesterday" is seen from. time_zone: as in "Europe/Riga"."""

    query: str
    session: str | None = None
    scope: Literal["user", "session"] | None = None
    now: str | None = None
    time_zone: str | None = None

    def named(self) -> dict[str, Any]:
        """As the memory's calls name it."""
        return {
            "scope": self.scope or "user", "now": self.now, "time_zone": self.time_zone,
        }  # fmt: skip


class ContextRequest(_Asked):
    """What would go to a model. explain: say of each message why it is there, and what it says."""

    budget_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    explain: bool | None = None


class SearchRequest(_Asked):
    """What answers a question."""

    limit: Annotated[int, Field(ge=1, le=_MOST_FOUND)] | None = None


class WhyRequest(_Asked):
    """Why a message is in a context, or why not. id: the message's."""

    id: str
    budget_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class MessagesRequest(Body):
    """Ids of messages, such as an answer's `recalled`."""

    ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=_MOST_FOUND)]


class FactRequest(Body):
    """A fact that a person sets."""

    relation: Annotated[str, Field(max_length=1000)]
    value: Annotated[str, Field(max_length=10_000)]
    subject: Annotated[str, Field(max_length=1000)] | None = None
    session: str | None = None
    valid_until: str | None = None


class CorrectRequest(Body):
    """What a fact's value is instead."""

    value: Annotated[str, Field(max_length=10_000)]
    valid_until: str | None = None


class PinRequest(Body):
    """A text that comes along with every context: of a session, or without one of all the user's."""

    text: Annotated[str, Field(max_length=20_000)]
    session: str | None = None


class ForgetRequest(Body):
    """What is to be forgotten. confirm: without it only how much would go is told.

    everything: the whole session that is named, or without one all of the user's memory.
    """

    ids: Annotated[list[str], Field(max_length=10_000)] | None = None
    session: str | None = None
    before: str | None = None
    containing: str | None = None
    pin: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None
    everything: bool | None = None
    confirm: bool | None = None


@router.post("/context", responses=errors(408), response_model=None)
async def context(asked: ContextRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """What of the memory helps to answer, as text and as messages, within a budget of tokens."""
    refuse_long([asked.query], door.config.max_prompt_tokens, param="query")

    def read(memory: ThreeLevelMemory) -> dict[str, Any]:
        found = memory.context(
            asked.query, session=_or_default(asked.session), user=caller.user, explain=bool(asked.explain),
            budget_tokens=asked.budget_tokens or 13_000, **asked.named(),
        )  # fmt: skip
        told = {"object": "memory.context", **plain(found.to_dict())}
        return {**told, "sources": _sources(memory, caller.user, found.reasons)} if asked.explain else told

    return answer(await _remembered(door, caller, read))


@router.post("/search", responses=errors(408), response_model=None)
async def search(asked: SearchRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """The messages that answer a question, the best first."""
    refuse_long([asked.query], door.config.max_prompt_tokens, param="query")
    found = await _remembered(door, caller, lambda memory: memory.search(
        asked.query, session=asked.session, user=caller.user, limit=asked.limit or 10, **asked.named()
    ))  # fmt: skip
    data = [{**_message(one.message), "score": one.score, "legs": list(one.legs)} for one in found]
    return answer({"object": "list", "data": data})


@router.post("/why", responses=errors(408), response_model=None)
async def why(asked: WhyRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """Why a message is in the context of a question, or why not."""
    refuse_long([asked.query], door.config.max_prompt_tokens, param="query")
    found = await _remembered(door, caller, lambda memory: memory.why(
        asked.query, asked.id, session=_or_default(asked.session), user=caller.user,
        budget_tokens=asked.budget_tokens or 13_000, **asked.named(),
    ))  # fmt: skip
    return answer({"object": "memory.reason", **plain(found), "is_shown": found.is_shown})


@router.get("/facts", responses=errors(), response_model=None)
async def facts(
    door: AtTheDoor,
    caller: Rememberer,
    query: Annotated[str | None, Query(max_length=10_000)] = None,
    session: Session = None,
    superseded: bool = False,
    scope: Literal["user", "session"] = "user",
) -> Response:
    """What is known of the user, oldest first; with a query what has to do with it, the best first."""
    found = await _remembered(door, caller, lambda memory: memory.facts(
        query, session=session, user=caller.user, superseded=superseded, scope=scope
    ))  # fmt: skip
    return answer({"object": "list", "data": [{"object": "memory.fact", **plain(fact)} for fact in found]})


@router.post("/facts", responses=errors(408), response_model=None)
async def set_fact(asked: FactRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """Set a fact by hand, which no rule overwrites."""
    found = await _remembered(door, caller, lambda memory: memory.set_fact(
        asked.relation, asked.value, subject=asked.subject or "user", session=_or_default(asked.session),
        user=caller.user, valid_until=asked.valid_until,
    ))  # fmt: skip
    return answer({"object": "memory.fact", **plain(found)})


@router.post("/facts/{number}/correct", responses=errors(408), response_model=None)
async def correct(number: Number, asked: CorrectRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """Put another value in the place of a fact's; the new fact."""
    found = await _remembered(door, caller, lambda memory: memory.correct(
        number, asked.value, user=caller.user, valid_until=asked.valid_until
    ))  # fmt: skip
    return answer({"object": "memory.fact", **plain(found)})


@router.delete("/facts/{number}", responses=errors(), response_model=None)
async def retract(number: Number, door: AtTheDoor, caller: Rememberer) -> Response:
    """Say that a fact does not hold, so that it is not learnt again."""
    found = await _remembered(door, caller, lambda memory: memory.retract(number, user=caller.user))
    return answer({"object": "memory.fact", **plain(found)})


@router.get("/pins", responses=errors(), response_model=None)
async def pins(door: AtTheDoor, caller: Rememberer, session: Session = None) -> Response:
    """What is pinned, the oldest first: for a session, those of all sessions included, or all of it."""
    found = await _remembered(door, caller, lambda memory: memory.pins(session=session, user=caller.user))
    return answer({"object": "list", "data": [_pin(one) for one in found]})


@router.post("/pins", responses=errors(408), response_model=None)
async def pin(asked: PinRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """Pin a text. All pins together take 1,000 tokens at most."""
    pinned = partial(_pinned, text=asked.text, session=asked.session, user=caller.user)
    return answer(_pin(await _remembered(door, caller, pinned)))


@router.delete("/pins/{number}", responses=errors(), response_model=None)
async def unpin(number: Number, door: AtTheDoor, caller: Rememberer) -> Response:
    """Take a pin off; its text is gone from the bytes of the files too."""

    def go(memory: ThreeLevelMemory) -> None:
        if number not in {one.number for one in memory.pins(user=caller.user)}:
            raise Refusal(404, f"there is no pin {number}, or it is somebody else's", code="not_found")
        memory.forget(pin=number, user=caller.user)

    await _remembered(door, caller, go)
    return answer({"object": "memory.pin.deleted", "number": number, "deleted": True})


@router.get("/sessions", responses=errors(), response_model=None)
async def sessions(door: AtTheDoor, caller: Rememberer) -> Response:
    """The user's sessions, the one with the newest message last."""
    found = await _remembered(door, caller, lambda memory: memory.sessions(user=caller.user))
    data = [{name: value for name, value in asdict(one).items() if name != "user"} for one in found]
    return answer({"object": "list", "data": [{"object": "memory.session", **one} for one in data]})


@router.get("/messages", responses=errors(), response_model=None)
async def messages(
    door: AtTheDoor,
    caller: Rememberer,
    session: Annotated[str, Query(max_length=1000)] = _SESSION,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_FOUND)] = 100,
) -> Response:
    """A session's messages word for word, in order. after: the place of the last one that was seen."""

    def read(memory: ThreeLevelMemory) -> list[Message]:
        said = memory.messages(session=session, user=caller.user)
        return list(islice((one for one in said if one.place > after), limit + 1))

    found = await _remembered(door, caller, read)
    return answer({
        "object": "list", "data": [_message(one) for one in found[:limit]], "has_more": len(found) > limit,
    })  # fmt: skip


@router.get("/stats", responses=errors(), response_model=None)
async def stats(door: AtTheDoor, caller: Rememberer, session: Session = None) -> Response:
    """The three levels: pieces, tokens, and how full they are."""

    def read(memory: ThreeLevelMemory) -> dict[str, Any]:
        found = memory.stats(session=session, user=caller.user)
        # what is the whole store's says something of others
        own = {
            k: v for k, v in asdict(found).items() if k not in ("levels", "file_bytes", "num_jobs", "num_failed_jobs")
        }
        return {**own, "levels": {each.level: {**asdict(each), "share": each.share} for each in found}}

    return answer({"object": "memory.stats", **await _remembered(door, caller, read)})


@router.post("/messages", responses=errors(408), response_model=None)
async def found(asked: MessagesRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """Messages by their ids, word for word, of whatever session of the user's; what is not there is left out."""
    messages = await _remembered(door, caller, lambda memory: memory.find(*asked.ids, user=caller.user))
    return answer({"object": "list", "data": [_message(one) for one in messages]})


@router.post("/forget", responses=errors(408), response_model=None)
async def forget(asked: ForgetRequest, door: AtTheDoor, caller: Rememberer) -> Response:
    """How much would go; with `confirm` it goes for good, from the bytes of the files too."""
    named = {"session": asked.session, "before": asked.before, "containing": asked.containing, "pin": asked.pin}
    if not asked.ids and not asked.everything and all(value is None for value in named.values()):
        raise Refusal(
            400, "say what to forget: ids, session, before, containing or pin; everything alone is all of your memory",
            code="missing_field",
        )  # fmt: skip

    def go(memory: ThreeLevelMemory) -> dict[str, Any]:
        what: dict[str, Any] = {**named, "user": caller.user, "everything": bool(asked.everything)}
        found = memory.forgettable(*(asked.ids or ()), **what)
        told = {"object": "memory.forgetting", "would_go": asdict(found), "gone": None}
        return {**told, "gone": asdict(memory.forget(*(asked.ids or ()), **what))} if asked.confirm else told

    return answer(await _remembered(door, caller, go))


@router.get(
    "/export",
    responses={**errors(), 200: {"content": {"application/x-ndjson": {}, "text/markdown": {}}}},
    response_class=Response,
)
async def export(
    door: AtTheDoor, caller: Rememberer, format: Literal["jsonl", "markdown"] = "jsonl", session: Session = None
) -> Response:
    """All that was said, with pins and facts set by hand: as JSONL, which a memory reads again, or as Markdown for people."""
    folder = Path(tempfile.mkdtemp(prefix="iai-export-"))
    away = partial(shutil.rmtree, folder, ignore_errors=True)
    path = folder / ("memory.jsonl" if format == "jsonl" else "memory.md")

    def write(memory: ThreeLevelMemory) -> None:
        to = memory.export_jsonl if format == "jsonl" else memory.export_markdown
        to(path, user=caller.user, session=session)

    try:
        await _remembered(door, caller, write)
    except BaseException:
        away()
        raise
    kind = "application/x-ndjson" if format == "jsonl" else "text/markdown; charset=utf-8"
    return FileResponse(path, media_type=kind, filename=path.name, background=BackgroundTask(away))


def _pinned(memory: ThreeLevelMemory, *, text: str, session: str | None, user: str) -> Pin:
    return memory.pin(text, session=session, user=user)


def _pin(pin: Pin) -> dict[str, Any]:
    return {
        "object": "memory.pin", "number": pin.number, "session": pin.session, "text": pin.text, "time": pin.time,
    }  # fmt: skip


async def _remembered(door: Door, caller: Caller, read: Callable[[ThreeLevelMemory], T]) -> T:
    """What the memory says, in a thread. That there are other users is told to nobody."""
    memory = door.hall.memory
    if memory is None:
        raise Refusal(
            404, "this server has no memory; name one in its council.yaml: memory: memory.db", code="not_found"
        )
    try:
        return await door.memories.run(lambda: read(memory))
    except UnknownNameError as error:
        if error.kind == "user":
            raise Refusal(404, "nothing is remembered of you", code="not_found") from error
        raise


def _sources(memory: ThreeLevelMemory, user: str, reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """The messages that reasons speak of, in their order; what was forgotten meanwhile is left out."""
    found = {(one.session, one.id): one for one in memory.find(*(reason.id for reason in reasons), user=user)}
    return [_message(found[key]) for reason in reasons if (key := (reason.session, reason.id)) in found]


def _or_default(session: str | None) -> str:
    return _SESSION if session is None else session


def _message(message: Message) -> dict[str, Any]:
    shown = ("id", "session", "place", "role", "content", "time", "num_tokens", "level", "is_ahead")
    return {"object": "memory.message", **{name: getattr(message, name) for name in shown}}
