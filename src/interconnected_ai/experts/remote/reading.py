"""What a server answers, piece by piece: a stream of events, or one object from servers that do not stream."""

import codecs
import http.client
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.remote.events import MalformedError, events

_MOST_BODY_BYTES = 16 * 1024 * 1024
_MOST_SAID = 300  # letters of a server's own words
_DONE = "[DONE]"


class PassingError(Exception):
    """A failure that may be gone at the next try. seconds: how long the server asks to wait, if it says."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True)
class Piece:
    """A part of the answer's text, and at its end why it ended, as the server calls it.

    is_progress: whether the model said something, be it a thought that is no part of the answer.
    """

    text: str
    reason: str | None = None
    stop: str | None = None
    is_progress: bool = False


def may_pass(status: int) -> bool:
    """Whether a request with this answer may be made again."""
    return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
    )


def pieces(response: http.client.HTTPResponse) -> Iterator[Piece]:
    """The parts of an answer of status 200.

    Raises `EngineError` for a failure that the server tells, `MalformedError` for what is no answer, `OSError` for nothing.
    """
    if "text/event-stream" in response.headers.get("Content-Type", ""):
        yield from _whole_letters(_streamed(response))
    else:
        if not (body := _body(response)):
            raise ConnectionResetError("it answered nothing")
        yield from _whole_letters(_parts(_parsed(body)))


def said_by(response: http.client.HTTPResponse) -> str:
    """The server's own words on a failure, as far as a line holds them."""
    body = _body(response)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        words = body.decode("utf-8", errors="replace")
    else:
        words = _words(content)
    return " ".join(words.split())[:_MOST_SAID]


def _streamed(response: http.client.HTTPResponse) -> Iterator[Piece]:
    num_bytes = 0
    for data in events(response):
        if data == _DONE:
            return
        num_bytes += len(data)
        if num_bytes > _MOST_BODY_BYTES:  # of thoughts without an end, say, which no setting bounds
            raise MalformedError(f"more than {_MOST_BODY_BYTES:,} bytes")
        yield from _parts(_parsed(data.encode()))


def _parts(content: Any) -> Iterator[Piece]:
    if not isinstance(content, dict):
        raise MalformedError(f"a JSON {type(content).__name__}")
    if content.get("error"):
        raise EngineError(f"the server broke off: {_words(content)[:_MOST_SAID]}")
    choices = content.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise MalformedError("choices that are no list of objects")
    for choice in choices:  # none in an event that only counts tokens
        delta = choice.get("delta") or choice.get("message") or {}
        spoken = {key: _text(value) for key, value in delta.items() if key != "role"} if isinstance(delta, dict) else {}
        text = _text(choice.get("text")) or spoken.get("content") or ""
        is_progress = bool(text) or any(spoken.values())
        yield Piece(text, _text(choice.get("finish_reason")), _text(choice.get("stop_reason")), is_progress)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole_letters(parts: Iterator[Piece]) -> Generator[Piece, None, None]:
    """Halves of a letter beyond U+FFFF, which JSON may write as two escapes in two events, put together."""
    decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
    for part in parts:
        text = decoder.decode(part.text.encode("utf-16-le", "surrogatepass"))
        yield replace(part, text=text)
    if rest := decoder.decode(b"", final=True):
        yield Piece(rest)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON: {body[:60]!r}") from error


def _body(response: http.client.HTTPResponse) -> bytes:
    body = response.read(_MOST_BODY_BYTES)
    if response.read(1):
        raise MalformedError(f"more than {_MOST_BODY_BYTES:,} bytes")
    return body


def _words(content: Any) -> str:
    error = content.get("error", content) if isinstance(content, dict) else content
    words = error.get("message", error) if isinstance(error, dict) else error
    return str(words)
