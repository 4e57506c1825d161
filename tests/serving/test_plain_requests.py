"""Plain requests go past h11: what is taken for one means the same to it, and nothing odd gets through."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import h11
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples
from tests.serving.halls import Waiting, asked, waiting_server
from uvicorn.protocols.http.flow_control import FlowControl

from interconnected_ai.serving.plain import PlainAnswer, PlainHead, plain_head

MOST = 64 * 1024
CHAT = "/v1/chat/completions"
BODY = json.dumps(asked(model="waiting")).encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def post(*more: str, body: bytes = BODY, path: str = CHAT) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


# What it reads

PIECES = [
    b"GET", b"POST", b"HEAD", b"get", b" ", b"  ", b"/", b"/v1/a?b=c#d", b"/%2F%ff", b"*", b"http://localhost/a", b"/\xff",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 ", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: a", b"host:b\t",
    b"content-length: 3", b"Content-Length:3", b"content-length: +3", b"content-length: 3, 3", b"content-length: 4",
    b"content-length: 1_0", b"content-length: \xb2", b"content-length: " + b"9" * 30, b"content-length : 3",
    b"transfer-encoding: chunked", b"Transfer-Encoding: identity", b"connection: keep-alive", b"Connection: Close",
    b"connection: keep-alive, close", b"upgrade: h2c", b"expect: 100-continue", b"x: a\x00b", b"x:", b"x: \x0b", b"x: \x01",
    b" folded", b"\tfolded", b"x y: a", b": a", b"x: caf\xe9", b"x: a  b ", b"abc",
]  # fmt: skip
LINES = st.lists(st.sampled_from([piece for piece in PIECES if b"\n" not in piece and len(piece) > 3]), max_size=6)
HEADS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join),
    st.builds(
        lambda method, target, lines, end: b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"host: a", *lines, end]),
        st.sampled_from([b"GET", b"POST"]), st.sampled_from([b"/", b"/v1/a?b=c#d", b"/%2F%ff"]), LINES,
        st.sampled_from([b"\r\n", b"\r\nabc", b"\n", b""]),
    ),
)  # fmt: skip


@examples(300)
@given(HEADS)
def test_what_is_taken_for_plain_h11_reads_as_the_same(data: bytes) -> None:
    found = plain_head(data, MOST)
    if found is None:
        return
    reader = h11.Connection(h11.SERVER, MOST)
    reader.receive_data(data[: found.num_bytes])
    event = reader.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target, event.http_version) == (found.method, found.target, b"1.1")
    assert list(event.headers) == found.headers
    reader.receive_data(b"a" * found.length)
    coming = reader.next_event()
    if found.length:
        assert isinstance(coming, h11.Data)
        assert len(coming.data) == found.length
        coming = reader.next_event()
    assert isinstance(coming, h11.EndOfMessage)
    assert not reader.they_are_waiting_for_100_continue
    reader.send(h11.Response(status_code=204, headers=[]))
    reader.send(h11.EndOfMessage())
    assert (reader.our_state, reader.their_state) == (h11.DONE, h11.DONE)  # the connection is kept


def test_what_clients_send_is_plain() -> None:
    """Else this would all be in vain: curl, aiohttp, httpx, requests and browsers on one page."""
    own = (
        "user-agent: a/1 (b; c)",
        "accept: */*",
        "accept-encoding: gzip, deflate",
        "connection: keep-alive",
        "x-a: é",
    )
    found = plain_head(post(*own), MOST)
    assert found is not None
    assert (found.method, found.target, found.length) == ("POST", CHAT.encode(), len(BODY))
    assert found.headers[:2] == [(b"host", b"localhost"), (b"content-type", b"application/json")]
    assert plain_head(HEALTH, MOST) == PlainHead("GET", b"/healthz", [(b"host", b"localhost")], 0, len(HEALTH))


@pytest.mark.parametrize(
    "odd",
    [
        LAST, HEALTH[:-1], HEALTH.replace(b"\r\n", b"\n"), HEALTH.replace(b"GET", b"HEAD"), HEALTH.replace(b"1.1", b"1.0"),
        HEALTH.replace(b"/h", b"http://localhost/h"), HEALTH.replace(b" HTTP/1.1", b""), HEALTH.replace(b"host", b"x"),
        HEALTH.replace(b"host", b"host: a\r\nhost"), b"\r\n" + HEALTH, post("transfer-encoding: chunked"),
        post("content-length: 1"), post("expect: 100-continue"), post("connection: upgrade", "upgrade: h2c"),
        post("x: a", " folded"), post("x : a"), post("x: \x00"), post("x: a" + "a" * MOST),
    ],
)  # fmt: skip
def test_what_is_odd_is_left_to_h11(odd: bytes) -> None:
    assert plain_head(odd, MOST) is None


# What it writes


class Recorder(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.is_closed = b"", False

    def write(self, data: object) -> None:
        self.sent += bytes(data)  # type: ignore[call-overload]

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def answered(status: int, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> Recorder:
    recorder = Recorder()

    async def answer() -> None:
        logger = logging.getLogger("tests")
        cycle = PlainAnswer(
            PlainHead("GET", b"/", [], 0, 0), lambda: None, scope={"headers": []}, conn=h11.Connection(h11.SERVER),
            transport=recorder, flow=FlowControl(recorder), logger=logger, access_logger=logger, access_log=False,
            default_headers=[(b"date", b"today")],
        )  # fmt: skip
        await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
        for number, part in enumerate(parts):
            await cycle.send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    asyncio.run(answer())
    return recorder


@examples(100)
@given(
    status=st.sampled_from([200, 201, 204, 304, 404, 418, 503, 599]),
    parts=st.lists(st.binary(max_size=30), min_size=1, max_size=4),
    has_length=st.booleans(),
    closes=st.booleans(),
)
def test_an_answer_is_read_as_it_was_meant(status: int, parts: list[bytes], has_length: bool, closes: bool) -> None:
    if status in (204, 304):
        parts = [b""]
    headers = [(b"X-Own", b"caf\xe9 a")]
    headers += [(b"Content-Length", str(sum(map(len, parts))).encode())] if has_length and status != 204 else []
    headers += [(b"Connection", b"close")] if closes else []
    made = answered(status, headers, parts)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(made.sent)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    assert head.status_code == status
    assert {(b"date", b"today"), (b"x-own", b"caf\xe9 a")} <= set(head.headers)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == b"".join(parts)
    assert made.is_closed is closes
    assert client.their_state is (h11.MUST_CLOSE if closes else h11.DONE)
    assert client.trailing_data == (b"", False)


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ([(b"x", b"a\r\ny: b")], [b""]), ([(b"x\r\ny", b"a")], [b""]), ([(b"x y", b"a")], [b""]), ([(b"x", b"a\n")], [b""]),
        ([(b"x", b"\x00")], [b""]), ([(b"", b"a")], [b""]), ([(b"content-length", b"2")], [b"abc"]),
        ([(b"content-length", b"2")], [b"a"]), ([(b"content-length", b"2")], [b"ab", b"c"]),
        ([(b"transfer-encoding", b"gzip")], [b""]),
    ],
)  # fmt: skip
def test_an_answer_that_would_split_is_not_sent(headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> None:
    with pytest.raises(RuntimeError):
        answered(200, headers, parts)


# Over a connection


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    expert = Waiting(num_pieces=1)
    expert.goes.release(10_000)
    with waiting_server(expert) as address:
        yield address


def heard(url: str, *pieces: bytes) -> bytes:
    """All that is answered to these pieces, each sent when the one before is out, until the server hangs up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        seen = b""
        while came := connection.recv(65_536):
            seen += came
    return seen


def said(url: str, *pieces: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer."""
    return list(_answers(heard(url, *pieces)))


def _answers(seen: bytes) -> Iterator[tuple[int, bytes]]:
    while seen:
        head, _, seen = seen.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", 0))
        yield int(head.split(b" ")[1]), seen[:length]
        seen = seen[length:]


def statuses(url: str, *pieces: bytes) -> list[int]:
    return [status for status, _ in said(url, *pieces)]


def test_a_request_that_comes_in_two_pieces_is_answered_wherever_it_is_cut(url: str) -> None:
    whole = post("connection: keep-alive")
    for place in range(1, len(whole), 3):
        assert statuses(url, whole[:place], whole[place:], LAST) == [200, 200], place


def test_what_comes_behind_is_answered_in_its_turn_wherever_it_is_cut(url: str) -> None:
    behind = post() + post(path="/v1/nothing") + HEALTH + LAST
    for place in (1, 20, len(post()) - 1, len(post()), len(post()) + 1, len(post()) + 30, len(behind) - 1):
        assert statuses(url, post() + behind[:place], behind[place:]) == [200, 200, 404, 200, 200], place
        assert statuses(url, post(), behind[:place], behind[place:]) == [200, 200, 404, 200, 200], place


def test_a_thousand_requests_at_once_are_answered_one_after_another(url: str) -> None:
    assert statuses(url, post(), HEALTH * 1000 + LAST) == [200] * 1002


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_the_rest_of_a_body_that_was_refused_is_no_request(size: int, url: str) -> None:
    """It looks like one, and is answered by nothing."""
    hidden = (b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n" * (size // 40 + 1))[: max(size, 50)]
    refused = post(body=hidden, path="/v1/nothing")
    for place in (len(refused) - len(hidden), len(refused) - 20, len(refused)):
        assert statuses(url, refused[:place], refused[place:] + LAST) == [404, 200]


INSIDE = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
KINDS: dict[str, tuple[bytes, list[int]]] = {
    "both lengths": (post("transfer-encoding: chunked") + INSIDE, [400]),
    "two lengths": (post("content-length: 1") + INSIDE, [400]),
    "a length with a sign": (post(body=b"").replace(b"Length: 0", b"Length: +0") + INSIDE, [400]),
    "an unknown coding": (post("transfer-encoding: xchunked") + INSIDE, [400]),
    "lines that end in a line feed alone": (b"GET /x\nhost: localhost\r\n\r\n" + INSIDE, [400]),
    "no version": (b"GET /healthz\r\nhost: localhost\r\n\r\n" + INSIDE, [400]),
    "a space before the colon": (post("content-length : 5") + INSIDE, [400]),
    "a carriage return alone": (post("x: a\rtransfer-encoding: chunked") + INSIDE, [400]),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n" + INSIDE, [400]),
    "two hosts": (HEALTH.replace(b"host", b"host: evil\r\nhost") + INSIDE, [400]),
    "a chunk whose end is none": (
        post("transfer-encoding: chunked").replace(b"Content-Length", b"x")[: -len(BODY)] + b"2\r\nabc\r\n", [400],
    ),
    "a method that nobody knows": (HEALTH.replace(b"GET", b"BREW") + LAST, [405, 200]),
    "the end in capitals": (HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"), [200]),
    "the end in a list": (HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: keep-alive, Close\r\n\r\n"), [200]),
    "more behind the end": (LAST + INSIDE, [200]),
    "the first version": (HEALTH.replace(b"1.1", b"1.0"), [200]),
    "an upgrade with a body": (post("connection: upgrade, http2-settings", "upgrade: h2c") + LAST, [200, 200]),
    "an upgrade with a body in chunks": (
        post("connection: upgrade", "upgrade: h2c", "transfer-encoding: chunked", body=b"").replace(b"Content-Length", b"x")
        + CHUNKED + LAST, [200, 200],
    ),
    "a header that is folded": (post("x: a", " b") + LAST, [200, 200]),
}  # fmt: skip


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_what_hides_requests_or_confuses_parsers_is_refused_or_read_as_one(kind: str, is_first: bool, url: str) -> None:
    """First on a connection, and behind a plain request; from reports of servers that took a faster parser."""
    sent, wanted = KINDS[kind]
    found = statuses(url, sent) if is_first else statuses(url, HEALTH, sent)[1:]
    assert found == wanted


def test_who_asks_for_a_head_alone_gets_it_alone(url: str) -> None:
    asking = HEALTH.replace(b"GET", b"HEAD")
    for pieces in ((asking, LAST), (HEALTH, asking + LAST)):
        assert heard(url, *pieces).split(b"HTTP/1.1 200")[-2].endswith(b"\r\n\r\n")


def test_the_path_is_what_was_asked_for(url: str) -> None:
    for target in ("/healthz?a=1", "/%68ealthz", "//healthz/"):
        assert said(url, f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(), LAST)[0][0] == 200, target
    found: Any = json.loads(said(url, b"GET /v1/models/%ff%2f HTTP/1.1\r\nhost: localhost\r\n\r\n", LAST)[0][1])
    assert found["error"]["code"] == "model_not_found"
