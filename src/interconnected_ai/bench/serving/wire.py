"""HTTP/1.1 as a client of a measurement needs it: requests that are bytes already, many connections in one thread."""

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_PIECE = 1 << 16
_LOOK_SECONDS = 0.05
_END = b"\r\n0\r\n\r\n"  # of a body in chunks


@dataclass(frozen=True)
class Answer:
    """What came back. head: status and headers, in lower case. body: as it came, in chunks where the server sent chunks.
    seconds: from the request to the last byte.

    status: 0 where the server hung up instead.
    """

    status: int
    body: bytes
    seconds: float
    head: bytes = b""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a stream, without its end."""
        body = _joined(self.body) if b"transfer-encoding: chunked" in self.head else self.body
        lines = (line.strip() for line in body.split(b"\n"))
        return [json.loads(line[5:]) for line in lines if line.startswith(b"data:") and line.endswith(b"}")]

    @property
    def content(self) -> Any:
        """The JSON that it is."""
        return json.loads(self.body)


def _joined(chunks: bytes) -> bytes:
    """A body that came in chunks, without their lengths."""
    parts = []
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        number = int(size.split(b";")[0], 16)
        parts.append(chunks[:number])
        chunks = chunks[number + 2 :]
    return b"".join(parts)


def request(path: str, body: Any = None, *, key: str | None = None, method: str | None = None) -> bytes:
    """A request with this JSON, a POST where `method` says nothing else; without any it is a GET."""
    sent = b"" if body is None else json.dumps(body).encode()
    head = [f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1", "host: localhost"]
    if body is not None:
        head += ["content-type: application/json", f"content-length: {len(sent)}"]
    if key is not None:
        head.append(f"authorization: Bearer {key}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + sent


class Line:
    """A connection that is kept: one request after another. Used by one thread.

    It shares the cores with the server that is measured, so what comes is kept as it is: the head is read once, and of a body
    nothing but its end is looked at.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen, self._began = bytearray(), 0.0
        self._head: bytes | None = None
        self._begins = 0  # where the body does
        self._size: int | None = None  # of head and body; None where the body comes in chunks

    def send(self, asked: bytes) -> None:
        """Begin a request."""
        self._seen.clear()
        self._head = None
        self._began = time.perf_counter()
        self.socket.sendall(asked)

    def more(self) -> Answer | None:
        """Read what has come: the answer once it is whole. Raises `ConnectionError` where the server hung up."""
        piece = self.socket.recv(_PIECE)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self._seen += piece
        if self._head is None and not self._read_head():
            return None
        # From before the body on: one without a chunk ends its head as others their last chunk.
        is_last = self._seen.endswith(_END, self._begins - 2)
        return self._answer() if (is_last if self._size is None else len(self._seen) >= self._size) else None

    def ask(self, asked: bytes) -> Answer:
        """The answer to a request."""
        self.send(asked)
        while (answer := self.more()) is None:
            continue
        return answer

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _read_head(self) -> bool:
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._head = bytes(self._seen[:end]).lower()
        self._begins = end + 4
        self._size = None
        if b"transfer-encoding: chunked" not in head:
            self._size = self._begins + int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        return True

    def _answer(self) -> Answer:
        assert self._head is not None, "a whole answer has its head"
        took = time.perf_counter() - self._began
        return Answer(int(self._head[9:12]), bytes(self._seen[self._begins :]), took, self._head)


@contextmanager
def connected(address: str) -> Iterator[Line]:
    """A connection, for as long as the block lasts."""
    line = Line(address)
    try:
        yield line
    finally:
        line.close()


def ask(address: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
    """One request on a connection of its own."""
    with connected(address) as line:
        return line.ask(request(path, body, key=key))


def ask_all(address: str, requests: Sequence[bytes], at_once: int) -> list[Answer]:
    """The answers to all of them, as they came, so many at once."""
    found: list[Answer] = []
    coming = iter(requests)
    with _Lines(address) as lines:
        while len(found) < len(requests):
            while lines.num_busy < at_once and (asked := next(coming, None)) is not None:
                lines.take().send(asked)
            found += lines.came()
    return found


def ask_for(address: str, requests: Iterable[bytes], at_once: int, seconds: float) -> list[Answer]:
    """What was answered within a time, so many at once without a pause."""
    found: list[Answer] = []
    coming, until = iter(requests), time.perf_counter() + seconds
    with _Lines(address) as lines:
        while time.perf_counter() < until:
            while lines.num_busy < at_once:
                lines.take().send(next(coming))
            found += lines.came()
    return found


def ask_at_rate(
    address: str, requests: Iterable[bytes], per_second: float, seconds: float, each: Callable[[], object]
) -> list[Answer]:
    """The answers to requests that come at a rate, whether earlier ones are answered or not; all of them are waited for.

    each: called about ten times a second.
    """
    found: list[Answer] = []
    coming, began = iter(requests), time.perf_counter()
    sent, total, looked = 0, round(per_second * seconds), began
    with _Lines(address) as lines:
        while sent < total or lines.num_busy:
            now = time.perf_counter()
            while sent < total and sent / per_second <= now - began:
                lines.take().send(next(coming))
                sent += 1
            if now - looked >= 0.1:
                each()
                looked = now
            wait = _LOOK_SECONDS if sent == total else max(0.0, began + sent / per_second - now)
            found += lines.came(min(_LOOK_SECONDS, wait))
    return found


class _Lines:
    """Connections that are busy, and those that wait for their next request."""

    def __init__(self, address: str) -> None:
        self._address, self._selector = address, selectors.DefaultSelector()
        self._free: list[Line] = []
        self._busy: set[Line] = set()

    @property
    def num_busy(self) -> int:
        """Requests that have no answer yet."""
        return len(self._busy)

    def take(self) -> Line:
        """A connection for one more request."""
        if self._free:
            line = self._free.pop()
        else:
            line = Line(self._address)
            self._selector.register(line.socket, selectors.EVENT_READ, line)
        self._busy.add(line)
        return line

    def came(self, seconds: float = _LOOK_SECONDS) -> list[Answer]:
        """The answers that became whole; waits at most so long. Their connections may be taken again."""
        return [answer for key, _ in self._selector.select(seconds) if (answer := self._read(key.data)) is not None]

    def _read(self, line: Line) -> Answer | None:
        try:
            answer = line.more()
        except ConnectionError:
            self._selector.unregister(line.socket)
            line.close()
            if line not in self._busy:  # a connection that was kept, and is not wanted any more
                self._free.remove(line)
                return None
            self._busy.remove(line)
            return Answer(0, b"", 0.0)
        if answer is not None:
            self._busy.remove(line)
            self._free.append(line)
        return answer

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *raised: object) -> None:
        for line in (*self._free, *self._busy):
            line.close()
        self._selector.close()
