"""`POST /v1/route`: who of the council would answer, and why; nobody is asked."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Chatter, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.schemas import Body
from interconnected_ai.types import Route, clauses_of

router = APIRouter(tags=["council"])


class RouteRequest(Body):
    """What would be asked. role: as a role token. session: routers may keep to who answered there."""

    input: str
    session: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    role: Annotated[str, Field(min_length=1, max_length=100)] | None = None


@router.post("/v1/route", responses=errors(408), response_model=None)
async def route(asked: RouteRequest, door: AtTheDoor, caller: Chatter) -> Response:
    """The council's decision, with what every router said on the way."""
    council = door.hall.council
    if council is None:
        raise Refusal(404, "this server has no council; start it with one: iai serve council.yaml", code="not_found")
    if not asked.input.strip():
        raise Refusal(400, "input: it is empty", code="invalid_value", param="input")
    refuse_long([asked.input], door.config.max_prompt_tokens, param="input")
    found = await door.errands.run(
        lambda: council.route(asked.input, session=asked.session, user=caller.user, role=asked.role)
    )
    return answer({"object": "route", **_told(found)})


def _told(found: Route) -> dict[str, Any]:
    return {
        "expert": found.expert,
        "reason": found.reason,
        "reason_clauses": [{"code": each.code, "values": dict(each.values)} for each in clauses_of(found.reason)],
        "router": found.router,
        "experts": [{"expert": each.expert, "score": each.score} for each in found.experts],
        "abstains": found.abstains,
        "is_fallback": found.is_fallback,
        "barred": sorted(found.barred),
        "considered": [_told(each) for each in found.considered],
    }
