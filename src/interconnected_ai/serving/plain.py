"""Requests as almost all clients send them, read by one expression, and their answers; whatever is odd is left to h11."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import RequestResponseCycle

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELD = _TOKEN + rb":" + _VALUE + rb"\r\n"
_HEAD = re.compile(rb"(GET|POST) (/[\x21-\x7e]*) HTTP/1\.1\r\n((?:" + _FIELD + rb")+)\r\n")
_FIELDS = re.compile(rb"(?:" + _FIELD + rb")*")
_ODD = frozenset((b"transfer-encoding", b"expect", b"upgrade"))
_LENGTH_DIGITS = 18
# An extension of ASGI: what it has under TELL calls what it is given when the client leaves.
LEAVING, TELL = "interconnected_ai.leaving", "tell"
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_SPACES = b" \t"
_STATUSES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


@dataclass(frozen=True)
class PlainHead:
    """What stands before a request's body. num_bytes: of the head itself; length: of the body. Names are in small letters."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: int
    num_bytes: int


def plain_head(data: bytes, most_bytes: int) -> PlainHead | None:
    """The head that `data` begins with, where that is whole and plain; else None.

    Plain is a GET or POST of HTTP/1.1 for a path, with one Host, one length at most, and nothing else that decides how the
    connection goes on. Whatever is plain h11 reads as the same, and allows.
    """
    found = _HEAD.match(data, 0, most_bytes)
    if found is None:
        return None
    headers: list[tuple[bytes, bytes]] = []
    hosts, length = 0, None
    for line in found[3].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(_SPACES)
        headers.append((name, value))
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS:
                return None
            length = int(value)
        elif name in _ODD or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
    if hosts != 1:
        return None
    return PlainHead(found[1].decode(), found[2], headers, length or 0, found.end())


class PlainAnswer(RequestResponseCycle):
    """The answer to a plain request. It writes what h11 would, and needs no state of it: the next request begins where it ends.

    num_coming: bytes of the request's body that have not come yet.
    """

    def __init__(self, head: PlainHead, on_response: Callable[[], None], **of_connection: Any) -> None:
        super().__init__(message_event=asyncio.Event(), on_response=on_response, **of_connection)
        self.num_coming = head.length
        self._num_left: int | None = 0  # bytes of the answer's body to come; None: it goes out in chunks
        self._when_left: Callable[[], object] | None = None
        self.scope["extensions"] = {LEAVING: {TELL: self.when_left}}

    def take(self, data: bytes) -> None:
        """Some of the body, as it comes."""
        self.num_coming -= len(data)
        self.more_body = self.num_coming > 0
        if not self.response_complete:
            self.body += data
            self.message_event.set()

    def when_left(self, do: Callable[[], object] | None) -> None:
        """Have this called when the client leaves before its answer is out, now where it has left; None: nothing any more."""
        self._when_left = do
        if self.disconnected:
            self.leave()

    def leave(self) -> None:
        """The connection is lost."""
        do, self._when_left = self._when_left, None
        if do is not None:
            do()

    async def send(self, message: Any) -> None:
        """ASGI's: the head, and then the body, in one piece or several."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete or kind != ("http.response.body" if self.response_started else "http.response.start"):
            raise RuntimeError(f"an answer has a head and then a body, and {kind!r} has no place there")
        if not self.response_started:
            self.response_started = True
            self.transport.write(self._head(message["status"], message.get("headers", ())))
            return
        body, goes_on = message.get("body", b""), message.get("more_body", False)
        self.transport.write(self._framed(body, goes_on))
        if not goes_on:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _head(self, status: int, own: Any) -> bytes:
        headers = [*self.default_headers, *own]
        is_bodiless = status in _WITHOUT_BODY
        self._num_left = 0 if is_bodiless else None
        for name, value in headers:
            low = name.lower()
            if low == b"content-length" and not is_bodiless:
                self._num_left = int(value)
            elif low == b"connection" and b"close" in value.lower():
                self.keep_alive = False
            elif low == b"transfer-encoding":
                raise RuntimeError("how a body is sent is the connection's affair; leave Transfer-Encoding out")
        if not self.keep_alive and not any(name.lower() == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        if self._num_left is None:
            headers.append((b"transfer-encoding", b"chunked"))
        fields = b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
        if _FIELDS.fullmatch(fields) is None or fields.count(b"\n") != len(headers):
            raise RuntimeError("a header of the answer has signs that no header may have")
        return b"%b%b\r\n" % (_STATUSES.get(status) or b"HTTP/1.1 %d \r\n" % status, fields)

    def _framed(self, body: bytes, goes_on: bool) -> bytes:
        if self._num_left is None:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if goes_on else chunk + b"0\r\n\r\n"
        self._num_left -= len(body)
        if self._num_left < 0 or (self._num_left and not goes_on):
            raise RuntimeError("the body of the answer has another length than its head says")
        return body
