"""OpenAI's own client talks with a server of tiny experts, and finds what it would find at OpenAI's."""

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
from tests.serving.halls import WORDS, asked, call, config_of, council_server

from interconnected_ai.experts import Expert
from interconnected_ai.types import ChatMessage

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 24}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a town",
            "parameters": {
                "type": "object",
                "properties": {"town": {"$ref": "#/$defs/town"}},
                "required": ["town"],
                "additionalProperties": False,
                "$defs": {"town": {"enum": ["Riga", "Rome"]}},
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home, {"seed": "general"}) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as made:
        yield made


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_the_models_are_the_council_and_its_experts(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["council", "general", "code", "law"]
    assert client.models.retrieve("code").object == "model"
    assert client.models.retrieve("council:2").id == "council:2"
    with pytest.raises(openai.NotFoundError, match="nearest first: code"):
        client.models.retrieve("cod")


def test_an_expert_answers_over_http_as_it_does_here(client: openai.OpenAI, home: Path) -> None:
    answer = client.chat.completions.create(model="code", messages=said("a traceback"), **GREEDY)
    with Expert.from_pretrained(home / "code") as code:
        alone = code.chat([ChatMessage("user", "a traceback")], max_new_tokens=24, temperature=0.0)
    assert answer.choices[0].message.content == alone.message.content
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == alone.num_prompt_tokens
    assert answer.usage.completion_tokens == len(alone.generation.token_ids)
    assert answer.choices[0].finish_reason == ("length" if alone.generation.ended == "length" else "stop")
    assert answer.system_fingerprint


def test_the_council_says_who_answered_and_why(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="council", messages=said("the court"), **GREEDY)
    told = answer.model_extra["interconnected_ai"]  # type: ignore[index]
    assert told["experts"] == ["law"]
    assert "rule 'courts'" in told["why"]
    assert told["timings"]["generate"] > 0
    wide = client.chat.completions.create(model="council:2", messages=said("the court"), **GREEDY)
    assert wide.model_extra["interconnected_ai"]["experts"] == ["law", "general"]  # type: ignore[index]


def test_the_chunks_of_a_stream_are_the_whole_answer(client: openai.OpenAI) -> None:
    for model in ("code", "council"):
        whole = client.chat.completions.create(model=model, messages=said("a traceback"), **GREEDY)
        chunks = list(
            client.chat.completions.create(
                model=model, messages=said("a traceback"), stream=True, stream_options={"include_usage": True}, **GREEDY
            )
        )
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        told = [chunk for chunk in chunks if chunk.choices]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == whole.choices[0].message.content
        reasons = [chunk.choices[0].finish_reason for chunk in told]
        assert reasons == [None] * (len(told) - 1) + [whole.choices[0].finish_reason]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens  # type: ignore[union-attr]
        assert all(chunk.usage is None for chunk in chunks[:-1])


def test_every_choice_has_its_index_its_end_and_a_seed_of_its_own(client: openai.OpenAI) -> None:
    def ask(**more: Any) -> Any:
        return client.chat.completions.create(
            model="code", messages=said("hello"), seed=5, max_tokens=12, temperature=1.0, **more
        )

    whole = ask(n=3)
    texts = [choice.message.content for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert ask().choices[0].message.content == texts[0]
    assert [choice.message.content for choice in ask(n=3).choices] == texts
    streamed, reasons = ["", "", ""], [0, 0, 0]
    for chunk in ask(n=3, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            reasons[choice.index] += choice.finish_reason is not None
    assert streamed == texts
    assert reasons == [1, 1, 1]
    assert whole.usage.completion_tokens > ask().usage.completion_tokens
    assert whole.usage.prompt_tokens == ask().usage.prompt_tokens


def test_a_stop_string_across_tokens_is_never_seen(client: openai.OpenAI, home: Path) -> None:
    whole = client.chat.completions.create(model="law", messages=said("hello"), temperature=0, max_tokens=60)
    text = whole.choices[0].message.content or ""
    with Expert.from_pretrained(home / "law") as law:
        tokens = law.chat([ChatMessage("user", "hello")], max_new_tokens=60, temperature=0.0).generation.token_ids
    whole_text = WORDS.decode(tokens)
    ends = [len(WORDS.decode(tokens[:number])) for number in range(2, len(tokens))]
    stop = next(
        s for end in ends[4:] if len(s := whole_text[end - 2 : end + 2]) == 4 and s.isascii() and s.isprintable()
    )
    expected = text[: text.index(stop)].strip()
    cut = client.chat.completions.create(
        model="law", messages=said("hello"), temperature=0, max_tokens=60, stop=[stop, "never said"]
    )
    assert cut.choices[0].message.content == expected
    assert cut.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(
        model="law", messages=said("hello"), temperature=0, max_tokens=60, stop=stop, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


def test_no_chunk_ends_within_a_character(url: str) -> None:
    """Random weights write bytes at random, many of them parts of letters."""
    for seed in range(3):
        body = asked("hello", max_tokens=120, temperature=1, seed=seed)
        whole = call(url, "/v1/chat/completions", body)[2]["choices"][0]["message"]["content"]
        raw = call(url, "/v1/chat/completions", {**body, "stream": True})[2]
        pieces = []
        for line in raw.split(b"\n\n"):
            if line.startswith(b"data: {"):
                choice = json.loads(line[6:].decode("utf-8", "strict"))["choices"][0]
                pieces.append(choice["delta"].get("content", ""))
        assert "".join(pieces) == whole


class Town(BaseModel):
    name: Literal["Riga", "Rome"]
    is_large: bool


def test_a_pydantic_model_is_parsed_from_an_answer_that_is_held_to_it(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    parsed = client.chat.completions.parse(
        model="code", messages=said("a town"), response_format=Town, max_tokens=200, temperature=0, stop=None
    )
    assert isinstance(parsed.choices[0].message.parsed, Town)
    any_object = client.chat.completions.create(
        model="council", messages=said("a traceback"), response_format={"type": "json_object"}, max_tokens=300, seed=1
    )
    if any_object.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(any_object.choices[0].message.content or ""), dict)


@pytest.mark.parametrize("model", ["code", "council"])
def test_a_call_that_is_required_is_one_of_the_tools_with_its_arguments(client: openai.OpenAI, model: str) -> None:
    pytest.importorskip("llguidance")
    settings: dict[str, Any] = {"messages": said("a traceback"), "tools": TOOLS, "temperature": 0, "max_tokens": 200}
    answer = client.chat.completions.create(model=model, tool_choice="required", **settings)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call_made,) = choice.message.tool_calls or []
    assert call_made.type == "function"
    assert call_made.function.name in ("weather", "now")
    arguments = json.loads(call_made.function.arguments)
    assert arguments == {} if call_made.function.name == "now" else arguments["town"] in ("Riga", "Rome")

    chunks = list(client.chat.completions.create(model=model, tool_choice="required", stream=True, **settings))
    calls = [each for chunk in chunks for each in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].id
    assert [each.id for each in calls[1:]] == [None] * (len(calls) - 1)
    assert calls[0].function is not None
    assert calls[0].function.name == call_made.function.name
    assert "".join(each.function.arguments or "" for each in calls if each.function) == call_made.function.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_call_by_name_is_that_function_with_its_arguments(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    answer = client.chat.completions.create(
        model="law", messages=said("hello"), tools=TOOLS, temperature=0, max_tokens=100,
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )  # fmt: skip
    (call_made,) = answer.choices[0].message.tool_calls or []
    assert call_made.type == "function"
    assert json.loads(call_made.function.arguments)["town"] in ("Riga", "Rome")
    assert answer.choices[0].finish_reason == "stop"  # as OpenAI has it


def test_a_model_that_may_call_and_does_not_answers_in_words(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="code", messages=said("hello"), tools=TOOLS, **GREEDY)
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.choices[0].message.content is not None


def test_a_conversation_with_calls_and_null_contents_is_read(client: openai.OpenAI) -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Riga"}'}}
    messages: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "How is it"}, {"type": "text", "text": "in Riga?"}]},
        {"role": "assistant", "content": None, "tool_calls": [called], "refusal": None, "audio": None},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "assistant", "content": ""},
        {"role": "assistant"},
        {"role": "user", "content": "and now?", "name": "Ann"},
    ]
    for model in ("code", "council"):
        answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, **GREEDY)
        assert answer.choices[0].finish_reason in ("stop", "length")
        ended_by_tool = client.chat.completions.create(model=model, messages=messages[:4], **GREEDY)
        assert ended_by_tool.choices


def test_the_next_turn_does_not_read_the_conversation_again(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="general", messages=said("one two three"), **GREEDY)
    messages = [
        *said("one two three"),
        {"role": "assistant", "content": first.choices[0].message.content},
        *said("go on"),
    ]
    second = client.chat.completions.create(model="general", messages=messages, **GREEDY)
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached is not None
    assert 0 < cached < second.usage.prompt_tokens


def test_an_event_loop_has_many_answers_at_once_each_as_it_is_alone(url: str, client: openai.OpenAI) -> None:
    questions = [f"{word} {number}" for number in range(6) for word in ("python", "court", "hello")]
    alone = [
        client.chat.completions.create(model="council", messages=said(question), **GREEDY).choices[0].message.content
        for question in questions
    ]

    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as asking:

            async def one(question: str) -> str:
                chunks = await asking.chat.completions.create(
                    model="council", messages=said(question), stream=True, **GREEDY
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

            return list(await asyncio.gather(*map(one, questions)))

    assert asyncio.run(ask()) == alone


def test_what_says_something_to_openai_alone_changes_nothing(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="code", messages=said("hello"), **GREEDY)
    noted = client.chat.completions.create(
        model="code", messages=said("hello"), user="ann", metadata={"a": "b"}, store=False, service_tier="auto",
        parallel_tool_calls=True, n=1, stop=None, logit_bias={}, **GREEDY,
    )  # fmt: skip
    assert noted.choices[0].message.content == plain.choices[0].message.content


def test_the_clients_own_gathering_of_a_stream_finds_the_whole_answer(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    with client.chat.completions.stream(
        model="code", messages=said("a town"), response_format=Town, max_tokens=200, temperature=0, logprobs=True
    ) as stream:
        kinds = {event.type for event in stream}
        gathered = stream.get_final_completion()
    assert {"content.delta", "content.done", "logprobs.content.delta", "chunk"} <= kinds
    assert isinstance(gathered.choices[0].message.parsed, Town)
    tool = openai.pydantic_function_tool(Town, name="set_town")
    with client.chat.completions.stream(
        model="law", messages=said("a town"), tools=[tool], tool_choice="required", max_tokens=200, temperature=0
    ) as calling:
        kinds = {event.type for event in calling}
        (choice,) = calling.get_final_completion().choices
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    (called,) = choice.message.tool_calls or []
    assert isinstance(called.function.parsed_arguments, Town)
