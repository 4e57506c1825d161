"""Anthropic's own client talks with a server of tiny experts, and finds what it would find at Anthropic's."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")
pytest.importorskip("anthropic")

import anthropic
from tests.serving.halls import WORDS, Waiting, call, config_of, council_server, waiting_server

from interconnected_ai.experts import Expert
from interconnected_ai.types import ChatMessage

# Their client has left `temperature` to the body; servers take it still.
LIKELIEST: dict[str, Any] = {"extra_body": {"temperature": 0.0}}
GREEDY: dict[str, Any] = {"max_tokens": 24, **LIKELIEST}
TOOLS: list[Any] = [
    {
        "name": "weather",
        "description": "The weather in a town",
        "input_schema": {
            "type": "object",
            "properties": {"town": {"enum": ["Riga", "Rome"]}},
            "required": ["town"],
            "additionalProperties": False,
        },
    },
    {"name": "now", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}},
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("spoken")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home, {"seed": "general"}) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=url, api_key="none needed", max_retries=0) as made:
        yield made


def said(*texts: str) -> list[Any]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def alone(home: Path, name: str, messages: list[ChatMessage], **settings: Any) -> Any:
    with Expert.from_pretrained(home / name) as expert:
        return expert.chat(messages, temperature=0.0, **settings)


def test_an_expert_answers_as_it_does_here(client: Any, home: Path) -> None:
    answer = client.messages.create(model="code", system="Be brief.", messages=said("a traceback"), **GREEDY)
    here = alone(
        home, "code", [ChatMessage("system", "Be brief."), ChatMessage("user", "a traceback")], max_new_tokens=24
    )
    assert [(block.type, block.text) for block in answer.content] == [("text", here.message.content)]
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "code")
    assert answer.stop_reason == ("max_tokens" if here.generation.ended == "length" else "end_turn")
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens == here.num_prompt_tokens
    assert answer.usage.output_tokens == len(here.generation.token_ids)


def test_blocks_and_runs_of_one_role_are_one_message(client: Any) -> None:
    whole = client.messages.create(model="code", messages=said("one\ntwo\nthree"), **GREEDY)
    parts = client.messages.create(
        model="code",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "three"}]},
        ],
        **GREEDY,
    )
    assert parts.content[0].text == whole.content[0].text


@pytest.mark.parametrize("model", ["code", "council"])
def test_the_events_of_a_stream_are_the_whole_answer(client: Any, url: str, model: str) -> None:
    whole = client.messages.create(model=model, messages=said("a traceback"), **GREEDY)
    with client.messages.stream(model=model, messages=said("a traceback"), **GREEDY) as stream:
        kinds = [each.type for each in stream if each.type not in ("text", "input_json")]
        last = stream.get_final_message()
    assert last.content[0].text == whole.content[0].text
    assert last.stop_reason == whole.stop_reason
    assert last.usage.output_tokens == whole.usage.output_tokens
    assert (kinds[0], kinds[1]) == ("message_start", "content_block_start")
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    raw = call(url, "/v1/messages", {"model": model, "messages": said("hi"), "max_tokens": 4, "stream": True})[2]
    for part in raw.decode().strip().split("\n\n"):
        name, data = part.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")


def test_a_stop_sequence_is_named_and_never_seen(client: Any, home: Path) -> None:
    tokens = alone(home, "law", [ChatMessage("user", "hello")], max_new_tokens=60).generation.token_ids
    text = WORDS.decode(tokens)
    stop = next(
        part for place in range(12, len(text)) if (part := text[place : place + 3]).isascii() and part.isprintable()
    )
    expected = text[: text.index(stop)].strip()
    settings = {"model": "law", "messages": said("hello"), "max_tokens": 60, **LIKELIEST}
    answer = client.messages.create(stop_sequences=["never said", stop], **settings)
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", stop)
    assert answer.content[0].text == expected
    with client.messages.stream(stop_sequences=["never said", stop], **settings) as stream:
        last = stream.get_final_message()
    assert (last.stop_reason, last.stop_sequence) == ("stop_sequence", stop)
    assert last.content[0].text == expected


def test_a_call_is_made_sent_back_and_answered(client: Any) -> None:
    pytest.importorskip("llguidance")
    settings: dict[str, Any] = {"model": "code", "max_tokens": 200, "tools": TOOLS, **LIKELIEST}
    answer = client.messages.create(messages=said("a town"), tool_choice={"type": "any"}, **settings)
    (used,) = answer.content
    assert (used.type, answer.stop_reason) == ("tool_use", "tool_use")
    assert used.name in ("weather", "now")
    named = client.messages.create(messages=said("a town"), tool_choice={"type": "tool", "name": "weather"}, **settings)
    assert named.content[0].input["town"] in ("Riga", "Rome")
    with client.messages.stream(
        messages=said("a town"), tool_choice={"type": "tool", "name": "weather"}, **settings
    ) as stream:
        last = stream.get_final_message()
    assert (last.content[0].name, last.content[0].input) == ("weather", named.content[0].input)
    assert last.stop_reason == "tool_use"
    after = client.messages.create(
        messages=[
            *said("a town"),
            {"role": "assistant", "content": [each.model_dump() for each in named.content]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": named.content[0].id, "content": [{"type": "text", "text": "rain"}]}
            ]},
        ],
        **{**settings, "max_tokens": 8, "tool_choice": {"type": "none"}},
    )  # fmt: skip
    assert after.content[0].type == "text"


def test_tokens_are_counted_as_the_model_reads_them(client: Any) -> None:
    messages = said("a traceback", "an answer", "and then?")
    counted = client.messages.count_tokens(model="code", system="Be brief.", messages=messages).input_tokens
    answer = client.messages.create(model="code", system="Be brief.", messages=messages, **GREEDY)
    assert counted == answer.usage.input_tokens + answer.usage.cache_read_input_tokens
    with_tools = client.messages.count_tokens(model="code", system="Be brief.", messages=messages, tools=TOOLS)
    assert with_tools.input_tokens > counted
    assert client.messages.count_tokens(model="council", messages=messages).input_tokens > 0


def test_an_answer_is_held_to_a_schema(client: Any) -> None:
    pytest.importorskip("llguidance")
    form = {"type": "json_schema", "schema": TOOLS[0]["input_schema"]}
    answer = client.messages.create(
        model="code", messages=said("a town"), max_tokens=200, output_config={"format": form}, **LIKELIEST
    )
    assert json.loads(answer.content[0].text)["town"] in ("Riga", "Rome")


def test_the_asynchronous_client_streams_too(url: str) -> None:
    async def ask() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as client,
            client.messages.stream(model="council", messages=said("the court"), **GREEDY) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert isinstance(asyncio.run(ask()), str)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": said("a", "b")}, "begun for a model"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "type 'image'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"tools": [{"name": "f"}]}, "input_schema"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "two functions"),
        ({"tool_choice": {"type": "any"}}, "no tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "g"}}, "'g'"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "do not think"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "ask for less"),
        ({"temperature": 1.5}, "temperature"),
        ({"container": "x"}, "container"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
def test_what_cannot_be_is_refused_in_their_envelope(url: str, more: dict[str, Any], words: str) -> None:
    body = {"model": "code", "messages": said("hi"), "max_tokens": 4, **more}
    status, headers, told = call(url, "/v1/messages", body)
    assert status == 400
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert words in told["error"]["message"]
    assert headers["x-request-id"]


def test_errors_are_those_that_the_client_knows(client: Any, url: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nearest first: code"):
        client.messages.create(model="cod", messages=said("hi"), **GREEDY)
    assert call(url, "/v1/messages", b"{not json")[2]["error"]["type"] == "invalid_request_error"
    status, _, told = call(url, "/v1/messages", method="GET")
    assert (status, told["type"]) == (405, "error")


def test_an_error_in_the_middle_of_a_stream_is_an_event_of_its_own() -> None:
    expert = Waiting(3, breaks_at=1)
    expert.goes.release(3)
    with waiting_server(expert) as address:
        body = {"model": "waiting", "messages": said("hi"), "max_tokens": 4, "stream": True}
        raw = call(address, "/v1/messages", body)[2].decode()
        assert raw.strip().split("\n\n")[-1].startswith("event: error\n")
        assert "message_stop" not in raw
        with anthropic.Anthropic(base_url=address, api_key="x", max_retries=0) as client:
            expert.goes.release(3)
            with (
                pytest.raises(anthropic.APIStatusError, match="weights are gone"),
                client.messages.stream(model="waiting", messages=said("hi"), max_tokens=4) as stream,
            ):
                stream.until_done()
