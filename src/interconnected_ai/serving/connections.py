"""A connection as uvicorn has it, with bounds on what comes before a request: how many, how slowly, and refusals in words."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from interconnected_ai.serving.faults import RETRY_SECONDS, Fault

_HEAD = b"HTTP/1."
MOST_CONNECTIONS, HEAD_SECONDS = "most_connections", "head_seconds"  # of the config that a server is given


class Connection(H11Protocol):
    """One client's. Settings come as attributes of uvicorn's config, see `server`.

    A head has to be whole `head_seconds` after it began, the first one after the connection was made; one connection more than
    `most_connections` is refused. Used in the event loop's thread alone.
    """

    def __init__(self, config: Any, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self._most: int = getattr(config, MOST_CONNECTIONS)
        self._head_seconds: float = getattr(config, HEAD_SECONDS)
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One client more."""
        super().connection_made(transport)
        self.transport = HeadsWithBodies(transport, self.loop)  # type: ignore[assignment]  # it has all that is asked of one
        if len(self.connections) > self._most:
            self._refuse(Fault(
                503, f"{self._most} connections are open already, which are all that may be; try again later", "full",
                None, {"Retry-After": str(RETRY_SECONDS)},
            ))  # fmt: skip
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head is None:  # a head has begun, and is not whole
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._forget_head()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer is out; the next head has its own time."""
        self._forget_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so, where an answer has not begun."""
        fault = Fault(400, "this is no HTTP/1.1 request that can be read", "invalid_http")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(fault)
        else:
            self.transport.close()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self._head_seconds, self._no_head)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _no_head(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self._refuse(Fault(408, f"no request came within {self._head_seconds:g} s", "slow_head"))

    def _refuse(self, fault: Fault) -> None:
        """Say it as far as the client takes it at once, and hang up."""
        body = json.dumps(fault.envelope()).encode()
        head = [
            f"HTTP/1.1 {fault.status} {fault.code}", "content-type: application/json", f"content-length: {len(body)}",
            "connection: close", *(f"{name.lower()}: {value}" for name, value in fault.headers.items()),
        ]  # fmt: skip
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()


class HeadsWithBodies:
    """A transport that sends the head of an answer together with what follows at once: one packet, which wakes its reader once.

    A head that nothing follows goes out at the event loop's next turn. Used in the loop's thread alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""
        self._sending: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Send, or keep for a moment."""
        if not self._head and data.startswith(_HEAD):
            self._head, self._sending = data, self._loop.call_soon(self._send_head)
            return
        if self._head:
            data = self._head + data
            self._forget_head()
        self._transport.write(data)

    def close(self) -> None:
        """Send what is kept, and hang up."""
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        if self._head:
            head = self._head
            self._forget_head()
            self._transport.write(head)

    def _forget_head(self) -> None:
        self._head = b""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
