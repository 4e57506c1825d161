"""A server on this machine that answers as its scripts tell it: as an OpenAI-compatible one, or as one that fails."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from interconnected_ai.experts.remote import RemoteExpert, RemoteServer

Script = Callable[[socket.socket], None]


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Server:
    """Answers its n-th request with the n-th of its scripts, all later ones with the last."""

    scripts: Sequence[Script]
    asked: list[Asked] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connected, _ = listening.accept()
                threading.Thread(target=self._answer, args=(connected,), daemon=True).start()

    def _answer(self, connected: socket.socket) -> None:
        with connected, suppress(OSError):
            number = len(self.asked)
            self.asked.append(_read(connected))
            self.scripts[min(number, len(self.scripts) - 1)](connected)


def _read(connected: socket.socket) -> Asked:
    stream = connected.makefile("rb")
    path = stream.readline().decode().split()[1]
    headers = {}
    while (line := stream.readline().decode().strip()) != "":
        name, value = line.split(": ", 1)
        headers[name.lower()] = value
    return Asked(path, headers, json.loads(stream.read(int(headers["content-length"]))))


@contextmanager
def serving(*scripts: Script, **settings: Any) -> Iterator[tuple[Server, RemoteExpert]]:
    server = Server(scripts)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=server.serve, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        fast = {"backoff_seconds": 0.0, "base_url": url, "model": "tiny"}
        try:
            with RemoteExpert(RemoteServer.from_mapping({**fast, **settings})) as expert:
                yield server, expert
        finally:
            server.is_over.set()
            listening.shutdown(socket.SHUT_RDWR)


def raw(*parts: bytes) -> Script:
    """Send these bytes, a packet each, and close."""

    def script(connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connected.sendall(part)

    return script


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def event(**choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(index=0, delta={"content": text}, finish_reason=None)


END = event(index=0, delta={}, finish_reason="stop") + b"data: [DONE]\n\n"
FIRST = event(index=0, delta={"role": "assistant", "content": ""}, finish_reason=None)


def said(*texts: str, end: bytes = END) -> Script:
    return raw(STREAM, FIRST, *map(delta, texts), end)


def failing(status: str, body: bytes = b'{"error": {"message": "no"}}', *headers: str) -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return raw("\r\n".join(lines).encode() + body)


def hung_up(connected: socket.socket) -> None:
    connected.shutdown(socket.SHUT_RDWR)


def silent_after(*parts: bytes) -> Script:
    """Send these and nothing more, until the other side leaves."""

    def script(connected: socket.socket) -> None:
        raw(*parts)(connected)
        connected.recv(1)

    return script
