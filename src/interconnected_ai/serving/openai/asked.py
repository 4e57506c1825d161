"""The body of `POST /v1/chat/completions`: OpenAI's fields and a few of ours, each read, refused, or without effect."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.fields import PROMPT
from interconnected_ai.serving.schemas import Body
from interconnected_ai.serving.tools import written_call
from interconnected_ai.serving.turns import Tool, Turn, session_of
from interconnected_ai.types import ChatMessage

_TEXT_PARTS = ("text", "input_text", "output_text")
_MOST_STOPS = 16
_MOST_TOOLS = 128
_LONGEST_NAME = 200
SEED = Field(ge=-(2**63), le=2**63 - 1)


class Part(BaseModel):
    """A part of a message; only text can be read."""

    model_config = ConfigDict(strict=True)  # clients add notes of their own, such as cache_control

    type: str
    text: str | None = None
    refusal: str | None = None


class CalledFunction(BaseModel):
    """What an assistant called."""

    name: str
    arguments: str = ""


class CalledTool(BaseModel):
    """A call of an assistant's turn before."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message. Clients send back what they were given, with fields that say nothing; those are not looked at."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None


class Function(Body):
    """A function that may be called. strict: every call is held to its schema, whatever this says."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    """A tool; only functions are."""

    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    """A function's name."""

    name: str


class NamedTool(Body):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Body):
    """What an answer is held to. strict: it always is."""

    name: Annotated[str, Field(max_length=64)] = "answer"
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Body):
    """text, json_object or json_schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Body):
    """include_usage: a last chunk says what the answer took."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class ChatRequest(Body):
    """A turn of a conversation.

    Ours: session names the conversation (its memory, and what need not be read again), width is how many experts of a council
    deliberate, role goes to its router, top_k, min_p, repetition_penalty and regex are the engines' own.
    """

    model: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    seed: Annotated[int, SEED] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None

    session: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)] | None = None
    width: Annotated[int, Field(ge=1, le=64)] | None = None
    role: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    regex: str | None = None

    # What says something to OpenAI's own service alone, and changes no answer.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    reasoning_effort: str | None = None  # of models that think
    verbosity: str | None = None  # of models that were trained to know it
    modalities: list[Literal["text"]] | None = None
    store: Literal[False] | None = None

    @property
    def num_choices(self) -> int:
        """How many answers."""
        return 1 if self.n is None else self.n


def turn_of(asked: ChatRequest, *, user: str, max_new_tokens: int) -> Turn:
    """The turn that a request asks for. Raises `Refusal` for what is no feature of ours, naming the field."""
    tools = tuple(
        Tool(each.function.name, each.function.description or "", each.function.parameters)
        for each in asked.tools or ()
    )
    messages = tuple(_read(message, number) for number, message in enumerate(asked.messages))
    return Turn(
        messages, _settings(asked, max_new_tokens), asked.seed, user, asked.session or session_of(messages), asked.width,
        asked.role, tools, _choice_of(asked, tools), fields=_fields(asked),
    )  # fmt: skip


def _fields(asked: ChatRequest) -> dict[str, str]:
    """What this request calls the settings of an answer."""
    return {
        "max_new_tokens": "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens",
        "json_schema": "response_format", "logprobs": "top_logprobs" if asked.top_logprobs else "logprobs", PROMPT: "messages",
    }  # fmt: skip


def _read(message: Message, number: int) -> ChatMessage:
    text = "\n".join(texts_of(message.content, f"messages.{number}.content"))
    if message.role in ("system", "developer"):
        return ChatMessage("system", text)
    if message.role in ("tool", "function"):
        return ChatMessage("tool", text)
    if message.role == "assistant" and message.tool_calls:
        calls = [written_call(call.function.name, call.function.arguments) for call in message.tool_calls]
        return ChatMessage("assistant", "\n".join([*([text] if text else []), *calls]))
    if message.role == "user" and message.content is None:
        raise _wrong(f"messages.{number}.content", "a user's message has a content")
    return ChatMessage(message.role, text)


def texts_of(content: str | list[Part] | None, at: str) -> list[str]:
    """The texts of a message's parts. at: where it stands in the request. Raises `Refusal` for a part that is none."""
    if content is None or isinstance(content, str):
        return [content] if content else []
    texts: list[str] = []
    for place, part in enumerate(content):
        text = part.text if part.type in _TEXT_PARTS else part.refusal if part.type == "refusal" else None
        if text is None:
            raise _wrong(
                f"{at}.{place}",
                f"a part of type {part.type[:40]!r} cannot be read; the models here read text alone",
            )
        texts.append(text)
    return texts


def _settings(asked: ChatRequest, max_new_tokens: int) -> dict[str, Any]:
    """The fields of `GenerationConfig` that were asked for."""
    given: dict[str, Any] = {
        "max_new_tokens": _max_tokens(asked, max_new_tokens), "temperature": asked.temperature, "top_k": asked.top_k,
        "top_p": asked.top_p, "min_p": asked.min_p, "repetition_penalty": asked.repetition_penalty,
        "presence_penalty": asked.presence_penalty, "frequency_penalty": asked.frequency_penalty, "stop": stops_of(asked.stop),
        "regex": asked.regex, "json_schema": _schema_of(asked), "logit_bias": asked.logit_bias or None,
    }  # fmt: skip
    if asked.top_p == 0.0:  # OpenAI's way of saying: the likeliest alone
        given["top_p"], given["top_k"] = None, 1
    if asked.regex is not None and given["json_schema"] is not None:
        raise _wrong("regex", "regex and response_format each say what an answer may be; give one of them")
    if asked.top_logprobs and not asked.logprobs:
        raise _wrong("top_logprobs", "it needs logprobs: true")
    if asked.logprobs:
        given["logprobs"] = asked.top_logprobs or 0
        if asked.tools and asked.tool_choice not in (None, "none", "auto"):
            raise _wrong("logprobs", "a call has none; leave out logprobs, or tool_choice")
    return {name: value for name, value in given.items() if value is not None}


def _max_tokens(asked: ChatRequest, most: int) -> int | None:
    if asked.max_tokens is not None and asked.max_completion_tokens not in (None, asked.max_tokens):
        raise _wrong("max_tokens", "max_tokens and max_completion_tokens differ; give one of them")
    field = "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens"
    number = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    if number is not None and number > most:
        raise _wrong(field, f"{number:,} tokens are more than an answer may have here, {most:,}; ask for less")
    return number


def stops_of(stop: str | list[str] | None) -> list[str] | None:
    """Stop strings as a list; None where there are none."""
    if stop is None or isinstance(stop, str):
        return [stop] if stop else None
    if len(stop) > _MOST_STOPS:
        raise _wrong("stop", f"{len(stop)} strings, {_MOST_STOPS} at most")
    if "" in stop:
        raise _wrong(f"stop.{stop.index('')}", "it is empty, which stands everywhere; leave it out")
    return stop or None


def _schema_of(asked: ChatRequest) -> dict[str, Any] | None:
    wanted = asked.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise _wrong("response_format.json_schema", "it is missing; give the schema, or type json_object")
    return wanted.json_schema.schema_ or {"type": "object"}


def _choice_of(asked: ChatRequest, tools: tuple[Tool, ...]) -> str:
    choice = asked.tool_choice
    if not tools:
        if choice not in (None, "none", "auto"):
            raise _wrong("tool_choice", "there are no tools to choose from; give tools")
        return "none"
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _wrong("tools", f"two functions are called {twice!r}; rename one")
    if isinstance(choice, NamedTool):
        if choice.function.name not in names:
            raise _wrong(
                "tool_choice", f"no tool is called {choice.function.name[:64]!r}; the tools are {', '.join(names)}"
            )
        name = choice.function.name
    else:
        name = choice or "auto"
    formed = asked.regex or (asked.response_format is not None and asked.response_format.type != "text")
    if name not in ("none", "auto") and formed:
        raise _wrong("response_format", "a call that has to be made is held to its own form; leave out one of both")
    return name


def _wrong(field: str, message: str) -> Refusal:
    return Refusal(400, f"{field}: {message}", code="unsupported_value", param=field)
