"""Streams that are cut anywhere, and read in pieces of any size: nobody waits, nothing is half a letter, no event is lost."""

import json
import socket
import struct
from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from anthropic._streaming import SSEDecoder as AnthropicDecoder
from openai._streaming import SSEDecoder
from tests.serving.halls import Waiting, asked, call, config_of, council_server, waiting_server

from interconnected_ai.types import ChatMessage, Generation
from properties import examples

CHAT, WRITE, RESPOND, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "a chat": (CHAT, asked(max_tokens=24, stream=True)),
    "a whole chat": (CHAT, asked(max_tokens=24)),
    "several choices": (CHAT, asked(max_tokens=12, stream=True, n=3)),
    "a council": (CHAT, asked(model="council", max_tokens=24, stream=True)),
    "a text": (WRITE, {"model": "law", "prompt": "the court", "max_tokens": 24, "stream": True}),
    "a response": (RESPOND, {"model": "code", "input": "a traceback", "max_output_tokens": 24, "stream": True}),
    "a message": (MESSAGES, {**asked(max_tokens=24, stream=True)}),
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("cut")
    config_of(home)
    with council_server(home, max_at_once=2, max_choices=4) as address:
        yield address


def request_of(url: str, path: str, body: dict[str, Any]) -> bytes:
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=120)


def hang_up(connection: socket.socket, *, abruptly: bool) -> None:
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def require_idle(url: str) -> None:
    """Nobody holds a place: what is asked next is answered, and after it nothing is being made."""
    assert call(url, CHAT, asked(max_tokens=1))[0] == 200
    while True:
        figures = call(url, "/metrics")[2].decode()
        if 'iai_lane_admitted{lane="answers"} 0.0' in figures:
            return


@examples(40)
@given(st.sampled_from(sorted(BODIES)), st.integers(0, 6000), st.booleans())
def test_a_client_may_leave_after_any_byte_of_its_answer(url: str, what: str, number: int, abruptly: bool) -> None:
    path, body = BODIES[what]
    connection = connected(url)
    connection.sendall(request_of(url, path, body))
    seen = b""
    while len(seen) < number and (piece := connection.recv(min(4096, number - len(seen)))):
        seen += piece
    hang_up(connection, abruptly=abruptly)
    if what == "a response" and b'"type":"response.completed"' in seen and seen.endswith(b"\n\n\r\n"):
        (last,) = [line for line in seen.split(b"\n") if line.startswith(b'data: {"type":"response.completed"')]
        kept = json.loads(last[6:])["response"]["id"]
        assert call(url, f"{RESPOND}/{kept}")[0] == 200  # told as kept, and so it is
    require_idle(url)


@examples(30)
@given(st.sampled_from(sorted(BODIES)), st.floats(0, 1), st.booleans())
def test_a_client_may_leave_after_any_byte_of_its_request(url: str, what: str, share: float, abruptly: bool) -> None:
    whole = request_of(url, *BODIES[what])
    connection = connected(url)
    connection.sendall(whole[: int(share * len(whole))])
    hang_up(connection, abruptly=abruptly)
    require_idle(url)


class Saying(Waiting):
    """Says these pieces at once."""

    pieces: Sequence[str] = ()

    def _pieces(self) -> Generator[str | None, None, Any]:
        from interconnected_ai.experts import ChatAnswer

        yield from self.pieces
        said = "".join(self.pieces)
        return ChatAnswer(ChatMessage("assistant", said), Generation(tuple(range(len(self.pieces))), "eos", said), 1)


@pytest.fixture(scope="module")
def sayer() -> Iterator[tuple[str, Saying]]:
    expert = Saying()
    with waiting_server(expert) as address:
        yield address, expert


LETTERS = st.sampled_from('aя日🙂\n\r\u2028\u2029\x85\x0b\0"\\ :{}') | st.characters(exclude_categories=["Cs"])
PIECES = st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=8)
CUTS = st.lists(st.floats(0, 1), max_size=12)


def split(raw: bytes, cuts: Sequence[float]) -> list[bytes]:
    places = sorted({0, len(raw), *(int(cut * len(raw)) for cut in cuts)})
    return [raw[begin:end] for begin, end in pairwise(places)]


def text_of(events: Sequence[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for each in events for choice in each["choices"])


@examples(60)
@given(PIECES, CUTS)
def test_a_stream_reads_the_same_however_its_bytes_are_cut(
    sayer: tuple[str, Saying], pieces: list[str], cuts: list[float]
) -> None:
    """By the decoder of OpenAI's client, by one that takes every sign of Unicode that may end a line for such an end, whole."""
    url, expert = sayer
    expert.pieces = pieces
    status, _, raw = call(url, CHAT, asked(model="waiting", stream=True))
    assert status == 200, raw
    wanted = "".join(pieces).strip()
    read = list(SSEDecoder().iter_bytes(iter(split(raw, cuts))))
    assert read[-1].data == "[DONE]"
    assert text_of([each.json() for each in read[:-1]]) == wanted
    lines = [line for line in raw.decode().splitlines() if line]
    assert text_of([json.loads(line.removeprefix("data: ")) for line in lines[:-1]]) == wanted


@examples(40)
@given(PIECES, CUTS)
def test_a_stream_of_anthropics_reads_the_same_however_its_bytes_are_cut(
    sayer: tuple[str, Saying], pieces: list[str], cuts: list[float]
) -> None:
    url, expert = sayer
    expert.pieces = pieces
    raw = call(url, MESSAGES, asked(model="waiting", stream=True, max_tokens=8))[2]
    read = list(AnthropicDecoder().iter_bytes(iter(split(raw, cuts))))
    assert (read[0].event, read[-1].event) == ("message_start", "message_stop")
    said = "".join(each.json()["delta"].get("text", "") for each in read if each.event == "content_block_delta")
    assert said == "".join(pieces).strip()
