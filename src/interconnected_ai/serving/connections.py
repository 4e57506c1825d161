"""A connection as uvicorn has it, with bounds on what comes before a request: how many, how slowly, and refusals in words."""

import asyncio
import json
from typing import Any
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import H11Protocol

from interconnected_ai.serving.faults import RETRY_SECONDS, Fault
from interconnected_ai.serving.plain import PlainAnswer, PlainHead, plain_head

_HEAD = b"HTTP/1."
MOST_CONNECTIONS, HEAD_SECONDS = "most_connections", "head_seconds"  # of the config that a server is given


class Connection(H11Protocol):
    """One client's. Settings come as attributes of uvicorn's config, see `server`.

    A head has to be whole `head_seconds` after it began, the first one after the connection was made; one connection more than
    `most_connections` is refused. A plain request (see `plain_head`) that comes when nothing else is there goes past h11; all
    else is h11's, what comes behind a plain request before its answer is out included. Used in the event loop's thread alone.
    """

    def __init__(self, config: Any, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self._most: int = getattr(config, MOST_CONNECTIONS)
        self._head_seconds: float = getattr(config, HEAD_SECONDS)
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes: int = config.h11_max_incomplete_event_size
        self._plain: PlainAnswer | None = None  # whose request has not come whole, or whose answer is not out
        self._behind = bytearray()  # what came behind it
        self._has_odd = False  # whether h11 holds anything

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
        if self._plain is not None:
            self._go_on(self._plain, data)
            return
        head = None if self._is_h11s() else plain_head(data, self._head_bytes)
        if head is None or len(data) > head.num_bytes + head.length:
            self._leave_to_h11(data)
        else:
            self._begin(head, data)

    def _begin(self, head: PlainHead, data: bytes) -> None:
        """Have a plain request answered. data: its head, and its body as far as that has come."""
        self._unset_keepalive_if_required()
        self._forget_head()
        raw_path, _, query = head.target.partition(b"?")
        self.headers = head.headers
        self.scope = {
            "type": "http", "asgi": {"version": self.asgi_version, "spec_version": "2.3"}, "http_version": "1.1",
            "server": self.server, "client": self.client, "scheme": self.scheme or "http", "method": head.method,
            "root_path": self.root_path, "path": self.root_path + unquote(raw_path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + raw_path, "query_string": query, "headers": self.headers,
            "state": self.app_state.copy(),
        }  # fmt: skip
        self.cycle = self._plain = PlainAnswer(
            head, self.on_response_complete, scope=self.scope, conn=self.conn, transport=self.transport, flow=self.flow,
            logger=self.logger, access_logger=self.access_logger, access_log=False,
            default_headers=self.server_state.default_headers,
        )  # fmt: skip
        self._take_body(self._plain, data[head.num_bytes :])
        task = self.loop.create_task(self._plain.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _go_on(self, plain: PlainAnswer, data: bytes) -> None:
        """More of its body, and what came behind it, which waits for its answer."""
        here = plain.num_coming
        if here:
            self._take_body(plain, data[:here])
        if len(data) > here:
            self._behind += data[here:]
            self.flow.pause_reading()
        if plain.response_complete:
            self._end_plain(plain)

    def _take_body(self, plain: PlainAnswer, data: bytes) -> None:
        plain.take(data)
        if len(plain.body) > HIGH_WATER_LIMIT and not plain.response_complete:
            self.flow.pause_reading()

    def _end_plain(self, plain: PlainAnswer) -> None:
        """Its answer is out: once its body has come too, the next request may begin."""
        if plain.num_coming or self.transport.is_closing():
            return
        self._plain = None
        self.flow.resume_reading()
        if self._behind:
            behind = bytes(self._behind)
            self._behind.clear()
            self._leave_to_h11(behind)

    def _is_h11s(self) -> bool:
        """Whether h11 is at a request, or has the beginning of one."""
        if self._has_odd:
            states = {self.conn.our_state, self.conn.their_state}
            self._has_odd = states != {h11.IDLE} or bool(self.conn.trailing_data[0])
        return self._has_odd

    def _leave_to_h11(self, data: bytes) -> None:
        self._has_odd = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head is None:  # a head has begun, and is not whole
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._forget_head()
        super().connection_lost(exc)
        if self._plain is not None and self._plain.disconnected:
            self._plain.leave()

    def on_response_complete(self) -> None:
        """An answer is out; the next head has its own time."""
        self._forget_head()
        super().on_response_complete()
        if self._plain is not None:
            self._end_plain(self._plain)

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
