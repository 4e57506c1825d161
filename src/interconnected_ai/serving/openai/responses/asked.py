"""The body of `POST /v1/responses`: OpenAI's fields and a few of ours, each read, refused, or without effect."""

import json
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.fields import PROMPT, TOO_LONG
from interconnected_ai.serving.openai.asked import SEED, stops_of
from interconnected_ai.serving.openai.responses.items import Item, Kept, messages_of
from interconnected_ai.serving.schemas import Body
from interconnected_ai.serving.turns import Tool, Turn, session_of
from interconnected_ai.types import ChatMessage

_LONGEST_NAME = 200
_MOST_ITEMS = 10_000
_MOST_TOOLS = 128
LOGPROBS = "message.output_text.logprobs"
FIELDS = {
    "max_new_tokens": "max_output_tokens", "json_schema": "text.format", "logprobs": "top_logprobs", PROMPT: "input",
    TOO_LONG: 'truncation: "auto"',
}  # fmt: skip
"""What a request calls the settings of an answer."""
_Included = Literal[
    "message.output_text.logprobs", "reasoning.encrypted_content", "file_search_call.results", "web_search_call.results",
    "web_search_call.action.sources", "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]  # fmt: skip


class ResponseTool(Body):
    """A function that may be called. strict: every call is held to its schema, whatever this says."""

    model_config = ConfigDict(extra="ignore", strict=True)  # those of other types have fields of their own

    type: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChosenTool(Body):
    """A function that has to be called; or several (allowed_tools), of which one may be, or has to be, as mode says."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=_MOST_TOOLS)] | None = None


class TextFormat(Body):
    """What an answer is held to. strict: it always is."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(max_length=64)] | None = None
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextOptions(Body):
    """verbosity: of models that were trained to know it; there are none here."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ResponseStreamOptions(Body):
    """include_obfuscation: letters of no meaning in every event, which there are none of here."""

    include_obfuscation: Literal[False] | None = None


class ResponseInput(Body):
    """What is read, and by whom."""

    model: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    input: str | Annotated[list[Item], Field(max_length=_MOST_ITEMS)] | None = None
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)] | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    reasoning: dict[str, Any] | None = None  # of models that think; there are none here

    # What there is none of here: refused, with what to do instead.
    conversation: Any = None
    prompt: Any = None


class ResponseRequest(ResponseInput):
    """A turn of a conversation.

    Ours: session, width, role, top_k, min_p, repetition_penalty and regex are those of `/v1/chat/completions`, and so are stop
    and seed, which this dialect of OpenAI's lacks.
    """

    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    store: bool | None = None
    include: list[_Included] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | None = None

    session: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)] | None = None
    width: Annotated[int, Field(ge=1, le=64)] | None = None
    role: Annotated[str, Field(max_length=_LONGEST_NAME)] | None = None
    seed: Annotated[int, SEED] | None = None
    stop: str | list[str] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    regex: str | None = None

    # What says something to OpenAI's own service alone, and changes no answer.
    user: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    max_tool_calls: int | None = None  # of tools that OpenAI runs itself

    # As `conversation` and `prompt`.
    background: bool | None = None
    context_management: Any = None
    moderation: Any = None

    @property
    def is_kept(self) -> bool:
        """Whether the response may be asked for later."""
        return self.store is not False


_NONE_HERE = {
    "background": "nothing is made in the background; ask with stream, and read the answer while it is made",
    "conversation": "there are no conversations apart from their responses; name the last as previous_response_id",
    "prompt": "there are no prompts kept here; send instructions and input",
    "context_management": "nothing is compacted here; truncation auto lets the oldest turns go",
    "moderation": "nothing is moderated here; leave it out",
}


def refuse_foreign(asked: ResponseInput) -> None:
    """Raise `Refusal` for what there is none of here, with what to do instead."""
    for field, message in _NONE_HERE.items():
        if getattr(asked, field, None):
            raise _wrong(field, message)


def read(asked: ResponseInput, items: list[Kept]) -> Turn:
    """The conversation and the functions, without how it is to be answered. items: all of them, those before too."""
    told = [ChatMessage("system", asked.instructions)] if asked.instructions else []
    messages = (*told, *messages_of(items))
    if not any(message.role != "system" for message in messages):
        raise _wrong("input", "there is nothing to answer; say something")
    tools = _tools(asked)
    choice, tools = _choice_of(asked, tools)
    return Turn(messages, tools=tools, choice=choice, drops_oldest=asked.truncation == "auto")


def settings_of(asked: ResponseRequest, choice: str, most: int) -> dict[str, Any]:
    """The fields of `GenerationConfig` that were asked for. choice: a `Turn`'s. most: tokens of an answer."""
    number = asked.max_output_tokens
    if number is not None and number > most:
        raise _wrong(
            "max_output_tokens", f"{number:,} tokens are more than an answer may have here, {most:,}; ask for less"
        )
    given: dict[str, Any] = {
        "max_new_tokens": number, "temperature": asked.temperature, "top_k": asked.top_k, "top_p": asked.top_p,
        "min_p": asked.min_p, "repetition_penalty": asked.repetition_penalty, "stop": stops_of(asked.stop),
        "regex": asked.regex, "json_schema": _schema_of(asked), "logprobs": _logprobs_of(asked),
    }  # fmt: skip
    if asked.regex is not None and given["json_schema"] is not None:
        raise _wrong("regex", "regex and text.format each say what an answer may be; give one of them")
    if asked.top_p == 0.0:  # OpenAI's way of saying: the likeliest alone
        given["top_p"], given["top_k"] = None, 1
    settings = {name: value for name, value in given.items() if value is not None}
    if choice not in ("none", "auto"):
        for name, field in (("regex", "regex"), ("json_schema", "text.format"), ("logprobs", "include")):
            if name in settings:
                raise _wrong(field, "a call that has to be made is held to its own form; leave out one of both")
    return settings


def session_name(asked: ResponseRequest, turn: Turn, before: str | None) -> str:
    """What the conversation is called: as this turn says, or the one before, or by what it begins with."""
    return asked.session or before or session_of(turn.messages)


def _logprobs_of(asked: ResponseRequest) -> int | None:
    if LOGPROBS in (asked.include or ()):
        return asked.top_logprobs or 0
    if asked.top_logprobs:
        raise _wrong("top_logprobs", f"it needs {LOGPROBS!r} in include")
    return None


def _schema_of(asked: ResponseInput) -> dict[str, Any] | None:
    form = None if asked.text is None else asked.text.format
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {"type": "object"}
    if form.schema_ is None:
        raise _wrong("text.format.schema", "it is missing; give the schema, or type json_object")
    _require_json(form.schema_, "text.format.schema")
    return form.schema_


def _tools(asked: ResponseInput) -> tuple[Tool, ...]:
    found: dict[str, Tool] = {}
    for place, tool in enumerate(asked.tools or ()):
        if tool.type != "function":
            raise _wrong(
                f"tools.{place}.type",
                f"a tool of type {tool.type[:40]!r} is none that a model here could use; functions are",
            )
        if tool.name is None:
            raise _wrong(f"tools.{place}.name", "it is missing")
        if tool.name in found:
            raise _wrong(f"tools.{place}.name", f"two functions are called {tool.name!r}; rename one")
        _require_json(tool.parameters, f"tools.{place}.parameters")
        found[tool.name] = Tool(tool.name, tool.description or "", tool.parameters)
    return tuple(found.values())


def _choice_of(asked: ResponseInput, tools: tuple[Tool, ...]) -> tuple[str, tuple[Tool, ...]]:
    """Which function has to be called, and those that may be."""
    choice = asked.tool_choice
    if not tools:
        if choice not in (None, "none", "auto"):
            raise _wrong("tool_choice", "there are no tools to choose from; give tools")
        return "none", ()
    if not isinstance(choice, ChosenTool):
        return choice or "auto", tools
    if choice.type == "function":
        return _named(choice.name, tools).name, tools
    if choice.type == "allowed_tools":
        allowed = tuple(_named(each.get("name"), tools) for each in choice.tools or ())
        if not allowed:
            raise _wrong("tool_choice.tools", "no tool is allowed; name one at least, or choose none")
        return choice.mode or "auto", tuple(dict.fromkeys(allowed))
    raise _wrong("tool_choice.type", f"{choice.type[:40]!r} is none of function, allowed_tools")


def _named(name: object, tools: tuple[Tool, ...]) -> Tool:
    found = next((tool for tool in tools if tool.name == name), None)
    if found is None:
        raise _wrong(
            "tool_choice", f"no tool is called {str(name)[:64]!r}; the tools are {', '.join(t.name for t in tools)}"
        )
    return found


def _require_json(schema: Any, at: str) -> None:
    """A schema is told again in the answer, which knows no NaN."""
    try:
        json.dumps(schema, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise _wrong(at, f"it is no JSON: {error}") from error


def _wrong(field: str, message: str) -> Refusal:
    return Refusal(400, f"{field}: {message}", code="unsupported_value", param=field)
