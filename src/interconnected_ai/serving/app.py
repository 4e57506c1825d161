"""`create_app`: the whole server as one ASGI application. Each dialect is a router of its own, none knows the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from interconnected_ai import __version__
from interconnected_ai.config import ServingConfig
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.serving import anthropic, health, openai, own, page
from interconnected_ai.serving.counters import Counters
from interconnected_ai.serving.door import Door, door_of, entry_of
from interconnected_ai.serving.events import ClientGoneError
from interconnected_ai.serving.faults import fault_of, wrong_kind
from interconnected_ai.serving.gate import Gate
from interconnected_ai.serving.hall import Hall
from interconnected_ai.serving.keys import KeyFile
from interconnected_ai.serving.lanes import Lane
from interconnected_ai.serving.trimming import Trimming

_ERRANDS = 4  # threads for what is short: looking up, classifying, remembering
_AFTERWARDS_SECONDS = 5.0  # for what was cancelled to come to its next token
_TITLE = "interconnected_ai"


def create_app(hall: Hall, config: ServingConfig | None = None) -> FastAPI:
    """The application that serves a hall, which stays its owner's.

    Raises `ConfigError` for an address that others reach while there is no API key.
    """
    config = config or ServingConfig()
    keys = None if config.keys is None else KeyFile(config.keys)
    _require_keys(config, keys)
    answers = Lane(
        "answers", max_at_once=config.max_at_once, max_waiting=config.max_waiting, max_seconds=config.max_seconds
    )
    errands = Lane("errands", max_at_once=_ERRANDS, max_waiting=config.max_waiting * 4, max_seconds=config.max_seconds)
    memories = Lane(
        "memories", max_at_once=_ERRANDS, max_waiting=config.max_waiting * 4, max_seconds=config.max_seconds
    )
    counters = Counters(hall, (answers, errands, memories))
    door = Door(hall, config, keys, answers, errands, memories, counters)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            app.state.desk = desk = own.Desk(door)
            app.state.responses = responses = _response_store(config)
        except Exception as error:
            app.state.unable = error  # uvicorn keeps it to itself
            raise
        try:
            with Trimming():
                yield
        finally:
            door.is_ending = True
            await asyncio.to_thread(desk.close)
        for lane in door.lanes:
            await lane.drain(min(config.drain_seconds, _AFTERWARDS_SECONDS))
        responses.close()

    app = FastAPI(
        title=_TITLE, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.door, app.state.page = door, page.Page()
    door.envelopes[anthropic.BEGINNING] = anthropic.envelope
    # In one list: an included router stays a router, and matches each request several times.
    for router in (own.router, openai.router, anthropic.router, health.router, page.router):
        app.router.routes += router.routes
    for kind in (HTTPException, RequestValidationError, InterconnectedAIError):
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(ClientGoneError, _gone)
    app.add_middleware(Gate, door=door)
    return app


def _response_store(config: ServingConfig) -> openai.ResponseStore:
    place = None if config.state is None else Path(config.state).expanduser() / "responses.db"
    return openai.ResponseStore(
        place, max_count=config.kept_responses, max_bytes=int(config.kept_responses_mb * 1_000_000)
    )


async def _told(request: Request, error: Exception) -> Response:
    fault = fault_of(error)
    if isinstance(error, RequestValidationError) and not _is_json(request) and fault.param is None:
        fault = wrong_kind(request.headers.get("content-type"))
    if fault.status == 503 and isinstance(error, InterconnectedAIError):  # the log alone says where
        entry_of(request).blame(error, is_foreseen=True)
    return fault.response(door_of(request).envelope_of(request.url.path))


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.method == "GET" or kind == "application/json" or kind.endswith("+json")


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads it; the status is nginx's for that, and stands in the log alone."""
    return Response(status_code=499)


def _require_keys(config: ServingConfig, keys: KeyFile | None) -> None:
    if config.is_loopback or (keys is not None and keys.in_force):
        return
    where = "iai-keys.json" if config.keys is None else config.keys  # the first is where iai serve looks
    raise ConfigError(
        f"host={config.host!r} can be reached from elsewhere, and there is no API key; make one with: "
        f"iai key add NAME --keys {where}, or serve 127.0.0.1"
    )
