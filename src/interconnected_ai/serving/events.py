"""Server-sent events, and answers whose client may leave: what is made for nobody is cancelled."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from interconnected_ai.serving.door import Door, entry_of
from interconnected_ai.serving.faults import Fault, fault_of
from interconnected_ai.serving.journal import Entry
from interconnected_ai.serving.lanes import Reading

T = TypeVar("T")
# A comment without an empty line behind it: some readers take that line for the end of an event, which then has no data.
PING = b": ping\n"
# Python's splitlines, and what is made with it, ends lines at these, which JSON does not escape by itself.
_LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
TEXT = "\0"  # the place of a template's text; no name or id holds it
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def event(data: Mapping[str, Any] | str, *, name: str | None = None) -> bytes:
    """One event: JSON on one line, without an id, which some clients take for a reason to fail at comments."""
    line = data.encode() if isinstance(data, str) else as_json(data)
    return (b"" if name is None else b"event: " + name.encode() + b"\n") + b"data: " + line + b"\n\n"


def as_json(data: Mapping[str, Any] | str) -> bytes:
    """JSON on one line, for readers too who take every line end of Unicode for one.

    A lone surrogate cannot be sent, and no reader could do anything with it.
    """
    text = _JSON.encode(data)
    return (text if text.isascii() else text.translate(_LINE_ENDS)).encode("utf-8", "replace")


class Template:
    """Events that differ in one text alone; all else of them is made JSON once.

    data: of an event, with `TEXT` in the text's place.
    """

    def __init__(self, data: Mapping[str, Any], *, name: str | None = None) -> None:
        self._before, place, self._behind = event(data, name=name).partition(as_json(TEXT))
        assert place, "a template has a place for its text"

    def event(self, text: str) -> bytes:
        """The event with this text."""
        return self._before + as_json(text) + self._behind


async def streamed(
    request: Request,
    door: Door,
    reading: Reading[Any, Any],
    events: AsyncIterator[bytes],
    *,
    last: bytes = b"",
    told: Callable[[Fault], bytes] | None = None,
) -> Response:
    """The events of an answer, with comments in between where it is silent.

    The answer's first piece is waited for, so that what goes wrong before it has a status of its own; after `ping_seconds` the
    answer begins without it. What goes wrong later is an event of its own, after which `last` ends the stream; `told` makes
    that event where the dialect is not OpenAI's.
    """
    await left_or(request, door, reading, reading.wait(door.config.ping_seconds))
    reading.require_begun()
    entry = entry_of(request)

    async def sound() -> AsyncGenerator[bytes, None]:
        try:
            async for part in events:
                yield part
        except Exception as error:  # noqa: BLE001 - the status is sent; an event is all that is left
            fault = fault_of(error)
            entry.ended = "broken"
            entry.blame(error, is_foreseen=fault.status != 500)
            yield (event(fault.envelope()) if told is None else told(fault)) + last

    return _EventStream(entry, reading, sound(), door.config.ping_seconds)


class _EventStream(Response):
    """Sends events as they come, in one piece those that are there together, until they end or the client leaves.

    A token of an answer costs one turn of the event loop and one write: no task is made for it, and no timer.
    """

    media_type = "text/event-stream"

    def __init__(
        self, entry: Entry, reading: Reading[Any, Any], events: AsyncGenerator[bytes, None], ping_seconds: float
    ) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(_HEADERS)
        self._entry, self._reading, self._events, self._ping_seconds = entry, reading, events, ping_seconds
        self._loop = asyncio.get_running_loop()
        self._is_sending, self._spoke = True, self._loop.time()  # until the head is out nothing else may be sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        streaming, leaving = asyncio.ensure_future(self._stream(send)), asyncio.ensure_future(left(receive))
        try:
            await self._ping_until({streaming, leaving}, send)
            if not streaming.done():
                self._entry.ended = "left"
        except asyncio.CancelledError:
            self._entry.ended = "left"
            raise
        finally:
            self._reading.close()
            streaming.cancel()
            leaving.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)
        if not streaming.cancelled():
            streaming.result()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._is_sending = False
        parts: list[bytes] = []
        try:
            async for part in self._events:
                parts.append(part)
                if not self._reading.has_more:
                    await self._say(send, b"".join(parts))
                    parts.clear()
        finally:
            await self._events.aclose()
        self._is_sending = True
        await send({"type": "http.response.body", "body": b"".join(parts), "more_body": False})

    async def _say(self, send: Send, part: bytes) -> None:
        self._is_sending = True
        await send({"type": "http.response.body", "body": part, "more_body": True})
        self._is_sending, self._spoke = False, self._loop.time()

    async def _ping_until(self, over: "set[asyncio.Task[None]]", send: Send) -> None:
        """Comments wherever nothing was said for a while, until one of these is over."""
        while True:
            wait = max(0.0, self._spoke + self._ping_seconds - self._loop.time())
            done, _ = await asyncio.wait(over, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if self._is_sending:  # it is the client that is waited for
                self._spoke = self._loop.time()
            elif self._loop.time() >= self._spoke + self._ping_seconds:
                await self._say(send, PING)


async def whole(request: Request, door: Door, reading: Reading[Any, T]) -> list[T]:
    """The results of an answer that is sent in one piece; cancelled when the client leaves."""
    async with reading:
        return await left_or(request, door, reading, reading.read())


class Closing(Protocol):
    """What can be ended early."""

    def close(self) -> None:
        """End it."""


async def left_or(request: Request, door: Door, reading: Closing, work: Awaitable[T]) -> T:
    """What `work` gives, unless the client leaves before: then the answer is cancelled, and so is this task."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(left(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            entry_of(request).ended = "left"
            reading.close()
            raise ClientGoneError
        return await working
    finally:
        for task in (working, leaving):
            if not task.done():
                task.cancel()


class ClientGoneError(Exception):
    """Nobody waits for this answer any more."""


async def left(receive: Receive) -> None:
    """Returns when the connection is closed. The body has been read."""
    while (await receive())["type"] != "http.disconnect":
        continue
