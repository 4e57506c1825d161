"""`POST /v1/responses`: in one piece, or as events while it is made; and what was kept of those before."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from interconnected_ai.errors import StorageError
from interconnected_ai.serving.accounts import account
from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Caller, Chatter, Door, entry_of, errors
from interconnected_ai.serving.events import as_json, streamed, whole
from interconnected_ai.serving.faults import Refusal, without_places
from interconnected_ai.serving.lanes import Reading
from interconnected_ai.serving.openai.responses.asked import (
    FIELDS,
    ResponseInput,
    ResponseRequest,
    read,
    refuse_foreign,
    session_name,
    settings_of,
)
from interconnected_ai.serving.openai.responses.items import Kept, kept, user_item
from interconnected_ai.serving.openai.responses.record import Answer
from interconnected_ai.serving.openai.responses.store import ResponseStore, StoredResponse
from interconnected_ai.serving.openai.responses.telling import Telling
from interconnected_ai.serving.turns import Delta, Said, Turn
from interconnected_ai.serving.voices import Voice

router = APIRouter(tags=["openai"])
_PATH = "/v1/responses"
_MOST_LISTED = 100


def _store_of(request: Request) -> ResponseStore:
    return cast("ResponseStore", request.app.state.responses)


AtTheStore = Annotated[ResponseStore, Depends(_store_of)]


@router.post(_PATH, responses=errors(408), response_model=None)
async def respond(
    asked: ResponseRequest, request: Request, door: AtTheDoor, store: AtTheStore, caller: Chatter
) -> Response:
    """An answer to a conversation, by an expert or by the council; it goes on from an earlier one where that is named."""
    refuse_foreign(asked)
    voice = door.hall.voice(asked.model)
    before, items = await door.errands.run(partial(_items, asked, store, caller.owner))
    turn = _turn(asked, before, items, caller, door)
    entry = entry_of(request)
    entry.model = voice.name
    if door.config.log_prompts:
        entry.prompt = [message.content for message in turn.messages]
    reading = door.answers.read(partial(voice.talk, turn))
    answering = _Answering(Answer(asked, voice.name, int(time.time())), items, turn.session or "", store, caller, door)
    if asked.stream:
        telling = Telling(answering.answer)
        events = _events(answering, telling, voice, reading, request)
        return await streamed(request, door, reading, events, told=telling.failed)
    (said,) = await whole(request, door, reading)
    account(request, door, caller, voice, [said])
    return _json(await answering.finished(said))


@router.post(f"{_PATH}/input_tokens", responses=errors(408), response_model=None)
async def input_tokens(
    asked: ResponseInput, request: Request, door: AtTheDoor, store: AtTheStore, caller: Chatter
) -> Response:
    """How many tokens a model reads of a conversation: exact for an expert of this machine, else an estimate."""
    refuse_foreign(asked)
    voice = door.hall.voice(asked.model)
    before, items = await door.errands.run(partial(_items, asked, store, caller.owner))
    turn = read(asked, [*_before(before), *items])
    refuse_long((message.content for message in turn.messages), door.config.max_prompt_tokens, param="input")
    entry_of(request).model = voice.name
    number = await door.errands.run(partial(voice.count, turn))
    return _json({"object": "response.input_tokens", "input_tokens": number})


@router.get(f"{_PATH}/{{response_id}}", responses=errors(), response_model=None)
async def retrieve(
    response_id: str, door: AtTheDoor, store: AtTheStore, caller: Chatter, stream: bool = False
) -> Response:
    """A response that was kept, as it was sent."""
    if stream:
        raise Refusal(400, "stream: what was kept is whole; ask without it", code="unsupported_value", param="stream")
    return _json((await _found(response_id, door, store, caller)).response)


@router.delete(f"{_PATH}/{{response_id}}", responses=errors(), response_model=None)
async def delete(response_id: str, door: AtTheDoor, store: AtTheStore, caller: Chatter) -> Response:
    """Forget a response. What goes on from it can no longer be gone on from."""
    if not await door.errands.run(partial(store.remove, caller.owner, response_id)):
        raise _unknown(response_id)
    return _json({"id": response_id, "object": "response", "deleted": True})


@router.post(f"{_PATH}/{{response_id}}/cancel", responses=errors(), response_model=None)
async def cancel(response_id: str, door: AtTheDoor, store: AtTheStore, caller: Chatter) -> Response:
    """Refused: what is kept is whole, and what is being made ends with its connection."""
    await _found(response_id, door, store, caller)
    raise Refusal(
        400, "only a response that is made in the background can be cancelled; there are none here: close the connection "
        "of one that is being made", code="unsupported",
    )  # fmt: skip


@router.get(f"{_PATH}/{{response_id}}/input_items", responses=errors(), response_model=None)
async def input_items(
    response_id: str,
    door: AtTheDoor,
    store: AtTheStore,
    caller: Chatter,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> Response:
    """What a response was made from: the items of this turn and of those before."""
    chain = await door.errands.run(partial(store.chain, caller.owner, response_id))
    if not chain:
        raise _unknown(response_id)
    items = [*_before(chain[:-1]), *chain[-1].items]
    if order == "desc":
        items.reverse()
    places = {item["id"]: place for place, item in enumerate(items)}
    if after is not None and after not in places:
        raise Refusal(400, f"after: no item {after[:64]!r} is among them", code="invalid_value", param="after")
    begin = 0 if after is None else places[after] + 1
    shown = items[begin : begin + limit]
    return _json({
        "object": "list", "data": shown, "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "", "has_more": begin + limit < len(items),
    })  # fmt: skip


# What is asked


def _items(
    asked: ResponseInput, store: ResponseStore, owner: str | None
) -> tuple[tuple[StoredResponse, ...], list[Kept]]:
    """The responses that this one goes on from, and the items that are new."""
    before: tuple[StoredResponse, ...] = ()
    if asked.previous_response_id is not None:
        before = store.chain(owner, asked.previous_response_id)
        if not before or before[0].previous is not None:
            gone = asked.previous_response_id if not before else before[0].previous or ""
            raise Refusal(
                404, f"previous_response_id: no response {gone[:64]!r} is kept here; send what was said before as input",
                code="previous_response_not_found", param="previous_response_id",
            )  # fmt: skip
    if asked.input is None or isinstance(asked.input, str):
        return before, [] if asked.input is None else [user_item(asked.input)]
    find = partial(store.item, owner)
    found = (kept(item, f"input.{place}", find) for place, item in enumerate(asked.input))
    return before, [item for item in found if item is not None]


def _before(chain: tuple[StoredResponse, ...]) -> list[Kept]:
    return [item for one in chain for item in one.all_items]


def _turn(
    asked: ResponseRequest, before: tuple[StoredResponse, ...], items: list[Kept], caller: Caller, door: Door
) -> Turn:
    turn = read(asked, [*_before(before), *items])
    refuse_long((message.content for message in turn.messages), door.config.max_prompt_tokens, param="input")
    settings = settings_of(asked, turn.choice, door.config.max_new_tokens)
    session = session_name(asked, turn, before[-1].session if before else None)
    return replace(
        turn, settings=settings, seed=asked.seed, user=caller.user, session=session, width=asked.width, role=asked.role,
        fields=FIELDS,
    )  # fmt: skip


# What is answered


@dataclass(frozen=True)
class _Answering:
    """An answer that is being made, and what is to be kept with it."""

    answer: Answer
    items: list[Kept]
    session: str
    store: ResponseStore
    caller: Caller
    door: Door

    async def finished(self, said: Said) -> dict[str, Any]:
        """The response, which is on disk where it says that it is kept. A store that cannot be used costs no answer."""
        is_kept = self.answer.asked.is_kept
        response = self.answer.whole(said, is_kept=is_kept, completed=int(time.time()))
        if not is_kept:
            return response
        stored = StoredResponse(response, tuple(self.items), self.answer.asked.previous_response_id, self.session)
        try:
            await self.door.errands.run(partial(self.store.add, self.caller.owner, stored))
        except (StorageError, Refusal) as error:
            notice = f"this response is not kept: {without_places(str(error))}"
            told = response["interconnected_ai"]
            noticed = {**told, "notices": [*told.get("notices", ()), notice]}
            return {**response, "store": False, "interconnected_ai": noticed}
        return response


async def _events(
    answering: _Answering, telling: Telling, voice: Voice, reading: Reading[Delta, Said], request: Request
) -> AsyncIterator[bytes]:
    for part in telling.begins():
        yield part
    async for _, delta in reading:
        for part in telling.piece(delta):
            yield part
    (said,) = reading.wholes
    account(request, answering.door, answering.caller, voice, [said])
    for part in telling.item_ends(said):
        yield part
    yield telling.ends(await answering.finished(said))


async def _found(response_id: str, door: Door, store: ResponseStore, caller: Caller) -> StoredResponse:
    found = await door.errands.run(partial(store.find, caller.owner, response_id))
    if found is None:
        raise _unknown(response_id)
    return found


def _unknown(response_id: str) -> Refusal:
    return Refusal(
        404, f"no response {response_id[:64]!r} is kept here: it was never, was deleted, or had to make room",
        code="response_not_found", param="response_id",
    )  # fmt: skip


def _json(content: Mapping[str, Any]) -> Response:
    return Response(as_json(content), media_type="application/json")
