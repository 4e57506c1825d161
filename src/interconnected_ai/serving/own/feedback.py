"""`/v1/feedback`: what people thought of answers. It belongs to the key that gave it."""

import secrets
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from interconnected_ai.serving.door import AtTheDoor, Chatter, errors
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.own.desk import AtTheDesk
from interconnected_ai.serving.own.owners import owner_of
from interconnected_ai.serving.schemas import Body

router = APIRouter(tags=["feedback"])
Name = Annotated[str, Field(min_length=1, max_length=500)]


class FeedbackRequest(Body):
    """What somebody thought of an answer. answer: its id. better: what it should have said."""

    rating: Literal["up", "down"]
    answer: Name | None = None
    session: Name | None = None
    model: Name | None = None
    comment: Annotated[str, Field(max_length=10_000)] | None = None
    better: Annotated[str, Field(max_length=100_000)] | None = None


@router.post("/v1/feedback", responses=errors(408), response_model=None)
async def give(asked: FeedbackRequest, door: AtTheDoor, desk: AtTheDesk, caller: Chatter) -> Response:
    """Keep what somebody thought of an answer. When this answers, it is on disk."""
    line = {
        "id": f"feedback_{secrets.token_hex(12)}", "created_at": time.time(), "owner": owner_of(caller),
        "user": caller.user, **asked.model_dump(exclude_none=True),
    }  # fmt: skip
    await door.errands.run(lambda: desk.feedback.add(line))
    return answer({"object": "feedback", **{name: value for name, value in line.items() if name != "owner"}})


@router.get("/v1/feedback", responses=errors(), response_model=None)
async def listed(
    door: AtTheDoor, desk: AtTheDesk, caller: Chatter, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """The newest that this key has given, the newest last."""
    found = await door.errands.run(lambda: desk.feedback.of(owner_of(caller), limit))
    told = [{name: value for name, value in line.items() if name != "owner"} for line in found]
    return answer({"object": "list", "data": [{"object": "feedback", **line} for line in told]})
