"""A message's content as text: parts put together, what is no text as a named placeholder, tool calls and results."""

import json
from collections.abc import Iterator
from typing import Any

from interconnected_ai.memory.importing.records import Json

_TEXTS = ("text", "input_text", "output_text", "refusal", "thinking")
_NAMES = ("file_name", "filename", "fileName", "name", "title", "file_id", "id")
_LONGEST_CALL = 2_000  # characters of a tool's arguments or result; files come through tools, whole


def text_of(content: Any) -> str:
    """Text of a content: text itself, a list of parts, one part, or null (which has none)."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "\n".join(found for part in parts if (found := _part(part)))


def calls_in(message: Json) -> Iterator[str]:
    """Tool calls beside the content (OpenAI's `tool_calls` and `function_call`, LangChain's), a line each."""
    for call in message.get("tool_calls") or ():
        if isinstance(call, dict):
            inner = call.get("function")
            yield _call(inner if isinstance(inner, dict) else call)
    if isinstance(message.get("function_call"), dict):
        yield _call(message["function_call"])


def placeholder(kind: str, name: object = None) -> str:
    """How a picture, file or sticker stands in a text."""
    return f"[{kind}: {name}]" if name else f"[{kind}]"


def shortened(text: str, longest: int) -> str:
    """A text's beginning, with a mark where it was cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(speaker: str, text: str) -> str:
    """The line of quotation that a reply begins with."""
    return f"> {speaker}: {shortened(' '.join(text.split()), 120)}\n"


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return "" if part is None else str(part)
    kind = str(part.get("type") or part.get("content_type") or "")
    if kind in _TEXTS or (not kind and "text" in part):
        return str(part.get(kind) or part.get("text") or "")
    if kind in ("tool_use", "function_call", "tool_call"):
        return _call(part)
    if kind in ("tool_result", "function_call_output"):
        result = text_of(part.get("content", part.get("output")))
        return f"[result of {part.get('name') or 'a tool'}] {shortened(result, _LONGEST_CALL)}" if result else ""
    if isinstance(part.get("text"), str) and part["text"].strip():  # what was said aloud, written down
        return str(part["text"])
    return placeholder(kind.removesuffix("_url").removesuffix("_asset_pointer") or "part", _name_in(part))


def _name_in(part: Json) -> object:
    inner: Json = next(
        (part[key] for key in ("file", "image", "source", "input_audio") if isinstance(part.get(key), dict)), {}
    )
    return next((found[key] for found in (part, inner) for key in _NAMES if isinstance(found.get(key), str)), None)


def _call(call: Json) -> str:
    given = call.get("arguments", call.get("input", call.get("args", "")))
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return f"[call of {call.get('name') or 'a tool'}] {shortened(text, _LONGEST_CALL)}".rstrip()
