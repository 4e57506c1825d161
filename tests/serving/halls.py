"""Servers on loopback over tiny experts, and an expert whose every piece waits for the test."""

import http.client
import json
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.council.tiny_councils import WORDS, config_of, council_of

from interconnected_ai.config import GenerationConfig, ServingConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts import ChatAnswer, Chatting, ExpertCard, ExpertPool, TextExpert
from interconnected_ai.serving import Hall, ServerThread
from interconnected_ai.types import ChatMessage, Generation, Stream

__all__ = ["WORDS", "config_of", "council_of"]
JSON = {"content-type": "application/json"}


class Waiting(TextExpert, Chatting):
    """Says "one ", "two ", … as often as it is let; `breaks_at` says before which piece it fails."""

    num_bytes = 1

    def __init__(
        self, num_pieces: int = 3, *, breaks_at: int | None = None, width: int = 0, error: Exception | None = None
    ) -> None:
        self.card = ExpertCard(name="waiting")
        self.goes = threading.Semaphore(0)
        self.began, self.ended = threading.Event(), threading.Event()
        self.num_asked = 0
        self._num_pieces, self._breaks_at, self._width = num_pieces, breaks_at, width
        self._error = error or EngineError("the weights are gone")

    def stream_chat(self, messages: Sequence[ChatMessage], config: Any = None, **more: Any) -> Stream[str, ChatAnswer]:
        return Stream(self._pieces())

    def _pieces(self) -> Generator[str | None, None, ChatAnswer]:
        self.num_asked += 1
        self.began.set()
        said = ""
        try:
            for number in range(self._num_pieces):
                while not self.goes.acquire(timeout=0.01):
                    yield None
                if number == self._breaks_at:
                    raise self._error
                piece = f"{number} ".rjust(self._width, "x")
                said += piece
                yield piece
        finally:
            self.ended.set()
        tokens = tuple(range(self._num_pieces))
        return ChatAnswer(ChatMessage("assistant", said), Generation(tokens, "eos", said), 1)

    def forget(self, session: Any) -> None: ...
    def close(self) -> None: ...
    def _require_open(self) -> None: ...
    def _generate(self, prompts: Sequence[str], config: GenerationConfig, seed: int | None) -> list[Generation]:
        raise EngineError("it only talks")

    def _stream(self, prompt: str, config: GenerationConfig, seed: int | None) -> Stream[str, Generation]:
        raise EngineError("it only talks")


@contextmanager
def waiting_server(expert: Waiting, **settings: Any) -> Iterator[str]:
    """The address of a server whose one model is `waiting`."""
    with ExpertPool(10) as pool:
        pool.add("waiting", lambda: expert, num_bytes=1)
        with ServerThread(Hall(experts=pool), ServingConfig(**{"port": 0, "drain_seconds": 1.0, **settings})) as server:
            yield server.url


@contextmanager
def council_server(home: Path, council: dict[str, Any] | None = None, **settings: Any) -> Iterator[str]:
    """The address of a server of the council of three tiny experts."""
    with (
        council_of(home, **(council or {})) as opened,
        ServerThread(Hall(council=opened), ServingConfig(**{"port": 0, "drain_seconds": 1.0, **settings})) as server,
    ):
        yield server.url


def call(
    url: str, path: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """Status, headers (lower case) and JSON of a request that no client library has touched."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    try:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        asked = method or ("GET" if body is None else "POST")
        connection.request(asked, path, sent, {**(JSON if body is not None else {}), **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return (
            answer.status,
            told,
            json.loads(text) if told.get("content-type", "").startswith("application/json") else text,
        )
    finally:
        connection.close()


def asked(text: str = "a traceback", **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "code", "messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0, **more}
