"""`/v1/conversations`: what a person said and was answered, kept for the page and for other clients. They are the key's.

A conversation is a tree: every message names the one before it, so that one that is edited, or answered again, stands beside
the first. Each has a version; who writes says which one was read, and nobody's messages are lost.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, model_validator

from interconnected_ai.serving.door import AtTheDoor, Chatter, errors
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.own.conversation_file import Summary
from interconnected_ai.serving.own.desk import AtTheDesk
from interconnected_ai.serving.own.owners import owner_of
from interconnected_ai.serving.schemas import Body

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
_ID = r"^[A-Za-z0-9_-]{1,64}$"
Id = Annotated[str, Field(pattern=_ID)]
Which = Annotated[str, Path(pattern=_ID)]
Name = Annotated[str, Field(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=1000)]
_MOST_MESSAGES = 5_000


class KeptMessage(Body):
    """A message. parent: the one before it; None begins a conversation. at: seconds since 1970.

    Of an answer: model, the id that it had (`answer`), why it ended (`finish`), what the server told of it (`told`), what
    went wrong (`error`), and what its reader thought of it.
    """

    id: Id
    parent: Id | None = None
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=1_000_000)]
    at: Annotated[float, Field(ge=0)] = 0.0
    model: Name | None = None
    answer: Name | None = None
    finish: Name | None = None
    told: dict[str, Any] | None = None
    error: Annotated[str, Field(max_length=2_000)] | None = None
    rating: Literal["up", "down"] | None = None


class ConversationRequest(Body):
    """A conversation as it shall stand. version: of what was read, 0 for a new one. leaf: the message that was shown last."""

    version: Annotated[int, Field(ge=0)]
    title: Name
    model: Name | None = None
    width: Annotated[int, Field(ge=1, le=64)] | None = None
    leaf: Id | None = None
    messages: Annotated[list[KeptMessage], Field(max_length=_MOST_MESSAGES)]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        seen: set[str] = set()
        for message in self.messages:
            if message.id in seen:
                raise ValueError(f"two messages are called {message.id!r}")
            if message.parent is not None and message.parent not in seen:
                raise ValueError(
                    f"the message {message.id!r} follows {message.parent!r}, which does not stand before it"
                )
            seen.add(message.id)
        if self.leaf is not None and self.leaf not in seen:
            raise ValueError(f"leaf: there is no message {self.leaf!r}")
        return self


class ConversationSearch(Body):
    """Words, or beginnings of words, that all stand in a conversation."""

    query: Annotated[str, Field(max_length=1_000)]
    limit: Annotated[int, Field(ge=1, le=100)] | None = None


@router.get("", responses=errors(), response_model=None)
async def listed(
    door: AtTheDoor, desk: AtTheDesk, caller: Chatter, limit: Limit = 100,
    after: Annotated[str | None, Query(pattern=_ID)] = None,
) -> Response:  # fmt: skip
    """This key's conversations, the newest first, without their messages. after: the id of the last one that was seen."""
    found = await door.errands.run(lambda: desk.conversations.listed(owner_of(caller), limit + 1, after))
    data = [_summary(one) for one in found[:limit]]
    return answer({"object": "list", "data": data, "has_more": len(found) > limit})


@router.post("/search", responses=errors(408), response_model=None)
async def search(asked: ConversationSearch, door: AtTheDoor, desk: AtTheDesk, caller: Chatter) -> Response:
    """Those that hold the words, the best first."""
    found = await door.errands.run(lambda: desk.conversations.search(owner_of(caller), asked.query, asked.limit or 20))
    return answer({"object": "list", "data": [{**_summary(one), "excerpt": one.excerpt} for one in found]})


@router.get("/{id}", responses=errors(), response_model=None)
async def conversation(id: Which, door: AtTheDoor, desk: AtTheDesk, caller: Chatter) -> Response:
    """One, with all of its messages."""
    found, content = await door.errands.run(lambda: desk.conversations.get(owner_of(caller), id))
    return answer({**_summary(found), **content})


@router.put("/{id}", responses=errors(408, 409), response_model=None)
async def put(id: Which, asked: ConversationRequest, door: AtTheDoor, desk: AtTheDesk, caller: Chatter) -> Response:
    """Keep it. 409 where another version stands there: read that, put both together, and send it again."""
    content: Mapping[str, Any] = asked.model_dump(exclude={"version", "title"}, exclude_none=True)
    keep = partial(desk.conversations.put, owner_of(caller), id, asked.version, asked.title, content)
    return answer(_summary(await door.errands.run(keep)))


@router.delete("/{id}", responses=errors(), response_model=None)
async def remove(id: Which, door: AtTheDoor, desk: AtTheDesk, caller: Chatter) -> Response:
    """Forget it; what the memory learnt of it stays, and is forgotten there."""
    await door.errands.run(lambda: desk.conversations.remove(owner_of(caller), id))
    return answer({"object": "conversation.deleted", "id": id, "deleted": True})


def _summary(found: Summary) -> dict[str, Any]:
    return {"object": "conversation", **{name: value for name, value in asdict(found).items() if name != "excerpt"}}
