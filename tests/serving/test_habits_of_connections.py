"""How requests come over a connection: other versions of HTTP, bodies in chunks, refusals before a body is read, and reuse."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import Waiting, asked, call, config_of, council_of, council_server

from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import ExpertPool
from interconnected_ai.serving import Hall, KeyFile, ServerThread

CHAT = "/v1/chat/completions"
STREAMED = json.dumps(asked(stream=True)).encode()
PLAIN = json.dumps(asked()).encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("connections")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home, max_body_mb=0.2) as address:
        yield address
        assert call(address, CHAT, asked())[0] == 200


@pytest.fixture(scope="module")
def keyed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    keys = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    secret = keys.add("ann", scopes=["chat"])[1]
    with council_of(home) as council:
        config = ServingConfig(port=0, drain_seconds=1.0, keys=str(keys.path))
        with ServerThread(Hall(council=council), config) as server:
            yield server.url, secret


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=120)


def head(body: bytes | None, *more: str, method: str = "POST", path: str = CHAT, version: str = "1.1") -> bytes:
    """A request's; with a body how long it is."""
    lines = [f"{method} {path} HTTP/{version}", "host: localhost", *more]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode()


class Reading:
    """Answers, one after another, on one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._seen = connection, b""

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer, whole: status, headers, body as it was meant."""
        status = int(self._line().split()[1])
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status == 100:
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join(self._chunks())
        if "content-length" in headers:
            return status, headers, self._bytes(int(headers["content-length"]))
        return status, headers, self.rest()

    def rest(self) -> bytes:
        """Everything until the connection is closed."""
        while self._more():
            continue
        return self._bytes(len(self._seen))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line(), 16):
            yield self._bytes(size)
            self._line()
        self._line()

    def _line(self) -> bytes:
        while b"\r\n" not in self._seen:
            assert self._more(), self._seen
        line, _, self._seen = self._seen.partition(b"\r\n")
        return line

    def _bytes(self, number: int) -> bytes:
        while len(self._seen) < number:
            assert self._more(), self._seen
        found, self._seen = self._seen[:number], self._seen[number:]
        return found

    def _more(self) -> bool:
        came = self._connection.recv(65_536)
        self._seen += came
        return bool(came)


def test_what_asks_in_the_first_version_of_http_is_answered_without_chunks(url: str) -> None:
    for body in (PLAIN, STREAMED):
        with connected(url) as connection:
            connection.sendall(head(body, version="1.0") + body)
            status, headers, content = Reading(connection).answer()
        assert status == 200
        assert "transfer-encoding" not in headers
        assert content.endswith(b"data: [DONE]\n\n") if body is STREAMED else json.loads(content)["choices"]


@pytest.mark.parametrize("body", [PLAIN, STREAMED], ids=["whole", "stream"])
def test_who_wants_the_connection_closed_sees_the_whole_answer_and_its_end(body: bytes, url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head(body, "connection: close") + body)
        reading = Reading(connection)
        status, headers, content = reading.answer()
        assert (status, headers["connection"].lower()) == (200, "close")
        assert content.endswith(b"data: [DONE]\n\n") if body is STREAMED else json.loads(content)["choices"]
        assert reading.rest() == b""


def test_a_stream_leaves_a_connection_on_which_more_is_answered(url: str) -> None:
    with connected(url) as connection:
        reading = Reading(connection)
        for _ in range(3):
            connection.sendall(head(STREAMED) + STREAMED)
            assert reading.answer()[2].endswith(b"data: [DONE]\n\n")
            connection.sendall(head(None, method="GET", path="/v1/models"))
            assert reading.answer()[0] == 200


def test_a_body_in_chunks_of_any_size_is_read(url: str) -> None:
    for size in (1, 7, 10_000):
        with connected(url) as connection:
            connection.sendall(head(None, "content-type: application/json", "transfer-encoding: chunked"))
            for begin in range(0, len(PLAIN), size):
                part = PLAIN[begin : begin + size]
                connection.sendall(b"%x;note=1\r\n%s\r\n" % (len(part), part))
            connection.sendall(b"0\r\nx-checked: yes\r\n\r\n")
            status, _, content = Reading(connection).answer()
        assert status == 200, content


def test_who_waits_to_be_told_to_go_on_is_told(url: str) -> None:
    with connected(url) as connection:
        reading = Reading(connection)
        for body in (PLAIN, STREAMED, PLAIN):
            connection.sendall(head(body, "expect: 100-continue"))
            assert reading.answer()[0] == 100
            connection.sendall(body)
            assert reading.answer()[0] == 200


def test_who_waits_to_be_told_and_is_refused_hears_the_refusal_and_nothing_else(
    url: str, keyed: tuple[str, str]
) -> None:
    """Curl asks so before every body of some size. Whether it sends the body then nobody knows, so the connection ends."""
    large = b'{"model": "code", "messages": [{"role": "user", "content": "%s"}]}' % (b"a" * 300_000)
    for address, body, wanted in ((keyed[0], PLAIN, 401), (url, large, 413)):
        for goes_on in (False, True):
            if goes_on and body is large:
                continue
            with connected(address) as connection:
                reading = Reading(connection)
                connection.sendall(head(body, "expect: 100-continue") + (body if goes_on else b""))
                status, headers, content = reading.answer()
                assert status == wanted, content
                assert json.loads(content)["error"]["message"]
                assert headers["connection"].lower() == "close"
                assert reading.rest() == b""


@pytest.mark.parametrize("size", [1, 5_000, 70_000])
def test_a_refusal_before_the_body_was_read_does_not_garble_the_next_request(size: int, keyed: tuple[str, str]) -> None:
    address, secret = keyed
    body = json.dumps(asked("a" * size)).encode()
    for refused, wanted in (
        (head(body, "authorization: Bearer wrong"), 401),
        (head(body, f"authorization: Bearer {secret}", "content-encoding: gzip"), 415),
        (head(body, f"authorization: Bearer {secret}", "origin: https://evil.example"), 403),
        (head(body, f"authorization: Bearer {secret}", path="/v1/nothing"), 404),
        (head(body, f"authorization: Bearer {secret}", path="/v1/branches/verify"), 403),
        (head(body, f"authorization: Bearer {secret}", method="PATCH"), 405),
    ):
        with connected(address) as connection:
            reading = Reading(connection)
            connection.sendall(refused + body)
            status, headers, content = reading.answer()
            assert status == wanted, content
            if headers.get("connection", "").lower() == "close":
                continue
            connection.sendall(head(PLAIN, f"authorization: Bearer {secret}") + PLAIN)
            assert reading.answer()[0] == 200, wanted


def test_what_stands_behind_a_question_mark_is_passed_over(url: str) -> None:
    """Clients of Azure's send a version of the API with everything."""
    assert call(url, f"{CHAT}?api-version=2024-10-21", asked())[0] == 200
    assert call(url, "/v1/models?limit=20&after=x")[0] == 200


def test_a_name_with_slashes_is_found_in_an_address_spelled_either_way() -> None:
    expert = Waiting()
    with ExpertPool(10) as pool:
        pool.add("org/model:q4", lambda: expert, num_bytes=1)
        with ServerThread(Hall(experts=pool), ServingConfig(port=0, drain_seconds=1.0)) as server:
            for spelled in ("org/model:q4", "org%2Fmodel:q4", "org%2fmodel%3Aq4"):
                assert call(server.url, f"/v1/models/{spelled}")[2]["id"] == "org/model:q4"
                assert call(server.url, f"/v1/experts/{spelled}")[2]["id"] == "org/model:q4"
                assert call(server.url, f"/v1/experts/{spelled}/pin", {"pinned": True})[2]["pinned"] is True
                assert call(server.url, f"/v1/experts/{spelled}/load", {})[2]["state"] == "resident"
                assert call(server.url, f"/v1/experts/{spelled}/pin", {"pinned": False})[2]["pinned"] is False
                assert call(server.url, f"/v1/experts/{spelled}/unload", {})[2]["id"] == "org/model:q4"
            status, _, found = call(server.url, "/v1/experts/org/nobody")
            assert (status, found["error"]["code"]) == (404, "not_found")


EMPTY: dict[str, list[dict[str, Any]]] = {
    "an assistant who said nothing": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "b"},
    ],
    "a system that says nothing": [{"role": "system", "content": ""}, {"role": "user", "content": "a"}],
    "parts that say nothing": [{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]}],
    "no parts": [{"role": "user", "content": []}],
    "a user who says nothing": [{"role": "user", "content": ""}],
    "a function that gave nothing": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", EMPTY)
def test_contents_that_are_empty_are_read(what: str, url: str) -> None:
    status, _, found = call(url, CHAT, {**asked(), "messages": EMPTY[what]})
    assert status == 200, found


def test_a_key_that_stands_twice_counts_as_it_stands_last(url: str) -> None:
    body = PLAIN.replace(b'"max_tokens": 8', b'"max_tokens": 1, "max_tokens": 8')
    assert call(url, CHAT, body)[2]["choices"] == call(url, CHAT, PLAIN)[2]["choices"]


@pytest.mark.parametrize(
    "odd", [b'"temperature": 1e400', b'"temperature": -NaN', b'"max_tokens": 8,,', b'"stop": [,]', b'"n": 01']
)
def test_what_is_almost_json_is_refused_in_words(odd: bytes, url: str) -> None:
    status, _, found = call(url, CHAT, PLAIN.replace(b'"max_tokens": 8, "temperature": 0', odd))
    assert status == 400, found
    assert found["error"]["message"]


def test_options_of_a_stream_that_ask_for_nothing_bring_no_usage(url: str) -> None:
    for options, brings in ({}, False), ({"include_usage": False}, False), ({"include_usage": True}, True):
        _, _, raw = call(url, CHAT, asked(stream=True, stream_options=options))
        assert (b'"usage":{' in raw) is brings


def test_what_a_schema_demands_or_points_to_is_not_passed_over(url: str) -> None:
    """Other servers take a place that they do not find for anything, and a demand without properties for none."""

    def answered(schema: dict[str, Any]) -> tuple[int, Any]:
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        status, _, found = call(url, CHAT, asked(response_format=form, max_tokens=200))
        return status, found

    named = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"enum": ["x"]}},
    }
    status, found = answered({**named, "additionalProperties": False})
    assert (status, found["choices"][0]["message"]["content"]) == (200, '{"a": "x"}')
    for place in ("/$defs/A", "#/$defs/B", "other.json", "https://example.com/a.json"):
        status, found = answered({**named, "properties": {"a": {"$ref": place}}})
        assert status == 400, (place, found)
        assert found["error"]["param"] == "response_format"
    status, found = answered(
        {"type": "object", "required": ["a"], "additionalProperties": {"enum": [1]}, "maxProperties": 1}
    )
    if status == 200 and found["choices"][0]["finish_reason"] == "stop":
        assert set(json.loads(found["choices"][0]["message"]["content"])) >= {"a"}
    else:
        assert status == 200 or found["error"]["param"] == "response_format"
