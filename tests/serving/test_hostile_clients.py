"""What a client may send that is no request, never ends, or has no bounds: a clear answer, and the service lives."""

import contextlib
import gzip
import io
import json
import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import Waiting, asked, call, config_of, council_server, waiting_server
from tests.serving.own_halls import own_server, upload

CHAT = "/v1/chat/completions"
SOON = {"head_seconds": 0.5, "body_seconds": 0.5, "stall_seconds": 0.5, "max_body_mb": 0.02, "max_upload_mb": 0.05}


def expert(num_calls: int = 1000) -> Waiting:
    """One that answers at once."""
    made = Waiting(num_pieces=1)
    made.goes.release(num_calls)
    return made


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with waiting_server(expert(), **SOON) as address:
        yield address


@pytest.fixture(autouse=True)
def the_service_lives(url: str) -> Iterator[None]:
    yield
    assert call(url, "/healthz")[0] == 200
    assert call(url, CHAT, asked(model="waiting"))[0] == 200


def opened(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def to_the_end(connection: socket.socket) -> bytes:
    """All that the server says before it hangs up."""
    seen = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            seen += part
    return seen


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> str:
    code: str = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]
    return code


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # what begins TLS
        b"\xff\xfe\xfd\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\nna\x00me: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so(sent: bytes, url: str) -> None:
    with opened(url) as connection:
        connection.sendall(sent)
        answer = to_the_end(connection)
    assert status_of(answer) in (400, 501)
    assert error_of(answer) == "invalid_http"


def test_a_head_that_never_ends_is_given_up(url: str) -> None:
    with opened(url) as silent, opened(url) as slow, opened(url) as again:
        again.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert status_of(again.recv(65536)) == 200
        again.sendall(b"GET /heal")  # the second request of a connection that was kept
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        for connection in (silent, slow, again):
            answer = to_the_end(connection)
            assert status_of(answer) == 408
            assert error_of(answer) == "slow_head"


def test_a_head_that_comes_letter_by_letter_has_no_more_time_for_that(url: str) -> None:
    with opened(url) as connection:
        connection.settimeout(0.01)
        seen = b""
        while not seen:  # ends, or the test's time does
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                seen = connection.recv(65536)
        assert status_of(seen) in (400, 408)


def test_many_headers_and_large_ones_are_too_many(url: str) -> None:
    for headers in ([f"x-{number}: a" for number in range(20_000)], [f"x: {'a' * 200_000}"], [f"{'a' * 200_000}: x"]):
        with opened(url) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall("\r\n".join(["GET /healthz HTTP/1.1", "host: localhost", *headers, "", ""]).encode())
            answer = to_the_end(connection)
        assert not answer or status_of(answer) in (400, 431)


def test_requests_that_follow_each_other_without_waiting_are_answered_in_order(url: str) -> None:
    body = json.dumps(asked(model="waiting")).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ask = b"GET /v1/models/nobody HTTP/1.1\r\nhost: localhost\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with opened(url) as connection:
        connection.sendall(head.encode() + body + ask + head.encode() + body + last)
        answer = to_the_end(connection)
    statuses = [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200]


def test_one_connection_more_than_may_be_is_told_so_and_then_there_is_room_again() -> None:
    with waiting_server(expert(), max_connections=4) as url:
        held = [opened(url) for _ in range(4)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert status_of(connection.recv(65536)) == 200
        with opened(url) as fifth:
            answer = to_the_end(fifth)
            assert status_of(answer) == 503
            assert b"retry-after" in answer
            assert error_of(answer) == "full"
        for connection in held:
            connection.close()
        while True:  # the server has not seen yet that they are gone
            with opened(url) as again:
                again.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                if status_of(to_the_end(again)) == 200:
                    break


@pytest.mark.parametrize("is_form", [False, True])
@pytest.mark.parametrize("declares", [False, True])
def test_a_body_of_a_gigabyte_is_refused_long_before_it_has_come(is_form: bool, declares: bool, url: str) -> None:
    kind = "multipart/form-data; boundary=edge" if is_form else "application/json"
    length = "content-length: 1000000000" if declares else "transfer-encoding: chunked"
    path = "/v1/branches" if is_form else CHAT
    begin = (
        b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' if is_form else b'{"a": "'
    )
    sent = 0
    with opened(url) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{length}\r\n\r\n".encode()
        )
        piece = begin + b"a" * 65536
        try:
            while sent < 1_000_000_000:
                connection.sendall(piece if declares else b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
                piece = b"a" * 65536
        except ConnectionError:
            pass
        answer = to_the_end(connection)
    assert sent < 100_000_000
    assert not answer or status_of(answer) == 413  # the answer may be lost with what was still being sent


@pytest.mark.parametrize("packed", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_a_packed_body_is_refused_whatever_it_would_be_unpacked(packed: str, url: str) -> None:
    body = gzip.compress(b" " * 10_000_000)
    status, _, found = call(url, CHAT, body, headers={"content-encoding": packed})
    assert (status, found["error"]["code"]) == (415, "unsupported_encoding")


def test_a_table_that_is_something_else_is_refused_by_its_content(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("rows.csv", b"a" * 10_000_000)
    with own_server(tmp_path, max_upload_mb=1) as (url, _):
        for data in (packed.getvalue(), b"\x7fELF" + os.urandom(2000), b"MZ" + bytes(500), b"#!/bin/sh\nrm -rf /\n"):
            status, _, found = upload(url, data, name="three")
            assert (status, found["error"]["code"]) == (415, "not_a_table")
        status, _, found = upload(url, b"text,label\n" + b"a,b\n" * 400_000, name="three")
        assert status == 413
        for data in (b"", b"\xff\xfe\xfd" * 50, b"text,label\n", b"text\na\n"):
            assert upload(url, data, name="three")[0] in (400, 415)
        assert call(url, "/v1/jobs")[2]["data"] == []
        assert not list((tmp_path / "state").rglob("rows.csv"))


def test_letters_that_are_none_are_refused_wherever_they_stand(url: str) -> None:
    assert call(url, "/v1/models/%ff%fe")[0] == 404
    assert call(url, "/v1/memory/facts?query=%ff")[0] in (400, 404)
    assert call(url, CHAT, b'{"model": "waiting", "messages": [{"role": "user", "content": "\xff\xfe"}]}')[0] == 400
    status, _, found = call(url, CHAT, asked(model="waiting"), headers={"authorization": "Bearer \xff\xfe"})
    assert status == 200, found


def test_names_of_ten_thousand_letters_are_answered_or_refused(tmp_path: Path) -> None:
    config_of(tmp_path)
    long = "x" * 10_000
    with council_server(tmp_path, council={"memory": str(tmp_path / "memory.db")}) as url:
        for body in (
            asked("a", model="council", session=long), asked("a", session=long), asked("a", user=long), asked("a", model=long),
            asked("a", model="council", role=long),
        ):  # fmt: skip
            status, _, found = call(url, CHAT, body)
            assert status in (200, 400, 404), found
        for path in ("/v1/memory/messages?session=", "/v1/memory/sessions?x=", "/v1/models/", "/v1/jobs/", "/"):
            assert call(url, path + long)[0] in (200, 400, 404)
        assert call(url, CHAT, asked("a", model="council"))[0] == 200
