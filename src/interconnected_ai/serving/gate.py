"""The gate: every request passes it. An id, Host and Origin, a body of bounded size and time, safe headers, the log's line."""

import asyncio
import random
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interconnected_ai.serving.door import HEADERS, HELD, Door
from interconnected_ai.serving.faults import Refusal, fault_of
from interconnected_ai.serving.journal import Entry
from interconnected_ai.serving.waiting import Within

_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_MEGABYTE = 1_000_000
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SAFE = (
    (b"content-security-policy", CONTENT_POLICY.encode("latin-1")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_ID = b"x-request-id"
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
_UNWANTED = (413, 415)  # statuses of bodies that are not read
_LINGER_BYTES, _LINGER_SECONDS = (
    16_000_000,
    2.0,
)  # of such a body, so that a client that still sends comes to its answer
_ELSEWHERE = "(other)"  # the route of what the server does not have


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app, self._door, self._config, self._counters = app, door, door.config, door.counters
        config = door.config
        own = {*_OWN_NAMES, *([] if config.host in ("0.0.0.0", "::") else [_bracketed(config.host)])}
        self._hosts = {host.lower() for host in (*own, *config.hosts)}
        # A page elsewhere cannot know a key; where one is needed the name that the server goes by is its owner's affair.
        self._checks_host = "*" not in config.hosts and (config.is_loopback or bool(config.hosts))
        self._ids = random.Random()  # nobody is kept out by an id; the system's randomness would be a call of it each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection of ASGI: requests pass, what is no request goes on as it is."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entry = Entry(f"req_{self._ids.getrandbits(128):032x}", scope["method"])
        scope.setdefault("state", {})["entry"] = entry
        scope = _as_meant(scope)
        began = time.perf_counter()
        answering = _Answering(send, receive, entry, scope["state"], self._config.stall_seconds)
        self._counters.open.inc()
        try:
            await self._answered(scope, receive, answering)
        finally:
            self._counters.open.dec()
            if (held := scope["state"].get(HELD)) is not None:
                self._door.quotas.leave(held)
            route = scope.get("route")
            entry.route = getattr(route, "path", _ELSEWHERE)
            entry.seconds = time.perf_counter() - began
            self._counters.answered(entry.route, entry.method, entry.status, entry.seconds)
            if entry.ended in ("left", "stalled"):
                self._counters.left()
            entry.write()

    async def _answered(self, scope: Scope, receive: Receive, answering: "_Answering") -> None:
        try:
            headers = Headers(scope=scope)
            answering.is_unasked = headers.get("expect", "").strip().lower() == "100-continue"
            self._refuse_foreign(headers, scope)
            _refuse_packed(headers)
            if scope["method"] not in _WITHOUT_BODY and scope["path"] not in self._door.open_paths:
                self._door.key_of(headers)  # before a stranger's body is read
            limit = self._limit_of(headers)
            await self._app(scope, _Body(answering.asking, headers, limit, self._config.body_seconds), answering)
        except Exception as error:
            fault = fault_of(error)
            if fault.status == 500 and self._is_ours(error):
                answering.entry.blame(error, is_foreseen=False)
            if answering.has_begun:
                if self._is_ours(error):
                    raise
                return
            await fault.response(self._door.envelope_of(scope["path"]))(scope, receive, answering)

    @staticmethod
    def _is_ours(error: Exception) -> bool:
        """Whether it is a fault of the server, not of a connection that is gone."""
        return not isinstance(error, ConnectionError)

    def _limit_of(self, headers: Headers) -> int:
        is_upload = headers.get("content-type", "").startswith("multipart/form-data")
        return int((self._config.max_upload_mb if is_upload else self._config.max_body_mb) * _MEGABYTE)

    def _refuse_foreign(self, headers: Headers, scope: Scope) -> None:
        """A page elsewhere can make a browser send requests here: by a name of its own (DNS rebinding), or from its site."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise Refusal(400, "a request has one Host header, a name and perhaps a port", code="invalid_host")
        if self._checks_host and match.group(1).lower() not in self._hosts:
            raise Refusal(
                403, f"this server is not called {match.group(1)[:100]!r}; name it in the setting `hosts`",
                code="unknown_host",
            )  # fmt: skip
        origins = headers.getlist("origin")
        if not origins:
            return
        own = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        if len(origins) != 1 or origins[0].lower() not in own | {origin.lower() for origin in self._config.origins}:
            raise Refusal(
                403, "requests from pages of other sites are refused; name the site in the setting `origins`",
                code="foreign_origin",
            )  # fmt: skip


async def _passed_over(receive: Receive) -> None:
    """Let a body come that nobody wants, a while: a connection that is closed before loses its answer."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


def _as_meant(scope: Scope) -> Scope:
    """The request without the slashes that addresses gain when they are put together, and HEAD as GET, whose body is not sent.

    A copy: the server looks at its own for whether a body is sent.
    """
    path = "/" + "/".join(part for part in scope["path"].split("/") if part)
    return {**scope, "path": path, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}


def _refuse_packed(headers: Headers) -> None:
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise Refusal(
            415, f"a body in the Content-Encoding {packed[:40]!r} is not read here; send it as it is",
            code="unsupported_encoding",
        )  # fmt: skip


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Answering:
    """`send` with the headers that every answer has, and an end for clients that take nothing."""

    def __init__(
        self, send: Send, receive: Receive, entry: Entry, state: Mapping[str, Any], stall_seconds: float
    ) -> None:
        self._receive = receive
        self._send, self.entry, self._state, self._stall_seconds = send, entry, state, stall_seconds
        self.has_begun = False
        self.is_unasked = False  # a client that waits to be told to send its body, and has not been

    async def asking(self) -> Message:
        """`receive`: the server tells a client that waits to go on."""
        self.is_unasked = False
        return await self._receive()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            self.entry.status = message["status"]
            if message["status"] in _UNWANTED and not self.is_unasked:
                await _passed_over(self._receive)
            message["headers"] = self._with_ours(message.get("headers", ()))
            if self.is_unasked:  # it may send the body now or never, so that nobody knows where its next request begins
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        try:
            await Within(self._stall_seconds, self._send(message))
        except TimeoutError:
            self.entry.ended = "stalled"
            raise ConnectionResetError(f"the client took nothing for {self._stall_seconds:g} s") from None

    def _with_ours(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers of an answer, its id, and those of ours that it does not have of its own."""
        found = [header for header in headers if header[0] != _ID]
        own = {name for name, _ in found}
        more = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in self._state.get(HEADERS, {}).items()
        ]
        found += [header for header in (*_SAFE, *more) if header[0] not in own]
        return [*found, (_ID, self.entry.id.encode("latin-1"))]


class _Body:
    """`receive` that counts: a body over the limit, or that does not come to its end in time, is refused where it is read."""

    def __init__(self, receive: Receive, headers: Headers, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._left = limit
        self._until = time.monotonic() + seconds
        self._is_whole = False
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            message = await Within(max(0.0, self._until - time.monotonic()), self._receive())
        except TimeoutError:
            raise Refusal(
                408,
                f"the body did not come within {self._seconds:g} s",
                code="slow_body",
                headers={"Connection": "close"},
            ) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._too_large()
            self._is_whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> Refusal:
        return Refusal(
            413, f"the body has more than {self._limit / _MEGABYTE:g} MB; send less at once, or raise the server's limit",
            code="too_large", headers={"Connection": "close"},
        )  # fmt: skip
