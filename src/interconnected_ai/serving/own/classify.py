"""`POST /v1/classify`: what the branches of a system say of texts; texts of many requests go through the trunk together."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field, ValidationError
from starlette.types import Message, Receive, Scope, Send

from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Classifier, classifier, door_of, entry_of, errors
from interconnected_ai.serving.events import ClientGoneError, left
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.desk import AtTheDesk, desk_of
from interconnected_ai.serving.own.systems import named_system
from interconnected_ai.serving.plain import LEAVING, TELL
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

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._thorough, self.app = self.app, self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.headers.get("content-type") != "application/json":
            await self._thorough(scope, receive, send)
            return
        body = await request.body()
        try:
            asked = ClassifyRequest.model_validate_json(body)
        except ValidationError:
            await self._thorough(scope, _once_more(body, receive), send)
            return
        caller = await classifier(request)
        response = await classify(asked, request, door_of(request), desk_of(request), caller)
        await response(scope, receive, send)


def _once_more(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body has been read."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return parts.pop() if parts else await receive()

    return received


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
    has_left = False

    def leave() -> None:
        nonlocal has_left
        if not coming.done():
            has_left = True
            coming.cancel()

    with _when_left(request, leave):
        try:
            return await coming
        except asyncio.CancelledError:
            if not has_left:
                raise  # it is this task that is cancelled
            entry_of(request).ended = "left"
            raise ClientGoneError from None


@contextmanager
def _when_left(request: Request, do: Callable[[], None]) -> Iterator[None]:
    """Have something done when the client leaves during the block."""
    extension = request.scope.get("extensions", {}).get(LEAVING)
    if extension is not None:  # without a task that waits for it
        tell = extension[TELL]
        tell(do)
        try:
            yield
        finally:
            tell(None)
        return
    leaving = asyncio.ensure_future(left(request.receive))
    leaving.add_done_callback(lambda leaving: None if leaving.cancelled() else do())
    try:
        yield
    finally:
        leaving.cancel()


def _written(system: str, answers: Sequence[bytes]) -> bytes:
    """answers: each text's, as `AnswerWriter` makes them."""
    head = b'{"object":"list","system":' + json.dumps(system, ensure_ascii=False).encode() + b',"data":['
    data = [b'{"object":"classification","index":%d,"branches":%b}' % each for each in enumerate(answers)]
    return head + b",".join(data) + b"]}"
