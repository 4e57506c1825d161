"""`POST /v1/classify`: what the branches of a system say of texts; texts of many requests go through the trunk together."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field, ValidationError

from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Classifier, classifier, door_of, entry_of, errors
from interconnected_ai.serving.events import ClientGoneError, left
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.desk import AtTheDesk, desk_of
from interconnected_ai.serving.own.systems import named_system
from interconnected_ai.serving.schemas import Body

_MOST_TEXTS, _MOST_BRANCHES = 2048, 10_000
_FEW_BYTES = 1_000_000  # that are put together where they are, in less time than a thread would take to be reached


class ClassifyRequest(Body):
    """Texts, and which branches are asked: all of them where none is named. top: labels told of each branch, best first."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=_MOST_TEXTS)]
    branches: Annotated[list[str], Field(min_length=1, max_length=_MOST_BRANCHES)] | None = None
    system: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    top: Annotated[int, Field(ge=1, le=1000)] | None = None


class _PlainRoute(APIRoute):
    """Answers requests that are as they should be at once; of all others FastAPI's own way tells what is wrong with them.

    That way costs several times what is asked for here: each dependency and each field is a step of its own.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """How a request is answered."""
        thorough = super().get_route_handler()

        async def answered(request: Request) -> Response:
            if request.headers.get("content-type") == "application/json":
                body = await request.body()  # kept: it can be read again
                try:
                    asked = ClassifyRequest.model_validate_json(body)
                except ValidationError:
                    return await thorough(request)
                caller = await classifier(request)
                return await classify(asked, request, door_of(request), desk_of(request), caller)
            return await thorough(request)

        return answered


router = APIRouter(tags=["branches"], route_class=_PlainRoute)


@router.post("/v1/classify", responses=errors(408), response_model=None)
async def classify(
    asked: ClassifyRequest, request: Request, door: AtTheDoor, desk: AtTheDesk, caller: Classifier
) -> Response:
    """For each text every branch's label, how sure it is, and whether the text is none of its business."""
    name, _ = named_system(door, asked.system)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if empty := [number for number, text in enumerate(texts) if not text.strip()]:
        raise Refusal(400, f"input.{empty[0]}: it is empty", code="invalid_value", param="input")
    refuse_long(texts, door.config.max_prompt_tokens, param="input")
    waiting = desk.predictor(name).submit(texts, branches=asked.branches, top_n=asked.top or 3)
    found = await _unless_left(request, desk.returning.of(waiting))
    write = partial(_written, name, found)
    body = write() if sum(map(len, found)) <= _FEW_BYTES else await door.errands.run(write)
    return Response(body, media_type="application/json")


async def _unless_left(request: Request, coming: "asyncio.Future[list[bytes]]") -> list[bytes]:
    """What comes, unless the client leaves before: then it is taken back."""
    leaving = asyncio.ensure_future(left(request.receive))
    leaving.add_done_callback(lambda _: coming.cancel())
    try:
        return await coming
    except asyncio.CancelledError:
        if not leaving.done() or leaving.cancelled():
            raise  # it is this task that is cancelled
        entry_of(request).ended = "left"
        raise ClientGoneError from None
    finally:
        leaving.cancel()


def _written(system: str, answers: Sequence[bytes]) -> bytes:
    """answers: each text's, as `AnswerWriter` makes them."""
    head = b'{"object":"list","system":' + json.dumps(system, ensure_ascii=False).encode() + b',"data":['
    data = [b'{"object":"classification","index":%d,"branches":%b}' % each for each in enumerate(answers)]
    return head + b",".join(data) + b"]}"
