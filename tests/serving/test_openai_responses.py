"""`/v1/responses` as OpenAI's own client and description know it: events in order, what is kept, and for whom."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from pydantic import BaseModel
from tests.serving.halls import Waiting, call, config_of, council_of, council_server, waiting_server
from tests.serving.openapi_schemas import fields_of, validate

from interconnected_ai.config import ServingConfig
from interconnected_ai.serving import Hall, KeyFile, ServerThread
from interconnected_ai.serving.openai.responses.asked import ResponseRequest

PATH = "/v1/responses"
LIKELIEST: dict[str, Any] = {"temperature": 0}
GREEDY: dict[str, Any] = {"max_output_tokens": 24, **LIKELIEST}
OURS = {"session", "width", "role", "top_k", "min_p", "repetition_penalty", "regex", "stop", "seed"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a town",
    "parameters": {
        "type": "object",
        "properties": {"town": {"enum": ["Riga", "Rome"]}},
        "required": ["town"],
        "additionalProperties": False,
    },
    "strict": True,
}
NOW: dict[str, Any] = {"type": "function", "name": "now"}
SCHEMA_OF = {
    "response.created": "ResponseCreatedEvent",
    "response.in_progress": "ResponseInProgressEvent",
    "response.output_item.added": "ResponseOutputItemAddedEvent",
    "response.content_part.added": "ResponseContentPartAddedEvent",
    "response.output_text.delta": "ResponseTextDeltaEvent",
    "response.output_text.done": "ResponseTextDoneEvent",
    "response.content_part.done": "ResponseContentPartDoneEvent",
    "response.output_item.done": "ResponseOutputItemDoneEvent",
    "response.function_call_arguments.delta": "ResponseFunctionCallArgumentsDeltaEvent",
    "response.function_call_arguments.done": "ResponseFunctionCallArgumentsDoneEvent",
    "response.completed": "ResponseCompletedEvent",
    "response.incomplete": "ResponseIncompleteEvent",
    "response.failed": "ResponseFailedEvent",
}


class Town(BaseModel):
    name: Literal["Riga", "Rome"]
    is_large: bool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("responding")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home, {"seed": "general"}, state=str(home / "state")) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as made:
        yield made


def asked(said: Any = "a traceback", **more: Any) -> dict[str, Any]:
    return {"model": "code", "input": said, **GREEDY, **more}


def events_of(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events as they came, each beside its name."""
    status, headers, raw = call(url, PATH, {**body, "stream": True})
    assert status == 200, raw
    assert headers["content-type"].startswith("text/event-stream")
    found = []
    for part in raw.decode().strip().split("\n\n"):
        name, data = part.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert found[-1]["type"] == name.removeprefix("event: ")
    return found


def test_a_response_is_the_answer_that_a_conversation_gets(client: openai.OpenAI) -> None:
    for model in ("code", "council"):
        response = client.responses.create(model=model, instructions="Be brief.", input="a traceback", **GREEDY)
        messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a traceback"},
        ]
        chat = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=24)
        assert response.output_text == chat.choices[0].message.content
        assert response.usage is not None
        assert chat.usage is not None
        assert response.usage.input_tokens == chat.usage.prompt_tokens
        assert response.usage.output_tokens == chat.usage.completion_tokens
        assert response.status == ("incomplete" if chat.choices[0].finish_reason == "length" else "completed")
        assert (response.instructions, response.model) == ("Be brief.", model)
    assert response.model_extra["interconnected_ai"]["experts"] == ["code"]  # type: ignore[index]


def test_a_response_that_its_limit_cut_short_is_incomplete_and_says_why(client: openai.OpenAI) -> None:
    response = client.responses.create(model="law", input="hello", max_output_tokens=1, **LIKELIEST)
    assert (response.status, response.completed_at) == ("incomplete", None)
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["code", "council"])
def test_the_events_come_in_openais_order_and_are_the_whole_response(url: str, model: str) -> None:
    whole = call(url, PATH, asked(model=model))[2]
    events = events_of(url, asked(model=model))
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    kinds = [each["type"].removeprefix("response.") for each in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * deltas,
        "output_text.done", "content_part.done", "output_item.done", whole["status"],
    ]  # fmt: skip
    text = whole["output"][0]["content"][0]["text"]
    assert "".join(each["delta"] for each in events if "delta" in each) == text
    assert next(each["text"] for each in events if "text" in each) == text
    last = events[-1]["response"]
    assert last["output"][0]["content"] == whole["output"][0]["content"]
    assert len({each["response"]["id"] for each in events if "response" in each}) == 1
    items = {each["item_id"] for each in events if "item_id" in each}
    assert items | {each["item"]["id"] for each in events if "item" in each} == {last["output"][0]["id"]}
    assert events[0]["response"]["status"] == "in_progress"
    assert call(url, f"{PATH}/{last['id']}")[2] == last


def test_the_clients_own_gathering_of_a_stream_finds_the_whole_response(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="code", input="a traceback", max_output_tokens=400, **LIKELIEST)
    with client.responses.stream(model="code", input="a traceback", max_output_tokens=400, **LIKELIEST) as stream:
        texts = [each.snapshot for each in stream if each.type == "response.output_text.delta"]
        if whole.status == "completed":  # their client has no final response of one that is incomplete
            assert stream.get_final_response().output_text == whole.output_text
    assert texts[-1] == whole.output_text


def test_an_event_loop_reads_responses_too(url: str, client: openai.OpenAI) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as asking:
            stream = await asking.responses.create(model="law", input="hello", stream=True, **GREEDY)
            return "".join([each.delta async for each in stream if each.type == "response.output_text.delta"])

    assert asyncio.run(ask()) == client.responses.create(model="law", input="hello", **GREEDY).output_text


def test_a_pydantic_model_is_parsed_from_a_response_that_is_held_to_it(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    parsed = client.responses.parse(model="code", input="a town", text_format=Town, max_output_tokens=200, **LIKELIEST)
    assert isinstance(parsed.output_parsed, Town)
    with client.responses.stream(
        model="code", input="a town", text_format=Town, max_output_tokens=200, **LIKELIEST
    ) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Town)


# Conversations


def test_the_next_turn_goes_on_from_the_response_that_it_names(client: openai.OpenAI) -> None:
    for model in ("general", "council"):
        first = client.responses.create(model=model, instructions="One.", input="one two three", **GREEDY)
        second = client.responses.create(
            model=model, instructions="Two.", input="go on", previous_response_id=first.id, **GREEDY
        )
        third = client.responses.create(model=model, input="and on", previous_response_id=second.id, **GREEDY)
        messages: list[Any] = [
            {"role": "user", "content": "one two three"},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "go on"},
        ]
        chat = client.chat.completions.create(
            model=model, messages=[{"role": "system", "content": "Two."}, *messages], temperature=0, max_tokens=24
        )
        assert second.output_text == chat.choices[0].message.content
        messages += [
            {"role": "assistant", "content": second.output_text},
            {"role": "user", "content": "and on"},
        ]
        chat = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=24)
        assert third.output_text == chat.choices[0].message.content
        assert third.instructions is None
        assert third.previous_response_id == second.id


def test_the_next_turn_does_not_read_the_conversation_again(client: openai.OpenAI) -> None:
    first = client.responses.create(model="law", input="one two three four five", **GREEDY)
    second = client.responses.create(model="law", input="go on", previous_response_id=first.id, **GREEDY)
    assert second.usage is not None
    assert 0 < second.usage.input_tokens_details.cached_tokens < second.usage.input_tokens


def test_items_of_every_kind_are_read(client: openai.OpenAI) -> None:
    called = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"town": "Riga"}'}
    items: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "How is it"}, {"type": "input_text", "text": "in Riga?"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a thought"}]},
        {"role": "assistant", "type": "message", "id": "msg_1", "status": "completed", "content": [
            {"type": "output_text", "text": "I look.", "annotations": []},
        ]},
        called,
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot say."}]},
        {"role": "user", "content": "and now?"},
    ]  # fmt: skip
    function = {"name": "weather", "arguments": '{"town": "Riga"}'}
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is it\nin Riga?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "call_1", "type": "function", "function": function}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "assistant", "content": "I cannot say."},
        {"role": "user", "content": "and now?"},
    ]  # fmt: skip
    response = client.responses.create(model="code", input=items, **GREEDY)
    chat = client.chat.completions.create(model="code", messages=messages, temperature=0, max_tokens=24)
    assert response.output_text == chat.choices[0].message.content
    listed = list(client.responses.input_items.list(response.id, order="asc"))
    assert [each.type for each in listed] == [
        "message", "message", "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip
    assert len({each.id for each in listed}) == 7
    counted = client.responses.input_tokens.count(model="code", input=items)
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens


def test_an_item_that_was_told_before_may_be_sent_by_its_id(client: openai.OpenAI) -> None:
    first = client.responses.create(model="code", input="one two", **GREEDY)
    said: list[Any] = [{"role": "user", "content": "one two"}]
    go_on = {"role": "user", "content": "go on"}
    whole = client.responses.create(
        model="code", input=[*said, {"role": "assistant", "content": first.output_text}, go_on], **GREEDY
    )
    named: list[Any] = [*said, {"type": "item_reference", "id": first.output[0].id}, go_on]
    assert client.responses.create(model="code", input=named, **GREEDY).output_text == whole.output_text
    with pytest.raises(openai.NotFoundError, match="send the item itself"):
        client.responses.create(model="code", input=[{"type": "item_reference", "id": "msg_0"}], **GREEDY)


def test_a_long_conversation_lets_its_oldest_turns_go_where_it_is_allowed(client: openai.OpenAI) -> None:
    items: list[Any] = []
    for number in range(60):
        items += [
            {"role": "user", "content": f"one two three {number} " * 3},
            {"role": "assistant", "content": f"four five six {number}"},
        ]
    items.append({"role": "user", "content": "and now?"})
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="code", input=items, **GREEDY)
    assert refused.value.code == "context_length_exceeded"
    cut = client.responses.create(model="code", input=items, truncation="auto", **GREEDY)
    assert cut.truncation == "auto"
    assert cut.model_extra["interconnected_ai"]["num_dropped_messages"] > 0  # type: ignore[index]


# Calls


@pytest.mark.parametrize("model", ["code", "council"])
def test_a_call_and_its_result_are_items_of_their_own(client: openai.OpenAI, url: str, model: str) -> None:
    pytest.importorskip("llguidance")
    more = {"model": model, "tools": [WEATHER, NOW], "tool_choice": {"type": "function", "name": "weather"}}
    events = events_of(url, asked("the weather in a town", max_output_tokens=200, **more))
    kinds = [each["type"].removeprefix("response.") for each in events]
    deltas = kinds.count("function_call_arguments.delta")
    assert kinds == [
        "created", "in_progress", "output_item.added", *["function_call_arguments.delta"] * deltas,
        "function_call_arguments.done", "output_item.done", "completed",
    ]  # fmt: skip
    called = events[-1]["response"]["output"][0]
    assert called["name"] == "weather"
    assert json.loads(called["arguments"])["town"] in ("Riga", "Rome")
    assert "".join(each["delta"] for each in events if "delta" in each) == called["arguments"]
    assert events[2]["item"]["call_id"] == called["call_id"]
    assert events[2]["item"]["arguments"] == ""
    given: list[Any] = [{"type": "function_call_output", "call_id": called["call_id"], "output": "rain"}]
    after = client.responses.create(
        model=model, input=given, previous_response_id=events[-1]["response"]["id"], **GREEDY
    )
    assert after.output[0].type == "message"
    assert [each.type for each in client.responses.input_items.list(after.id, order="asc")] == [
        "message", "function_call", "function_call_output",
    ]  # fmt: skip


def test_functions_that_are_allowed_are_those_that_may_be_called(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    allowed: Any = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]}
    response = client.responses.create(
        model="code", input="a town", tools=[WEATHER, NOW], tool_choice=allowed, max_output_tokens=100, **LIKELIEST  # type: ignore[list-item]
    )  # fmt: skip
    (called,) = response.output
    assert called.type == "function_call"
    assert (called.name, json.loads(called.arguments)) == ("now", {})
    assert len(response.tools) == 2


# What is kept


def test_a_response_is_kept_until_it_is_deleted(client: openai.OpenAI, url: str) -> None:
    made = client.responses.create(model="code", input="hello", metadata={"a": "b"}, user="ann", **GREEDY)
    found = client.responses.retrieve(made.id)
    assert found == made
    assert (found.metadata, found.user) == ({"a": "b"}, "ann")
    assert call(url, f"{PATH}/{made.id}?stream=true")[0] == 400
    with pytest.raises(openai.BadRequestError, match="in the background"):
        client.responses.cancel(made.id)
    assert call(url, f"{PATH}/{made.id}", method="DELETE")[2] == {
        "id": made.id, "object": "response", "deleted": True,
    }  # fmt: skip
    for again in (
        lambda: client.responses.retrieve(made.id),
        lambda: client.responses.delete(made.id),
        lambda: client.responses.cancel(made.id),
        lambda: list(client.responses.input_items.list(made.id)),
    ):
        with pytest.raises(openai.NotFoundError, match="no response"):
            again()
    with pytest.raises(openai.NotFoundError, match="send what was said before"):
        client.responses.create(model="code", input="go on", previous_response_id=made.id, **GREEDY)


def test_nothing_is_kept_of_what_is_not_to_be(client: openai.OpenAI) -> None:
    made = client.responses.create(model="code", input="hello", store=False, **GREEDY)
    assert made.model_extra is not None
    assert made.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_items_are_listed_page_by_page_in_either_order(client: openai.OpenAI, url: str) -> None:
    said: list[Any] = [{"role": ("user", "assistant")[number % 2], "content": f"word {number}"} for number in range(7)]
    made = client.responses.create(model="code", input=said, **GREEDY)
    for order in ("asc", "desc"):
        listed = [each.content[0].text for each in client.responses.input_items.list(made.id, limit=3, order=order)]  # type: ignore[arg-type, union-attr, index]
        assert sorted(listed) == [f"word {number}" for number in range(7)]
        assert listed == sorted(listed, reverse=order == "desc")
    page = call(url, f"{PATH}/{made.id}/input_items?limit=3")[2]
    assert page["has_more"]
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][2]["id"])
    for wrong in ("limit=0", "limit=101", "order=up", "after=msg_0"):
        assert call(url, f"{PATH}/{made.id}/input_items?{wrong}")[0] == 400


def test_a_restart_keeps_responses_and_another_key_never_sees_them(home: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    ann, ben = ({"authorization": f"Bearer {keys.add(name, scopes=['chat'])[1]}"} for name in ("ann", "ben"))
    with council_of(home) as council:
        hall = Hall(council=council)
        config = ServingConfig(port=0, drain_seconds=1.0, keys=str(keys.path), state=str(tmp_path / "state"))
        with ServerThread(hall, config) as server:
            made = call(server.url, PATH, asked("My boat is the Albatross."), headers=ann)[2]
        with ServerThread(hall, config) as server:
            assert call(server.url, f"{PATH}/{made['id']}", headers=ann)[2] == made
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
                status, _, told = call(server.url, f"{PATH}/{made['id']}{path}", method=method, headers=ben)
                assert (status, told["error"]["code"]) == (404, "response_not_found")
            for more in (
                {"previous_response_id": made["id"]},
                {"input": [{"type": "item_reference", "id": made["output"][0]["id"]}]},
            ):
                assert call(server.url, PATH, {**asked("go on"), **more}, headers=ben)[0] == 404
            assert call(server.url, PATH, asked("go on", previous_response_id=made["id"]), headers=ann)[0] == 200
            assert call(server.url, f"{PATH}/{made['id']}", method="DELETE", headers=ann)[0] == 200
    file = tmp_path / "state" / "responses.db"
    assert file.stat().st_mode & 0o077 == 0
    assert b"Albatross" not in file.read_bytes()


def test_those_that_were_used_longest_ago_make_room(home: Path, tmp_path: Path) -> None:
    with council_server(home, state=str(tmp_path / "state"), kept_responses=3) as url:

        def ask(**more: Any) -> str:
            return str(call(url, PATH, asked("hello", max_output_tokens=1, **more))[2]["id"])

        def are_kept(*ids: str) -> list[bool]:
            return [call(url, f"{PATH}/{id}")[0] == 200 for id in ids]

        first, second = ask(), ask()
        third = ask(previous_response_id=first)  # the first was used
        fourth = ask()
        assert are_kept(first, second, third, fourth) == [True, False, True, True]
        assert call(url, PATH, asked("go on", previous_response_id=third))[0] == 200
    with council_server(home, state=str(tmp_path / "small"), kept_responses_mb=0.006) as url:
        made = [call(url, PATH, asked("word " * 200, max_output_tokens=1))[2] for _ in range(4)]
        kept = [call(url, f"{PATH}/{each['id']}")[0] == 200 for each in made]
        assert kept[0] is False
        assert kept[-1] is True
        large = call(url, PATH, asked("a" * 12_000, max_output_tokens=1, truncation="auto", model="council"))[2]
        if "error" not in large:
            assert large["store"] is False


def test_a_gap_in_a_conversation_is_told(client: openai.OpenAI) -> None:
    first = client.responses.create(model="code", input="one", **GREEDY)
    second = client.responses.create(model="code", input="two", previous_response_id=first.id, **GREEDY)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match=first.id[:40]):
        client.responses.create(model="code", input="three", previous_response_id=second.id, **GREEDY)
    assert client.responses.retrieve(second.id) == second


def test_a_store_that_cannot_be_used_costs_no_answer(home: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "responses.db").write_bytes(b"this is no database " * 100)
    with council_server(home, state=str(tmp_path / "state")) as url:
        status, _, made = call(url, PATH, asked())
        assert (status, made["store"]) == (200, False)
        assert "is not kept" in made["interconnected_ai"]["notices"][0]
        assert str(tmp_path) not in made["interconnected_ai"]["notices"][0]
        assert events_of(url, asked())[-1]["response"]["store"] is False
        status, headers, told = call(url, f"{PATH}/{made['id']}")
        assert (status, told["error"]["code"]) == (503, "unavailable")
        assert headers["retry-after"]


# What cannot be


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": None}]}, "input.0.content"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "computer_call", "id": "c"}]}, "input.0.type"),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input.0.name"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        ({"input": [{"type": "message", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.list[Item].0.role"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [NOW, NOW]}, "tools.1.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"tools": [NOW], "tool_choice": "required", "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 10**9}, "max_output_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["something"]}, "include.0"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"model": "council", "include": ["message.output_text.logprobs"]}, "logprobs"),
        ({"max_tokens": 4}, "max_tokens"),
        ({"messages": []}, "messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_the_field_is_named(url: str, more: dict[str, Any], field: str) -> None:
    status, _, told = call(url, PATH, {**asked(), **more})
    assert status == 400, told
    assert told["error"]["param"] in (field, field.replace("list[Item].", "")), told
    validate(told, "ErrorResponse")


def test_an_error_in_the_middle_is_the_last_event() -> None:
    expert = Waiting(3, breaks_at=1)
    expert.goes.release(3)
    with waiting_server(expert) as address:
        events = events_of(address, {"model": "waiting", "input": "hi"})
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["sequence_number"] == len(events) - 1
        response = events[-1]["response"]
        assert response["status"] == "failed"
        assert "weights are gone" in response["error"]["message"]
        validate(events[-1], "ResponseFailedEvent")
        assert call(address, f"{PATH}/{response['id']}")[0] == 404
    early = Waiting(3, breaks_at=0)
    early.goes.release(3)
    with waiting_server(early) as address:
        status, _, told = call(address, PATH, {"model": "waiting", "input": "hi", "stream": True})
        assert (status, told["error"]["code"]) == (503, "unavailable")


# Their description


def test_every_field_is_one_of_theirs_or_named_as_ours() -> None:
    fields = {field.alias or key for key, field in ResponseRequest.model_fields.items()}
    assert fields - fields_of("CreateResponse") == OURS


def test_responses_events_and_items_are_what_openai_says_they_are(url: str) -> None:
    pytest.importorskip("llguidance")
    form = {"type": "json_schema", "name": "town", "schema": WEATHER["parameters"], "strict": True}
    bodies = [
        asked(), asked(model="council"), asked(max_output_tokens=1), asked(instructions="Be brief.", user="ann"),
        asked(include=["message.output_text.logprobs"], top_logprobs=2),
        asked(tools=[WEATHER, NOW], tool_choice="required", max_output_tokens=200),
        asked(tools=[WEATHER], tool_choice={"type": "function", "name": "weather"}, max_output_tokens=200),
        asked(text={"format": form, "verbosity": "low"}, max_output_tokens=200, metadata={"a": "b"}, top_p=0.9),
        asked(text={"format": {"type": "json_object"}}, reasoning={"effort": "low"}, truncation="auto"),
    ]  # fmt: skip
    for body in bodies:
        status, _, found = call(url, PATH, body)
        assert status == 200, found
        validate(found, "Response", without=("interconnected_ai", "store"))
        for each in events_of(url, body):
            validate(each, SCHEMA_OF[each["type"]])
        validate(call(url, f"{PATH}/{found['id']}/input_items")[2], "ResponseItemList")
    counted = call(url, f"{PATH}/input_tokens", {"model": "code", "input": "hello"})[2]
    validate(counted, "TokenCountsResource")


def test_log_probabilities_are_those_of_a_conversation(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="code", input="hello", include=["message.output_text.logprobs"], top_logprobs=2, **GREEDY
    )
    messages: list[Any] = [{"role": "user", "content": "hello"}]
    chat = client.chat.completions.create(
        model="code", messages=messages, max_tokens=24, temperature=0, logprobs=True, top_logprobs=2
    )
    (part,) = response.output[0].content  # type: ignore[union-attr, misc]
    assert chat.choices[0].logprobs is not None
    expected = chat.choices[0].logprobs.content or []
    assert [each.bytes for each in part.logprobs] == [each.bytes for each in expected]  # type: ignore[union-attr]
    assert [each.logprob for each in part.logprobs] == pytest.approx([each.logprob for each in expected], abs=1e-3)  # type: ignore[union-attr]
