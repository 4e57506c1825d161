"""What goes wrong is told in OpenAI's envelope, with a status of its own, and the server goes on."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from tests.serving.halls import Waiting, asked, call, config_of, council_server, waiting_server

from interconnected_ai.serving.faults import without_places

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("faults")
    config_of(home)
    with council_server(home, max_body_mb=0.05, max_choices=2, max_new_tokens=500) as address:
        yield address
        assert call(address, CHAT, asked())[0] == 200  # after all that


def envelope(found: Any) -> dict[str, Any]:
    assert set(found) == {"error"}
    error: dict[str, Any] = found["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return error


WRONG: dict[str, tuple[Any, int, str]] = {
    "no messages": ({"model": "code"}, 400, "the field 'messages' is missing"),
    "an empty conversation": (asked(messages=[]), 400, "messages"),
    "an unknown model": (asked(model="cod"), 404, "nearest first: code"),
    "a council that is too wide": (asked(model="council:0"), 404, "unknown model"),
    "an unknown field": (asked(temprature=1), 400, "unknown field 'temprature'"),
    "a number as text": (asked(temperature="1"), 400, "temperature"),
    "yes as a number": (asked(n=True), 400, "n"),
    "too hot": (asked(temperature=3), 400, "temperature"),
    "no choices": (asked(n=0), 400, "n"),
    "no choices, streamed": (asked(n=0, stream=True), 400, "n"),
    "too many choices": (asked(n=3), 400, "n: 3 choices"),
    "several answers of a council": (asked(model="council", n=2), 400, "a council has one answer"),
    "a picture": (asked(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), 400, "'image_url' cannot be read"),
    "a message of nobody's": (asked(messages=[{"role": "ghost", "content": "a"}]), 400, "messages.0.role"),
    "a user who says nothing": (asked(messages=[{"role": "user", "content": None}]), 400, "has a content"),
    "a question that is empty": (asked(model="council", messages=[{"role": "user", "content": " "}]), 400, "is empty"),
    "half a character": (b'{"model": "code", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, ""),
    "a model's name that is half a character": (b'{"model": "\\ud800", "messages": []}', 400, ""),
    "bytes that are no UTF-8": (b'{"model": "\xff\xfe"}', 400, ""),
    "no JSON": (b"{", 400, "the body is no JSON"),
    "a list": ([1], 400, ""),
    "nothing": (b"", 400, ""),
    "not a number": (b'{"model": "code", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}', 400, ""),
    "a number without an end": (b'{"seed": ' + b"9" * 6000 + b"}", 400, ""),
    "depth without an end": (b'{"messages": ' + b"[" * 20_000, 400, ""),
    "two lengths": (asked(max_completion_tokens=7), 400, "differ"),
    "a length beyond the server's": (asked(max_tokens=501), 400, "501 tokens are more"),
    "an answer longer than the window": (asked("word " * 900, max_tokens=400), 400, "window"),
    "a weight on no token": (asked(logit_bias={"x": 1}), 400, "logit_bias"),
    "a weight on a token that is not there": (asked(logit_bias={"999999": 1}), 400, "outside the vocabulary"),
    "too heavy a weight": (asked(logit_bias={"5": 101}), 400, "logit_bias"),
    "a tool that is not there": (asked(tool_choice="required"), 400, "no tools"),
    "a tool without a function": (asked(tools=[{"type": "function"}]), 400, "tools.0.function"),
    "a tool of another kind": (asked(tools=[{"type": "banana", "function": {"name": "f"}}]), 400, "tools.0.type"),
    "a function that is a text": (asked(tools=[{"type": "function", "function": "f"}]), 400, "tools.0.function"),
    "parameters as a text": (
        asked(tools=[{"type": "function", "function": {"name": "f", "parameters": "{}"}}]), 400, "parameters",
    ),
    "a function without a name": (asked(tools=[{"type": "function", "function": {"name": ""}}]), 400, "name"),
    "two functions of one name": (
        asked(tools=[{"type": "function", "function": {"name": "f"}}] * 2), 400, "two functions are called 'f'",
    ),
    "parameters that nothing meets": (
        asked(tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}}}],
              tool_choice="required"), 400, "",
    ),
    "a tool that is another's": (
        asked(tools=[{"type": "function", "function": {"name": "f"}}],
              tool_choice={"type": "function", "function": {"name": "g"}}), 400, "no tool is called 'g'",
    ),
    "the functions of long ago": (asked(functions=[{"name": "f"}]), 400, "unknown field 'functions'"),
    "to be kept": (asked(store=True), 400, "store"),
    "a schema that nothing meets": (
        asked(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nonsense"}}}), 400, "",
    ),
    "a schema without a schema": (asked(response_format={"type": "json_schema"}), 400, "response_format.json_schema"),
    "an expression that is none": (asked(regex="("), 400, "regex"),
    "a body that is too large": (asked("a" * 60_000), 413, "0.05 MB"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_cannot_be_is_refused_in_words(what: str, url: str) -> None:
    body, status, words = WRONG[what]
    got, headers, found = call(url, CHAT, body)
    error = envelope(found)
    assert (got, words in error["message"]) == (status, True), error
    assert headers["x-request-id"].startswith("req_")
    assert error["type"] in ("invalid_request_error", "not_found_error")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"])
def test_what_a_page_elsewhere_can_send_without_asking_is_no_request(kind: str, url: str) -> None:
    status, _, found = call(url, CHAT, json.dumps(asked()).encode(), headers={"content-type": kind})
    assert status in (400, 415)
    envelope(found)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/nothing", "GET", 404), ("/v1/nothing", "POST", 404), (CHAT, "GET", 405), (CHAT, "DELETE", 405), ("/a", "PUT", 404),
     ("/v1/models/none", "GET", 404), ("/healthz/x", "GET", 404)],
)  # fmt: skip
def test_paths_and_methods_that_are_not_there_are_told_in_the_envelope(
    path: str, method: str, status: int, url: str
) -> None:
    got, headers, found = call(url, path, method=method)
    assert got == status
    envelope(found)
    assert headers["x-request-id"]
    if status == 405:
        assert headers["allow"] == "POST"


def test_a_failure_before_the_first_piece_has_a_status_of_its_own_in_a_stream_too() -> None:
    expert = Waiting(breaks_at=0)
    expert.goes.release(9)
    with waiting_server(expert) as url:
        status, headers, found = call(url, CHAT, asked(model="waiting", stream=True))
        assert status == 503
        assert "the weights are gone" in envelope(found)["message"]
        assert headers["retry-after"]


def test_a_failure_in_the_midst_of_a_stream_is_an_event_that_clients_raise() -> None:
    expert = Waiting(breaks_at=2)
    expert.goes.release(9)
    with waiting_server(expert) as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
            chunks = client.chat.completions.create(
                model="waiting", messages=[{"role": "user", "content": "a"}], stream=True
            )
            read: list[str] = []
            with pytest.raises(openai.APIError, match="the weights are gone"):
                read.extend(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert "".join(read) == "0 1"
        expert.goes.release(9)
        status, _, raw = call(url, CHAT, asked(model="waiting", stream=True))
        assert status == 200
        lines = [line for line in raw.split(b"\n\n") if line]
        assert b'"error"' in lines[-2]
        assert lines[-1] == b"data: [DONE]"
        assert not any(b'"finish_reason":"stop"' in line for line in lines)


@pytest.mark.parametrize(("breaks_at", "stream"), [(0, False), (0, True), (2, True)])
def test_a_fault_of_the_server_tells_the_log_everything_and_the_client_nothing(
    breaks_at: int, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    expert = Waiting(breaks_at=breaks_at, error=RuntimeError("deep inside"))
    expert.goes.release(9)
    with caplog.at_level(logging.INFO, "interconnected_ai.serving"), waiting_server(expert) as url:
        status, headers, found = call(url, CHAT, asked(model="waiting", stream=stream))
        assert status == (200 if breaks_at else 500)
        text = found.decode() if isinstance(found, bytes) else json.dumps(found)
        assert "internal error" in text
        assert "deep inside" not in text
        assert call(url, "/healthz")[0] == 200
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    (line,) = [line for line in lines if line["id"] == headers["x-request-id"]]
    assert "Traceback" in line["fault"]
    assert "deep inside" in line["fault"]


def test_an_expert_whose_folder_is_gone_is_named_and_the_others_answer(tmp_path: Path) -> None:
    config_of(tmp_path)
    with council_server(tmp_path) as url:
        (tmp_path / "law" / "config.json").unlink()
        status, _, found = call(url, CHAT, asked(model="law"))
        assert status == 503
        assert "law" in envelope(found)["message"]
        assert str(tmp_path) not in json.dumps(found)  # where it stands is nothing for clients
        assert call(url, CHAT, asked(model="council"))[0] == 200
        told = call(url, CHAT, asked("the court", model="council"))[2]["interconnected_ai"]
        assert told["experts"] == ["general"]
        assert "law is set aside" in told["notices"][0]
        assert str(tmp_path) not in json.dumps(told)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/experts/law is no expert", "…/law is no expert"),
        ("cannot open '/a/b c/d.bin': gone", "cannot open '…/b c/d.bin': gone"),
        ("see http://127.0.0.1:8000/v1/models or 3/4 of it", "see http://127.0.0.1:8000/v1/models or 3/4 of it"),
        ("/x alone", "/x alone"),
    ],
)
def test_messages_name_things_and_not_where_they_stand(text: str, shown: str) -> None:
    assert without_places(text) == shown


LEGAL: dict[str, dict[str, Any]] = {
    "a schema that says which draft it is of": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "strict": False, "schema": {
                "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {},
                "additionalProperties": False,
            }},
        },
    },
    "null everywhere": dict.fromkeys(
        ("stream", "stream_options", "n", "top_p", "stop", "seed", "tools", "tool_choice", "response_format", "logit_bias",
         "logprobs", "top_logprobs", "user", "metadata", "presence_penalty", "max_completion_tokens", "session", "regex"),
    ),
    "nothing to stop at": {"stop": ""},
    "no strings to stop at": {"stop": []},
    "a seed below nothing": {"seed": -(2**63)},
    "the largest seed": {"seed": 2**63 - 1, "temperature": 1},
    "whole numbers for parts": {"temperature": 0, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0},
    "nothing of the nucleus": {"top_p": 0, "temperature": 1},
    "tools that may not be called": {"tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": "none"},
    "no tools": {"tools": []},
    "an answer that is text": {"response_format": {"type": "text"}},
    "both lengths alike": {"max_tokens": 8, "max_completion_tokens": 8},
    "a mark of the cache's": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}]
    },
    "an empty part": {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
    "only what the system says": {"messages": [{"role": "system", "content": "a"}]},
    "two systems": {"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"},
                                 {"role": "user", "content": "c"}]},
    "an answer to go on from": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "control words as text": {"messages": [{"role": "user", "content": "<tool_call> </s> \u0000 \ufeff 👩‍👩‍👧"}]},
    "streamed": {"stream": True, "stream_options": {"include_usage": False}},
}  # fmt: skip


@pytest.mark.parametrize("what", LEGAL)
def test_what_is_odd_and_legal_is_answered(what: str, url: str) -> None:
    status, _, found = call(url, CHAT, {**asked(), **LEGAL[what]})
    assert status == 200, found


def test_a_body_with_any_type_of_json_and_letters_is_read(url: str) -> None:
    body = json.dumps(asked("привет"), ensure_ascii=False).encode()
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"):
        assert call(url, CHAT, body, headers={"content-type": kind})[0] == 200
