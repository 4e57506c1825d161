"""Claude's export, `conversations.json`: each conversation a list of messages."""

from collections.abc import Iterator
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder, text_of
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.roles import role_of
from interconnected_ai.memory.importing.times import seconds_of


def recognises(first: Any) -> bool:
    """Whether a first element is a conversation of Claude."""
    return isinstance(first, dict) and isinstance(first.get("chat_messages"), list)


def read(where: str, conversation: Any) -> Iterator[Item]:
    """The messages of one conversation, in order."""
    if not recognises(conversation):
        yield BadRow(where, "has no list chat_messages, which every conversation of Claude has")
        return
    session = f"claude:{conversation['uuid']}" if conversation.get("uuid") else None
    for number, message in enumerate(conversation["chat_messages"], start=1):
        place = f"{where}, message {number}"
        try:
            yield _message(place, message, session)
        except DataError as error:
            yield BadRow(place, str(error))


def _message(where: str, message: Any, session: str | None) -> Item:
    if not isinstance(message, dict):
        return BadRow(where, f"is a JSON {type(message).__name__}, needed is an object")
    sender = message.get("sender")
    if not isinstance(sender, str):
        return BadRow(where, f"sender is {sender!r}, needed is text")
    # `text` is all of it in old exports; new ones have parts, and a note in `text` where a part is none
    words = text_of(_said(message)) or str(message.get("text") or "")
    words = "\n".join(part for part in (words, *_attachments(message)) if part)
    if not words.strip():
        return Unread("message without words")
    id = message.get("uuid")
    return Row(where, role_of(sender), words, session, None, seconds_of(message.get("created_at")), id and str(id))


def _said(message: Json) -> list[Any]:
    parts = message.get("content")
    return [
        part for part in parts if not (isinstance(part, dict) and part.get("type") in ("thinking", "token_budget"))
    ] if isinstance(parts, list) else []  # fmt: skip


def _attachments(message: Json) -> Iterator[str]:
    for key in ("attachments", "files", "files_v2"):
        for one in message.get(key) or ():
            if isinstance(one, dict):
                yield placeholder("file", one.get("file_name") or one.get("file_uuid"))
                if isinstance(one.get("extracted_content"), str) and one["extracted_content"].strip():
                    yield one["extracted_content"]
