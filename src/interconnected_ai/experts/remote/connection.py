"""One HTTP request with a limit on every wait: to be connected, for the first piece of the answer, from piece to piece.

The standard library's client, since a limit between two pieces has to be set on the socket itself.
"""

import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit


class HangingError(TimeoutError):
    """The server did not send what was waited for in time."""


class Deadline:
    """When what is being waited for has to be there."""

    def __init__(self) -> None:
        self._at, self.seconds = float("inf"), float("inf")

    def begin(self, seconds: float) -> None:
        """From here on, so many seconds."""
        self._at, self.seconds = time.monotonic() + seconds, seconds

    def left(self) -> float:
        """Seconds that are left. Raises `HangingError` where there are none."""
        if (left := self._at - time.monotonic()) <= 0:
            raise HangingError
        return left


class _TimedReader(io.RawIOBase):
    """A socket's bytes, as long as the deadline is not passed, in however small pieces they trickle in."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = connected, deadline
        self._raw = connected.makefile("rb", buffering=0)  # keeps the socket open until it is closed itself

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left())
        try:
            return self._raw.readinto(buffer)
        except TimeoutError as error:
            raise HangingError from error

    def close(self) -> None:
        self._raw.close()
        super().close()


@dataclass(frozen=True)
class _Timed:
    """A socket as `http.client` wants it for a response."""

    connected: socket.socket
    deadline: Deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.connected, self.deadline))


class Exchange:
    """A request that was sent and its response, whose body is read with `readline` and `read`. One thread at a time uses it."""

    def __init__(
        self, url: str, headers: Mapping[str, str], content: Mapping[str, Any], *, connect_seconds: float
    ) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        more: dict[str, Any] = {"context": ssl.create_default_context()} if parts.scheme == "https" else {}
        self.deadline = Deadline()
        self._connection = kind(str(parts.hostname), parts.port, timeout=connect_seconds, **more)
        self._connection.response_class = self._timed  # type: ignore[assignment]
        body = json.dumps(content, ensure_ascii=False).encode()
        self._response: http.client.HTTPResponse | None = None
        self._asked = (
            parts.path,
            body,
            {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers},
        )

    def send(self, seconds: float) -> http.client.HTTPResponse:
        """Send it: the response once its headers are there, `seconds` after the connection stands at most."""
        path, body, headers = self._asked
        self._connection.connect()
        self.deadline.begin(seconds)
        self._connection.sock.settimeout(seconds)
        try:
            self._connection.request("POST", path, body, headers)
        except TimeoutError as error:
            raise HangingError from error
        self._response = self._connection.getresponse()
        return self._response

    def close(self) -> None:
        """Let the connection go; a server that still writes sees it end."""
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def _timed(self, connected: socket.socket, *, method: str | None = None, **others: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_Timed(connected, self.deadline), method=method)  # type: ignore[arg-type]


def seconds_to_wait(headers: Message) -> float | None:
    """What Retry-After says (RFC 9110, 10.2.3): seconds, or a date; None where it says nothing that can be understood."""
    said = str(headers.get("Retry-After", "")).strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
