"""What clients of other servers stumbled over, in public: finish reasons, indices, odd bodies, headers and addresses."""

import gzip
import http.client
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from tests.serving.halls import JSON, Waiting, asked, call, config_of, council_of, council_server, waiting_server

from interconnected_ai.config import ServingConfig
from interconnected_ai.serving import Hall, KeyFile, ServerThread

CHAT, WRITE, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"town": {"enum": ["Riga", "Rome"]}},
            "additionalProperties": False,
        },
    },
}
NAMED: dict[str, Any] = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("habits")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home, {"seed": "general"}, max_choices=4) as address:
        yield address
        assert call(address, CHAT, asked())[0] == 200


def chunks_of(url: str, body: dict[str, Any], path: str = CHAT) -> list[dict[str, Any]]:
    status, _, raw = call(url, path, {**body, "stream": True})
    assert status == 200, raw
    parts = [part for part in raw.split(b"\n\n") if part]
    assert parts[-1] == b"data: [DONE]"
    assert all(part.startswith(b"data: {") for part in parts[:-1])  # nothing that is no chunk: no events of our own
    return [json.loads(part[6:]) for part in parts[:-1]]


# Finish reasons and indices


@pytest.mark.parametrize(
    "more",
    [{}, {"n": 3, "temperature": 1}, {"model": "council"}, {"tools": [TOOL]}, {"tools": []}, {"logprobs": True},
     {"stream_options": {"include_usage": True}, "n": 2}, {"max_tokens": 1}, {"stop": ["e", "a"], "max_tokens": 60}],
)  # fmt: skip
def test_every_choice_of_a_stream_ends_once_and_is_null_before(url: str, more: dict[str, Any]) -> None:
    chunks = chunks_of(url, asked(**more))
    number = more.get("n", 1)
    ends = dict.fromkeys(range(number), 0)
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            assert "finish_reason" in choice
            assert "delta" in choice
            assert choice["finish_reason"] in (None, "stop", "length")  # never empty, never left out
            assert not ends[choice["index"]]  # nothing comes of a choice after its end
            if choice["finish_reason"] is not None:
                ends[choice["index"]] += 1
                assert choice["delta"] == {}  # what it ends with has words in another chunk
    assert set(ends.values()) == {1}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    first = {choice["index"]: choice["delta"] for chunk in reversed(chunks) for choice in chunk["choices"]}
    assert all(delta["role"] == "assistant" for delta in first.values())
    has_usage = ["usage" in chunk and chunk["usage"] is not None for chunk in chunks]
    wants_usage = "stream_options" in more
    assert has_usage == [False] * (len(chunks) - 1) + [wants_usage]
    assert (chunks[-1]["choices"] == []) is wants_usage


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("max_tokens", [1, 3, 8, 200])
def test_a_call_that_is_cut_short_ends_as_length_in_one_piece_and_in_many(
    url: str, choice: Any, max_tokens: int
) -> None:
    pytest.importorskip("llguidance")
    body = asked("the weather", tools=[TOOL], tool_choice=choice, max_tokens=max_tokens)
    whole = call(url, CHAT, body)[2]["choices"][0]
    chunks = chunks_of(url, body)
    calls = [each for chunk in chunks for each in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert {each["index"] for each in calls} <= {0}
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    told = whole["message"].get("tool_calls") or []
    assert "".join(each["function"].get("arguments", "") for each in calls) == "".join(
        each["function"]["arguments"] for each in told
    )
    if max_tokens < 200:
        assert whole["finish_reason"] == "length"
    else:
        assert whole["finish_reason"] == ("tool_calls" if choice == "required" else "stop")
        json.loads(told[0]["function"]["arguments"])


def test_a_whole_answer_has_all_that_clients_look_for(url: str) -> None:
    found = call(url, CHAT, asked(n=2, temperature=1))
    assert found[1]["content-type"] == "application/json"
    assert [choice["index"] for choice in found[2]["choices"]] == [0, 1]
    usage = found[2]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert isinstance(found[2]["created"], int)
    assert "tool_calls" not in found[2]["choices"][0]["message"]  # an empty list is taken for a call by some


def test_a_continued_text_with_its_prompt_streams_as_it_is_whole(url: str) -> None:
    body = {"model": "code", "prompt": ["a b", "c"], "max_tokens": 5, "temperature": 0, "echo": True}
    whole = [choice["text"] for choice in call(url, WRITE, body)[2]["choices"]]
    texts = ["", ""]
    for chunk in chunks_of(url, body, WRITE):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == whole
    assert [text[: len(prompt)] for text, prompt in zip(texts, ("a b", "c"), strict=True)] == ["a b", "c"]


@pytest.mark.parametrize("top", [None, 0, 2])
def test_log_probabilities_have_their_form_with_and_without_the_likeliest(url: str, top: int | None) -> None:
    body = asked(logprobs=True, **({} if top is None else {"top_logprobs": top}))
    for one in call(url, CHAT, body)[2]["choices"][0]["logprobs"]["content"]:
        assert set(one) == {"token", "logprob", "bytes", "top_logprobs"}
        assert len(one["top_logprobs"]) == (top or 0)
    assert call(url, CHAT, asked(top_logprobs=0))[0] == 200
    assert call(url, CHAT, asked(top_logprobs=0, logprobs=False))[2]["choices"][0]["logprobs"] is None


# Bodies


NULLS = dict.fromkeys(
    ("stream_options", "functions", "function_call", "tools", "tool_choice", "response_format", "audio", "modalities",
     "prediction", "reasoning_effort", "verbosity", "web_search_options", "store", "n", "stop", "logprobs", "metadata"),
)  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_null_is_the_same_as_absent_of_whatever_field(url: str, stream: bool) -> None:
    plain = call(url, CHAT, asked())[2]["choices"][0]["message"]
    assert call(url, CHAT, {**asked(), **NULLS})[2]["choices"][0]["message"] == plain
    assert call(url, CHAT, {**asked(), **NULLS, "stream": stream})[0] == 200
    tool = {"type": "function", "function": {**TOOL["function"], "description": None, "strict": None}}
    assert call(url, CHAT, asked(tools=[tool], tool_choice="auto"))[0] == 200
    anthropic = {"model": "code", "max_tokens": 4, "messages": [{"role": "user", "content": "a"}]}
    assert call(url, MESSAGES, {**anthropic, "system": None, "thinking": None, "container": None})[0] == 200
    assert call(url, WRITE, {"model": "code", "prompt": "a", "max_tokens": 4, "suffix": None, "user": None})[0] == 200


HISTORIES: dict[str, list[dict[str, Any]]] = {
    "calls without words": [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **NAMED | {"function": {
            "name": "weather", "arguments": "{}"}}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ],
    "calls without a name for them": [
        {"role": "assistant", "content": "", "tool_calls": [{"id": None, "type": "function", "function": {
            "name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": None, "content": "rain"},
    ],
    "words in parts beside calls": [
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}], "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ],
    "two calls at once": [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": f"c{number}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            for number in range(2)]},
        {"role": "tool", "tool_call_id": "c0", "content": "rain"}, {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ],
    "a result that is nothing": [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {
            "name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": None},
    ],
    "no calls": [{"role": "assistant", "content": "yes", "tool_calls": []}, {"role": "user", "content": "and?"}],
    "null calls": [{"role": "assistant", "content": "yes", "tool_calls": None}, {"role": "user", "content": "and?"}],
    "no parts": [{"role": "assistant", "content": []}, {"role": "user", "content": [{"type": "text", "text": "and?"}]}],
}  # fmt: skip


@pytest.mark.parametrize("model", ["code", "council"])
@pytest.mark.parametrize("what", HISTORIES)
def test_conversations_with_calls_in_every_spelling_are_read(what: str, model: str, url: str) -> None:
    messages = [{"role": "user", "content": "a traceback"}, *HISTORIES[what]]
    for tools in ([], [TOOL]):
        status, _, found = call(url, CHAT, asked(model=model, messages=messages, tools=tools))
        assert status == 200, found


def test_a_body_begins_with_a_mark_of_its_letters_or_not(url: str) -> None:
    text = json.dumps(asked("привет"), ensure_ascii=False)
    wanted = call(url, CHAT, text.encode())[2]["choices"]
    assert call(url, CHAT, text.encode("utf-8-sig"))[2]["choices"] == wanted
    for kind in ("application/json; charset=utf-8", 'application/json;charset="UTF-8"', "Application/JSON ; a=b"):
        assert call(url, CHAT, text.encode(), headers={"content-type": kind})[2]["choices"] == wanted


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"a"', b"1", b"{} {}", json.dumps(asked()).encode() + b"x", b"\xff"]
)
@pytest.mark.parametrize("path", [CHAT, WRITE, MESSAGES, "/v1/responses", "/v1/embeddings", "/v1/classify"])
def test_what_is_no_object_of_json_is_refused(body: bytes, path: str, url: str) -> None:
    status, _, told = call(url, path, body)
    assert status == 400
    assert told["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/responses", "/v1/classify"])
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]
)
def test_json_that_does_not_say_so_is_told_what_to_say(kind: str | None, path: str, url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    try:
        connection.request("POST", path, json.dumps(asked()), {} if kind is None else {"content-type": kind})
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    assert answer.status == 415
    assert "Content-Type: application/json" in told["error"]["message"]


@pytest.mark.parametrize("packed", ["gzip", "br", "deflate, gzip"])
def test_a_packed_body_is_told_to_come_unpacked(packed: str, url: str) -> None:
    body = gzip.compress(json.dumps(asked()).encode())
    status, _, told = call(url, CHAT, body, headers={"content-encoding": packed})
    assert (status, told["error"]["code"]) == (415, "unsupported_encoding")
    plain = json.dumps(asked()).encode()
    assert call(url, CHAT, plain, headers={"content-encoding": "identity"})[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CHAT, asked(max_tokens=0), "max_tokens"),
        (CHAT, asked(max_tokens=-1), "max_tokens"),
        (WRITE, {"model": "code", "prompt": "a", "max_tokens": 0}, "max_tokens"),
        (CHAT, asked(messages=[{"role": "user", "content": 5}]), "messages.0.content"),
        (CHAT, asked(messages=[{"role": "user", "content": [{"text": "a"}]}]), "messages.0.content.0.type"),
        (CHAT, asked(tool_choice={"type": "function", "function": {}}, tools=[TOOL]), "tool_choice.function.name"),
        ("/v1/responses", {"model": "code", "input": [{"role": "user", "content": [{"text": "a"}]}]}, "input.0.content.0.type"),
        (MESSAGES, {"model": "code", "max_tokens": 4, "messages": [{"role": "user", "content": [{"text": "a"}]}]},
         "messages.0.content.0.type"),
    ],
)  # fmt: skip
def test_a_mistake_within_a_field_of_several_kinds_is_named_where_it_stands(
    path: str, body: dict[str, Any], field: str, url: str
) -> None:
    status, _, told = call(url, path, body)
    assert (status, told["error"]["param"]) == (400, field), told


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": {"$defs": {}, "type": "object"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array", "items": {"type": "integer"},
                                                                      "maxItems": 2}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["x", 1, None]}}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("model", ["code", "council"])
def test_a_form_is_kept_to_or_refused_and_never_passed_over(wanted: dict[str, Any], model: str, url: str) -> None:
    pytest.importorskip("llguidance")
    found = call(url, CHAT, asked(response_format=wanted, model=model, max_tokens=200, seed=1, temperature=1))[2]
    choice = found["choices"][0]
    if wanted["type"] != "text" and choice["finish_reason"] == "stop":
        read = json.loads(choice["message"]["content"])
        if wanted["type"] == "json_object":
            assert isinstance(read, dict)
    misplaced = {"type": "json_schema", "schema": {"type": "object"}}
    assert call(url, CHAT, asked(response_format=misplaced))[2]["error"]["param"] == "response_format.schema"


# Streams


def test_a_silent_stream_has_comments_that_end_no_event() -> None:
    """An empty line behind a comment makes some readers take it for an event without data."""
    expert = Waiting()
    with waiting_server(expert, ping_seconds=0.02) as address:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request("POST", CHAT, json.dumps(asked(model="waiting", stream=True)), JSON)
            answer = connection.getresponse()
            lines = []
            while sum(line == b": ping\n" for line in lines) < 3:
                lines.append(answer.readline())
            expert.goes.release(3)
            lines += answer.read().splitlines(keepends=True)
        finally:
            connection.close()
    for before, line in pairwise(lines):
        assert line != b"\n" or before.startswith(b"data: ")
    assert lines[-2] == b"data: [DONE]\n"


def test_a_stream_that_cannot_begin_has_a_status_and_ends() -> None:
    with waiting_server(Waiting(1)) as address:
        for body in (asked(model="waiting", stream=True, n=0), asked(model="nobody", stream=True), {"stream": True}):
            status, headers, told = call(address, CHAT, body)
            assert status in (400, 404)
            assert headers["content-type"] == "application/json"
            assert told["error"]["message"]


# Addresses, methods, keys


@pytest.mark.parametrize(
    "path", ["/v1//chat/completions", "//v1/chat/completions", "/v1/chat/completions/", "/v1/chat//completions//"]
)
def test_slashes_too_many_lead_to_the_same_path(path: str, url: str) -> None:
    assert call(url, path, asked())[2]["choices"] == call(url, CHAT, asked())[2]["choices"]
    assert call(url, path.replace("chat/completions", "models"))[0] in (200, 404, 405)
    assert call(url, "/v1/models/")[2] == call(url, "/v1/models")[2]


def test_slashes_too_many_open_nothing(home: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("ann", scopes=["chat"])[1]
    with council_of(home) as council:
        config = ServingConfig(port=0, drain_seconds=1.0, keys=str(keys.path))
        with ServerThread(Hall(council=council), config) as server:
            for path in ("//v1//models", "/v1/models//", "//metrics", "/v1//memory/stats", "//healthz/../v1/models"):
                assert call(server.url, path)[0] in (401, 404)
            assert call(server.url, "//metrics", headers={"authorization": f"Bearer {secret}"})[0] == 403
            assert call(server.url, "//v1//chat/completions", asked())[0] == 401


@pytest.mark.parametrize(
    "spelled", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} ", "{}"],
)  # fmt: skip
def test_a_key_is_known_in_every_spelling_of_its_header(spelled: str, home: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("ann", scopes=["chat"])[1]
    with council_of(home) as council:
        config = ServingConfig(port=0, drain_seconds=1.0, keys=str(keys.path))
        with ServerThread(Hall(council=council), config) as server:
            assert call(server.url, "/v1/models", headers={"authorization": spelled.format(secret)})[0] == 200
            assert call(server.url, "/v1/models", headers={"x-api-key": secret})[0] == 200
            for wrong in ("Bearer", "Bearer ", "Basic " + secret, spelled.format(secret.upper()), "", "Bearer x y"):
                assert call(server.url, "/v1/models", headers={"authorization": wrong})[0] == 401


def test_head_is_get_without_its_body(url: str) -> None:
    parts = urlsplit(url)
    for path, status in (("/v1/models", 200), ("/healthz", 200), ("/v1/nothing", 404), (CHAT, 405)):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (status, b"")
            connection.request("GET", "/healthz")  # the connection is whole
            assert connection.getresponse().read()
        finally:
            connection.close()
    assert call(url, CHAT, method="OPTIONS")[0] == 405


def test_an_address_that_lacks_its_beginning_or_has_it_twice_is_told_what_it_needs(url: str) -> None:
    for path in ("/chat/completions", "/v1/v1/chat/completions"):
        status, _, told = call(url, path, asked())
        assert status == 404
        assert "ends in /v1, once" in told["error"]["message"]
    with openai.OpenAI(base_url=f"{url}/v1/", api_key="-", max_retries=0) as client:
        assert client.models.list().data


# Anthropic's dialect


def test_blocks_of_the_system_and_results_in_blocks_are_read_and_counted(url: str) -> None:
    plain: dict[str, Any] = {"model": "code", "messages": [{"role": "user", "content": "a"}]}
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]
    tool = {"name": "weather", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"town": "Riga"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "rain and wind"}]},
            {"type": "text", "text": "and now?"}]},
    ]  # fmt: skip
    counted = [
        call(url, f"{MESSAGES}/count_tokens", body)[2]["input_tokens"]
        for body in (plain, {**plain, "system": system}, {**plain, "system": system, "tools": [tool]},
                     {**plain, "system": system, "tools": [tool], "messages": history})
    ]  # fmt: skip
    assert counted == sorted(set(counted))  # each part is more
    for stop_reason in ({"max_tokens": 1}, {"max_tokens": 40}):
        whole = {**plain, "system": system, "tools": [tool], "messages": history, **stop_reason}
        found = call(url, f"{MESSAGES}?beta=true", whole)[2]
        usage = found["usage"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted[-1]
        assert found["stop_reason"] in ("max_tokens", "end_turn", "tool_use")
        assert found["stop_sequence"] is None


def test_a_streamed_call_of_anthropics_has_its_arguments(url: str) -> None:
    pytest.importorskip("llguidance")
    tool = {"name": "weather", "input_schema": TOOL["function"]["parameters"] | {"required": ["town"]}}
    body = {
        "model": "code", "max_tokens": 200, "temperature": 0, "messages": [{"role": "user", "content": "a town"}],
        "tools": [tool], "tool_choice": {"type": "tool", "name": "weather"},
    }  # fmt: skip
    whole = call(url, MESSAGES, body)[2]["content"][0]
    raw = call(url, MESSAGES, {**body, "stream": True})[2].decode()
    events = [json.loads(part.split("data: ")[1]) for part in raw.strip().split("\n\n")]
    pieces = [each["delta"]["partial_json"] for each in events if each["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == whole["input"]
    (begun,) = [each for each in events if each["type"] == "content_block_start"]
    assert begun["content_block"]["input"] == {}
    assert begun["content_block"]["type"] == "tool_use"
