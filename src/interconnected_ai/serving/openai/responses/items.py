"""Items: what a client sends and is answered, in the form in which they are kept and told, and the messages that they are."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.openai.asked import Part, texts_of
from interconnected_ai.serving.tools import written_call
from interconnected_ai.types import ChatMessage

Kept = dict[str, Any]
_Name = Annotated[str, Field(max_length=200)]


class Item(BaseModel):
    """Something that was said, called or given. Clients send back what they were told, with fields that say nothing here."""

    model_config = ConfigDict(strict=True)

    type: str | None = None
    id: _Name | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    call_id: _Name | None = None
    name: _Name | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None


def kept(item: Item, at: str, find: Callable[[str], Kept | None]) -> Kept | None:
    """An item in full; None for thoughts of earlier turns, which no model reads again.

    at: where it stands in the request. find: an item that was told before, by its id. Raises `Refusal` for what is none.
    """
    kind = item.type or ("message" if item.role is not None else "item_reference")
    match kind:
        case "message":
            return _message(item, at)
        case "function_call":
            call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            return {"type": kind, "id": item.id or new_id("fc"), **_whole(call, at), "status": "completed"}
        case "function_call_output":
            given = {"call_id": item.call_id, "output": item.output}
            output = "\n".join(texts_of(item.output, f"{at}.output"))
            id = item.id or new_id("fco")
            return {"type": kind, "id": id, **_whole(given, at), "output": output, "status": "completed"}
        case "item_reference":
            return _found(item, at, find)
        case "reasoning":
            return None
    raise _wrong(f"{at}.type", f"an item of type {kind[:40]!r} cannot be read; the models here read messages and calls")


def _message(item: Item, at: str) -> Kept:
    if item.role is None:
        raise _wrong(f"{at}.role", "a message has a role")
    if item.content is None and item.role != "assistant":
        raise _wrong(f"{at}.content", "a message has a content")
    texts = texts_of(item.content, f"{at}.content")
    if item.role == "assistant":
        return said_item(item.id or new_id("msg"), texts)
    content = [{"type": "input_text", "text": text} for text in texts]
    return {
        "type": "message", "id": item.id or new_id("msg"), "status": "completed", "role": item.role, "content": content,
    }  # fmt: skip


def said_item(id: str, texts: Iterable[str], status: str = "completed", logprobs: Sequence[Any] = ()) -> Kept:
    """What an assistant said."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)} for text in texts]
    return {"type": "message", "id": id, "status": status, "role": "assistant", "content": content}


def user_item(text: str) -> Kept:
    """What a user said."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "id": new_id("msg"), "status": "completed", "role": "user", "content": content}


def messages_of(items: Iterable[Kept]) -> list[ChatMessage]:
    """Items as a model reads them: what an assistant said and called without a pause is one message."""
    messages: list[ChatMessage] = []
    for role, run in groupby(map(_as_message, items), key=lambda message: message.role):
        together = list(run)
        if role == "assistant":
            together = [ChatMessage(role, "\n".join(each.content for each in together if each.content))]
        messages += together
    return messages


def _as_message(item: Kept) -> ChatMessage:
    match item["type"]:
        case "function_call":
            return ChatMessage("assistant", written_call(item["name"], item["arguments"]))
        case "function_call_output":
            return ChatMessage("tool", item["output"])
    text = "\n".join(part["text"] for part in item["content"])
    return ChatMessage("system" if item["role"] == "developer" else item["role"], text)


def new_id(kind: str) -> str:
    """An id that nothing else has."""
    return f"{kind}_{secrets.token_hex(24)}"


def _whole(fields: Kept, at: str) -> Kept:
    missing = next((name for name, value in fields.items() if value is None), None)
    if missing is not None:
        raise _wrong(f"{at}.{missing}", "it is missing")
    return fields


def _found(item: Item, at: str, find: Callable[[str], Kept | None]) -> Kept:
    found = None if item.id is None else find(item.id)
    if found is None:
        raise Refusal(
            404, f"{at}: no item {(item.id or '')[:64]!r} is kept here; send the item itself", code="item_not_found",
            param=at,
        )  # fmt: skip
    return found


def _wrong(field: str, message: str) -> Refusal:
    return Refusal(400, f"{field}: {message}", code="unsupported_value", param=field)
