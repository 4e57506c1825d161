"""The body of `POST /v1/messages` and of its count of tokens: each field read, refused, or without effect."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.fields import PROMPT
from interconnected_ai.serving.schemas import Body
from interconnected_ai.serving.tools import written_call
from interconnected_ai.serving.turns import Tool, Turn, session_of
from interconnected_ai.types import ChatMessage

_LONGEST_NAME = 200
_MOST_TOOLS = 128
_MOST_STOPS = 16
_FIELDS = {  # what a request calls the settings of an answer
    "max_new_tokens": "max_tokens", "stop": "stop_sequences", "json_schema": "output_config.format", PROMPT: "messages",
}  # fmt: skip
_THOUGHTS = ("thinking", "redacted_thinking")  # of the turns before: no model reads them again, at Anthropic neither


class Block(BaseModel):
    """A part of a message. Clients send back what they were given, with fields that say nothing here (cache_control)."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: "str | list[Block] | None" = None
    is_error: bool | None = None


class Message(BaseModel):
    """One message."""

    model_config = ConfigDict(strict=True)

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class AnthropicTool(BaseModel):
    """A function that may be called; tools of Anthropic's own, such as a browser, are none that a model here could use."""

    model_config = ConfigDict(strict=True)

    type: str | None = None
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(Body):
    """auto, any (one has to be called), tool (the one that is named), none."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(BaseModel):
    """Whether the model is to think aloud first."""

    type: str


class OutputFormat(BaseModel):
    """What an answer is held to."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Body):
    """effort: of models that think; there are none here."""

    format: OutputFormat | None = None
    effort: str | None = None


class Conversation(Body):
    """What is read, and by whom."""

    model: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    system: str | list[Block] | None = None
    tools: Annotated[list[AnthropicTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    # What says something to Anthropic's own service alone, and changes no answer.
    cache_control: dict[str, Any] | None = None


class MessagesRequest(Conversation):
    """A turn of a conversation.

    Ours: session, width, role and seed are those of `/v1/chat/completions`.
    """

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    stop_sequences: Annotated[list[str], Field(max_length=_MOST_STOPS)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None

    session: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)] | None = None
    width: Annotated[int, Field(ge=1, le=64)] | None = None
    role: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None

    # What says something to Anthropic's own service alone, and changes no answer.
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    workspace_id: str | None = None
    user_profile_id: str | None = None


def turn_of(asked: MessagesRequest, *, user: str, max_new_tokens: int) -> Turn:
    """The turn that a request asks for. Raises `Refusal` for what is no feature of ours, naming the field."""
    messages, tools, choice = read(asked)
    return Turn(
        messages, _settings(asked, max_new_tokens), asked.seed, user, asked.session or session_of(messages), asked.width,
        asked.role, tools, choice, fields=_FIELDS,
    )  # fmt: skip


def read(asked: Conversation) -> tuple[tuple[ChatMessage, ...], tuple[Tool, ...], str]:
    """The messages, the functions, and which of them has to be called."""
    if asked.thinking is not None and asked.thinking.type == "enabled":
        raise _wrong("thinking", "the models here do not think apart from their answer; leave it out")
    if asked.messages[-1].role == "assistant":
        raise _wrong("messages", "the last message is the assistant's; an answer cannot be begun for a model here")
    system = _text_of(asked.system, "system")
    spoken = [each for number, message in enumerate(asked.messages) for each in _written(message, number)]
    tools = _tools(asked.tools or ())
    first = [ChatMessage("system", system)] if system else []
    return (*first, *_joined(spoken)), tools, _choice_of(asked.tool_choice, tools)


def _joined(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Messages of one role that follow each other as one; results of functions stay apart."""
    joined: list[ChatMessage] = []
    for role, run in groupby(messages, key=lambda message: message.role):
        together = list(run)
        joined += together if role == "tool" else [ChatMessage(role, "\n".join(each.content for each in together))]
    return joined


def _written(message: Message, number: int) -> list[ChatMessage]:
    if isinstance(message.content, str):
        return [ChatMessage(message.role, message.content)]
    parts = [
        _block(block, f"messages.{number}.content.{place}", message.role)
        for place, block in enumerate(message.content)
        if block.type not in _THOUGHTS or message.role != "assistant"
    ]
    return parts or [ChatMessage(message.role, "")]


def _block(block: Block, at: str, role: str) -> ChatMessage:
    if block.type == "text" and block.text is not None:
        return ChatMessage(role, block.text)
    if block.type == "tool_use" and role == "assistant" and block.name is not None:
        return ChatMessage(role, written_call(block.name, json.dumps(block.input or {}, ensure_ascii=False)))
    if block.type == "tool_result" and role == "user":
        result = _text_of(block.content, f"{at}.content")
        return ChatMessage("tool", f"Error: {result}" if block.is_error else result)
    raise _wrong(
        at, f"a block of type {block.type[:40]!r} cannot be read here; the models read text, calls and results"
    )


def _text_of(content: str | list[Block] | None, at: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for place, block in enumerate(content):
        if block.type != "text" or block.text is None:
            raise _wrong(
                f"{at}.{place}", f"a block of type {block.type[:40]!r} cannot be read; the models here read text"
            )
    return "\n".join(block.text or "" for block in content)


def _tools(asked: Sequence[AnthropicTool]) -> tuple[Tool, ...]:
    names = [tool.name for tool in asked]
    for place, tool in enumerate(asked):
        if tool.type not in (None, "custom"):
            raise _wrong(f"tools.{place}", f"a tool of type {tool.type[:40]!r} is none that a model here could use")
        if tool.input_schema is None:
            raise _wrong(f"tools.{place}.input_schema", "it is missing; give a JSON schema")
        if names.count(tool.name) > 1:
            raise _wrong(f"tools.{place}.name", f"two functions are called {tool.name!r}; rename one")
    return tuple(Tool(tool.name, tool.description or "", tool.input_schema) for tool in asked)


def _choice_of(asked: ToolChoice | None, tools: tuple[Tool, ...]) -> str:
    if asked is None or asked.type == "auto":
        return "auto" if tools else "none"
    if asked.type == "none":
        return "none"
    if not tools:
        raise _wrong("tool_choice", "there are no tools to choose from; give tools")
    if asked.type == "any":
        return "required"
    if asked.name not in [tool.name for tool in tools]:
        raise _wrong(
            "tool_choice.name", f"no tool is called {(asked.name or '')[:64]!r}; the tools are "
            f"{', '.join(tool.name for tool in tools)}",
        )  # fmt: skip
    return str(asked.name)


def _settings(asked: MessagesRequest, most: int) -> dict[str, Any]:
    """The fields of `GenerationConfig` that were asked for."""
    if asked.max_tokens > most:
        raise _wrong(
            "max_tokens", f"{asked.max_tokens:,} are more than an answer may have here, {most:,}; ask for less"
        )
    top_k, top_p = asked.top_k or None, asked.top_p
    if top_p == 0.0:  # the likeliest alone
        top_p, top_k = None, 1
    stops = [stop for stop in asked.stop_sequences or () if stop]
    form = None if asked.output_config is None else asked.output_config.format
    if form is not None and asked.tool_choice is not None and asked.tool_choice.type in ("any", "tool"):
        raise _wrong(
            "output_config.format", "a call that has to be made is held to its own form; leave out one of both"
        )
    given = {
        "max_new_tokens": asked.max_tokens, "temperature": asked.temperature, "top_k": top_k, "top_p": top_p,
        "stop": stops or None, "json_schema": None if form is None else form.schema_,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def _wrong(field: str, message: str) -> Refusal:
    return Refusal(400, f"{field}: {message}", code="unsupported_value", param=field)
