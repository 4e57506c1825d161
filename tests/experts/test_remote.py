"""A remote expert against a real server on this machine, which answers, hangs, breaks off and talks nonsense as it is told."""

import json
import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_servers import END, FIRST, STREAM, Script, delta, event, failing, hung_up, raw, said, serving, silent_after

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, InterconnectedAIError, NotAModelError
from interconnected_ai.experts.chat import Conversation
from interconnected_ai.experts.remote import RemoteExpert, RemoteServer
from interconnected_ai.types import ChatMessage
from properties import examples

KEY = "sk-a-key-that-nobody-may-see"


def error_of(expert: RemoteExpert, prompt: str = "hi", **settings: Any) -> str:
    with pytest.raises(EngineError) as caught:
        expert.generate(prompt, **settings)
    return str(caught.value)


# Answers


def test_a_chat_is_asked_and_its_pieces_come_as_they_are_sent() -> None:
    with serving(said("Hel", "lo, ", "мир")) as (server, expert):
        stream = expert.stream("Say hello", max_new_tokens=9, temperature=0.5, top_p=0.9, stop=["\n"], seed=-1)
        assert list(stream) == ["Hel", "lo, ", "мир"]
        answer = stream.result()
    assert (answer.text, answer.ended, answer.token_ids, answer.satisfied) == ("Hello, мир", "eos", (), None)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert "authorization" not in asked.headers
    assert asked.body == {
        "model": "tiny", "stream": True, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["\n"],
        "seed": 2**63 - 1, "messages": [{"role": "user", "content": "Say hello"}],
    }  # fmt: skip


def test_a_completion_continues_the_prompt() -> None:
    script = raw(STREAM, event(index=0, text="б", finish_reason=None), event(index=0, text="в", finish_reason="length"))
    with serving(script, api="completions", extensions=["top_k"]) as (server, expert):
        answer = expert.generate("а", top_k=5, presence_penalty=0.5, frequency_penalty=-0.5)
    assert (answer.text, answer.ended) == ("бв", "length")
    (asked,) = server.asked
    assert asked.path == "/v1/completions"
    assert asked.body["prompt"] == "а"
    assert (asked.body["top_k"], asked.body["presence_penalty"], asked.body["frequency_penalty"]) == (5, 0.5, -0.5)


def test_several_prompts_are_answered_in_order() -> None:
    def echo(connected: socket.socket) -> None:
        said(server.asked[-1].body["model"])(connected)

    with serving(echo) as (server, expert):
        answers = expert.generate(["a", "b", "c", "d", "e", "f"])
    assert [str(answer) for answer in answers] == ["tiny"] * 6
    assert sorted(one.body["messages"][0]["content"] for one in server.asked) == ["a", "b", "c", "d", "e", "f"]


TEXT = 'Ж😀 é\n{"a"}\u2028 ＡＢ 🇷🇺'


@examples(60)
@given(st.lists(st.integers(1, 400), max_size=30), st.booleans())
def test_letters_may_come_in_any_number_of_packets_and_chunks(cuts: list[int], chunked: bool) -> None:
    body = b": awake\n\n" + FIRST + b"".join(delta(letter) for letter in TEXT) + END
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    parts = [body[a:b] for a, b in pairwise(places)]
    head = STREAM
    if chunked:
        head = STREAM.replace(b"Connection: close", b"Transfer-Encoding: chunked")
        parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
    with serving(raw(head, *parts)) as (_, expert):
        assert expert.generate("x").text == TEXT


def test_halves_of_a_letter_in_two_events_are_put_together() -> None:
    halves = [
        b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ude00"}}]}\n\n',
    ]
    lone = b'data: {"choices": [{"delta": {"content": "\\ude00"}, "finish_reason": "stop"}]}\n\n'
    with serving(raw(STREAM, *halves, lone)) as (_, expert):
        assert expert.generate("x").text == "a😀\ufffd"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_what_servers_leave_out_or_add_is_no_matter(line_end: bytes) -> None:
    counted = b'data: {"choices": [], "usage": {"total_tokens": 7}}\n\n'
    thought = event(index=0, delta={"reasoning_content": "hm"}, finish_reason=None)
    last = b'event: message\nid: 3\ndata:{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}'
    parts = [part.replace(b"\n", line_end) for part in (counted, thought, delta("a"), last)]
    with serving(raw(STREAM, *parts)) as (_, expert):
        assert expert.generate("x").text == "ab"


def test_a_server_that_does_not_stream_is_understood() -> None:
    body = json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}]}
    ).encode()
    with serving(failing("200 OK", body, "Content-Type: application/json")) as (_, expert):
        assert list(expert.stream("x")) == ["whole"]


def test_a_stop_string_that_the_server_names_is_how_the_answer_ended() -> None:
    end = event(index=0, delta={}, finish_reason="stop", stop_reason="\n")
    with serving(said("a", end=end)) as (_, expert):
        assert expert.generate("x", stop=["\n"]).ended == "stop"


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("text", "satisfied"), [('{"a": 1}', True), ('\n{\n "a":1}', True), ('{"b": 1}', False), ("no", False)]
)
def test_a_schema_is_asked_for_and_the_answer_is_looked_at(text: str, satisfied: bool) -> None:
    with serving(said(text)) as (server, expert):
        assert expert.generate("x", json_schema=SCHEMA).satisfied is satisfied
    form = server.asked[0].body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"] == SCHEMA


def test_a_conversation_is_sent_as_it_is() -> None:
    messages = [
        ChatMessage("system", "Be short."),
        ChatMessage("user", "Hi"),
        ChatMessage("assistant", "Yes?"),
        ChatMessage("user", "Ok"),
    ]
    with serving(said("Bye", "."), context=4096) as (server, expert):
        answering = expert.stream_chat(messages, session="a", temperature=0.0)
        assert list(answering) == ["Bye", "."]
        answer = answering.result()
        assert (str(answer), answer.message, answer.dropped) == ("Bye.", ChatMessage("assistant", "Bye."), ())
        expert.forget("a")
        conversation = Conversation(expert, system="Be short.")
        assert str(conversation.ask("Hi")) == "Bye."
        assert str(conversation.ask("Ok", max_new_tokens=7)) == "Bye."
        assert expert.card.context == 4096
    assert server.asked[0].body["messages"] == [{"role": m.role, "content": m.content} for m in messages]
    assert [one.body["max_tokens"] for one in server.asked] == [512, 512, 7]
    assert [m["content"] for m in server.asked[2].body["messages"]] == ["Be short.", "Hi", "Bye.", "Ok"]


# The key


def test_the_key_comes_from_the_environment_and_stands_in_no_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusal = failing("401 Unauthorized", json.dumps({"error": {"message": f"Incorrect API key: {KEY}"}}).encode())
    broken = raw(STREAM, b'data: {"error": {"message": "key %b expired"}}\n\n' % KEY.encode())
    with serving(said("a"), refusal, broken, api_key_env="TINY_KEY") as (server, expert):
        with pytest.raises(ConfigError, match="the environment variable TINY_KEY holds no key"):
            expert.generate("x")
        assert server.asked == []
        monkeypatch.setenv("TINY_KEY", f" {KEY}\n")
        expert.generate("x")
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        told = error_of(expert), error_of(expert)
        expert.server.save(tmp_path)
        assert "look at the key in TINY_KEY" in told[0]
        for text in (*told, repr(expert.server), (tmp_path / "remote.json").read_text(), str(vars(expert))):
            assert KEY not in text
        assert RemoteServer.load(tmp_path) == expert.server
        assert RemoteServer.load(tmp_path / "remote.json") == expert.server


def test_a_key_is_not_sent_openly_over_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    server = RemoteServer(base_url="http://example.com/v1", model="m", api_key_env="TINY_KEY")
    with RemoteExpert(server) as expert, pytest.raises(ConfigError, match=r"is not encrypted.* use https"):
        expert.generate("x")


def test_a_server_that_moved_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(failing("302 Found", b"", "Location: http://127.0.0.1:1/steal")) as (server, expert):
        assert "it moved to 'http://127.0.0.1:1/steal': put that in base_url" in error_of(expert)
    assert len(server.asked) == 1


# Failures that may pass


@pytest.mark.parametrize(
    "fault",
    [
        failing("429 Too Many Requests", b"slower", "Retry-After: 0"),
        failing("429 Too Many Requests", b"slower", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"),
        failing("429 Too Many Requests", b"slower", "Retry-After: soon"),
        failing("500 Internal Server Error"),
        failing("503 Service Unavailable"),
        failing("529 Overloaded"),
        hung_up,
        raw(b""),
        raw(b"HTTP/1.1 200"),
        raw(STREAM),
        raw(STREAM, FIRST),
        raw(STREAM.replace(b"Connection: close", b"Transfer-Encoding: chunked"), b"5\r\nda"),
    ],
)
def test_a_failure_before_the_first_piece_is_tried_again(fault: Script) -> None:
    with serving(fault, fault, said("at last")) as (server, expert):
        assert expert.generate("x").text == "at last"
        assert len(server.asked) == 3
    with serving(fault, retries=2) as (server, expert):
        assert "(3 tries); try again later" in error_of(expert)
        assert len(server.asked) == 3
    with serving(fault, retries=0) as (server, expert):
        assert "tries" not in error_of(expert)
        assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = RemoteServer(base_url=f"http://127.0.0.1:{port}/v1", model="m", retries=1, backoff_seconds=0.0)
    with RemoteExpert(server) as expert:
        assert f"the server at http://127.0.0.1:{port}/v1: [Errno 111] Connection refused (2 tries)" in error_of(expert)


def test_a_pause_that_is_too_long_is_told_instead_of_waited_for() -> None:
    with serving(failing("429 Too Many Requests", b"slower", "Retry-After: 3600")) as (server, expert):
        assert "asks for a pause of 3600 s" in error_of(expert)
        assert len(server.asked) == 1


def test_closing_ends_the_wait_for_the_next_try() -> None:
    with serving(failing("503 Service Unavailable"), backoff_seconds=3600.0) as (server, expert):
        found: list[BaseException] = []

        def ask() -> None:
            try:
                expert.generate("x")
            except InterconnectedAIError as error:
                found.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not server.asked:
            asking.join(0.01)
        expert.close()
        asking.join(60)
        assert isinstance(found[0], ClosedError)
        with pytest.raises(ClosedError):
            expert.generate("x")


# Failures that do not


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            failing("400 Bad Request", b'{"error": {"message": "too  long\\na prompt"}}'),
            "answered 400 Bad Request: too long a prompt",
        ),
        (failing("404 Not Found", b"<html>nothing</html>"), "answered 404 Not Found: <html>nothing</html>"),
        (failing("422 Unprocessable", b'{"detail": [1]}'), "answered 422"),
        (failing("403 Forbidden", b"{}"), "name the key's variable in api_key_env"),
        (failing("400 Bad Request", b"x" * 100_000), "answered 400"),
        (failing("400 Bad Request", b"\xff\xfe"), "answered 400"),
        (raw(STREAM, b"data: {nonsense\n\n"), "it sent no JSON: b'{nonsense'"),
        (raw(STREAM, b"data: [1]\n\n"), "it sent a JSON list"),
        (raw(STREAM, b"data: " + b"[" * 100_000 + b"\n\n"), "it sent no JSON"),
        (raw(STREAM, b'data: {"choices": 7}\n\n'), "choices that are no list"),
        (raw(STREAM, b"data: \xff\xfe\n\n"), "text that is not UTF-8"),
        (raw(STREAM, b"data: " + b"x" * 5_000_000), "an event of more than 4,194,304 bytes"),
        (failing("200 OK", b"<html>", "Content-Type: text/html"), "it sent no JSON: b'<html>'"),
        (raw(STREAM, b'data: {"error": {"message": "out of memory"}}\n\n'), "the server broke off: out of memory"),
        (
            said("a", end=event(index=0, delta={}, finish_reason="content_filter")),
            "a reason of its own: content_filter",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_refusal_or_nonsense_is_told_at_once(fault: Script, words: str) -> None:
    with serving(fault) as (server, expert):
        told = error_of(expert)
        assert words in told
        assert len(told) < 600
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "end",
    [b"", b"data: [DONE]\n\n", b'data: {"choices": [{"delta": {"content": "x'],
    ids=["closed", "done", "half an event"],
)
def test_an_answer_that_breaks_off_is_no_answer(end: bytes) -> None:
    with serving(said("a", "b", end=end)) as (server, expert):
        stream = expert.stream("x")
        assert [next(stream), next(stream)] == ["a", "b"]
        with pytest.raises(EngineError, match=r"broke off after 2 pieces|it sent no JSON"):
            next(stream)
        assert len(server.asked) == 1


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    for fault in (
        silent_after(),
        silent_after(b"HTTP/1.1 200 OK\r\n"),
        silent_after(STREAM),
        silent_after(STREAM, FIRST),
    ):
        with serving(fault, first_token_seconds=0.2) as (server, expert):
            assert "nothing came within 0.2 s for the first piece of the answer" in error_of(expert)
            assert len(server.asked) == 1


def test_a_server_that_stays_awake_and_says_nothing_is_not_waited_for_either() -> None:
    for head, drop in ((STREAM, b": awake\n\n"), (b"", b"H")):

        def trickle(connected: socket.socket, head: bytes = head, drop: bytes = drop) -> None:
            connected.sendall(head)
            while not server.is_over.wait(0.01):
                connected.sendall(drop)

        with serving(trickle, first_token_seconds=0.3) as (server, expert):
            assert "nothing came within 0.3 s for the first piece" in error_of(expert)


def test_a_server_that_stops_in_the_middle_is_not_waited_for() -> None:
    with serving(silent_after(STREAM + delta("a") + delta("b")), between_tokens_seconds=0.2) as (_, expert):
        stream = expert.stream("x")
        assert [next(stream), next(stream)] == ["a", "b"]
        with pytest.raises(EngineError, match=r"nothing came within 0.2 s after 2 pieces; .* between_tokens_seconds"):
            next(stream)


def test_a_reader_may_take_its_time() -> None:
    """What counts is how long the server is waited for, not how long its pieces are left lying."""
    with serving(said("a", "b", "c"), first_token_seconds=30.0, between_tokens_seconds=1.0) as (server, expert):
        stream = expert.stream("x")
        assert next(stream) == "a"
        server.is_over.wait(1.2)
        assert list(stream) == ["b", "c"]


def test_a_stream_that_is_closed_leaves_the_server() -> None:
    has_left = threading.Event()

    def endless(connected: socket.socket) -> None:
        connected.sendall(STREAM)
        try:
            while True:
                connected.sendall(delta("more "))
        except OSError:
            has_left.set()

    with serving(endless) as (_, expert):
        with expert.stream("x") as stream:
            assert next(stream) == "more "
        assert has_left.wait(60)
        with pytest.raises(EngineError, match="no whole answer"):
            stream.result()


@pytest.mark.parametrize("piece", ["more ", "Ж" * 40, " "])
def test_a_server_that_never_stops_is_left_at_the_length_that_was_asked_for(piece: str) -> None:
    has_left = threading.Event()

    def endless(connected: socket.socket) -> None:
        connected.sendall(STREAM)
        try:
            while True:
                connected.sendall(delta(piece))
        except OSError:
            has_left.set()

    with serving(endless) as (_, expert):
        answer = expert.generate("x", max_new_tokens=9)
        assert answer.ended == "length"
        assert answer.text.startswith(piece * 3)
        assert len(answer.text.encode()) <= 9 * 64 + len(piece.encode())
        assert has_left.wait(60)


def test_a_server_that_thinks_without_an_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.experts.remote.reading._MOST_BODY_BYTES", 20_000)
    thought = event(index=0, delta={"reasoning_content": "hm"}, finish_reason=None)

    def thinking(connected: socket.socket) -> None:
        connected.sendall(STREAM)
        while True:
            connected.sendall(thought)

    with serving(thinking) as (server, expert):
        assert "it sent more than 20,000 bytes" in error_of(expert)
        assert len(server.asked) == 1


# What it cannot do, and how it is described


@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 2}, {"bad_words": ["a"]}, {"logprobs": 1}, {"window": "slide"}, {"regex": "a"}, {"choices": ["a"]},
     {"top_k": 3}, {"min_p": 0.1}, {"repetition_penalty": 1.1}],
    ids=str,
)  # fmt: skip
def test_a_setting_that_servers_lack_is_refused_by_name(settings: dict[str, Any]) -> None:
    with serving(said("a")) as (server, expert):
        for ask in (expert.generate, expert.stream):
            with pytest.raises(EngineError, match=f"a remote server has no {next(iter(settings))}="):
                ask("x", GenerationConfig(**settings))
        assert server.asked == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "ftp://x/v1"}, "needed is an address such as"),
        ({"base_url": "example.com"}, "needed is an address such as"),
        ({"base_url": "http://x:99999/v1"}, "base_url"),
        ({"base_url": "https://me:secret@x/v1"}, "an address holds no user, key or query"),
        ({"base_url": "https://x/v1?key=secret"}, "an address holds no user, key or query"),
        ({"base_url": "https://x/v1\r\nX: y"}, "base_url"),
        ({"api_key_env": "sk-secret"}, "the name of an environment variable"),
        ({"model": ""}, "model"),
        ({"first_token_seconds": 0}, "first_token_seconds"),
        ({"retries": 100}, "retries"),
        ({"extensions": ["top_kk"]}, "extensions"),
        ({"api_key": "secret"}, "unknown key 'api_key'"),
    ],
    ids=str,
)
def test_a_description_is_looked_at(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RemoteServer.from_mapping({"base_url": "https://x/v1", "model": "m", **settings})
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_place_without_a_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match=r"no remote.json at"):
        RemoteExpert.from_pretrained(tmp_path)
