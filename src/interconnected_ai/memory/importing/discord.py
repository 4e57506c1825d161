"""A channel as DiscordChatExporter writes it (JSON)."""

from collections.abc import Iterator
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder, quoted
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.roles import first_seen
from interconnected_ai.memory.importing.times import seconds_of

_SAID = ("Default", "Reply", "ThreadStarterMessage", "ChatInputCommand", "ContextMenuCommand", "0", "19")


def recognises(value: Any) -> bool:
    """Whether a value is a channel with its messages."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("messages"), list)
        and isinstance(value.get("channel"), dict)
        and "guild" in value
    )


def read(where: str, channel: Any) -> Iterator[Item]:
    """The messages of a channel, in order."""
    about = channel["channel"]
    session = f"discord:{about.get('id') or about.get('name')}"
    said: dict[Any, tuple[str, str]] = {}
    for number, message in enumerate(channel["messages"], start=1):
        place = f"{where}, message {number}"
        if not isinstance(message, dict):
            yield BadRow(place, f"holds a JSON {type(message).__name__}, needed is an object")
        elif str(message.get("type", "Default")) not in _SAID:
            yield Unread(f"Discord message of type {message['type']}")
        else:
            try:
                yield _message(place, message, session, said)
            except DataError as error:
                yield BadRow(place, str(error))


def _message(where: str, message: Json, session: str, said: dict[Any, tuple[str, str]]) -> Item:
    author = message.get("author")
    name = first_seen(*map(author.get, ("nickname", "name", "id"))) if isinstance(author, dict) else None
    if not isinstance(author, dict) or name is None:
        return BadRow(where, f"author is {author!r}, needed is an object with a name")
    words = "\n".join(part for part in (str(message.get("content") or ""), *_beside(message)) if part)
    if not words.strip():
        return Unread("message without words")
    id = message.get("id")
    said[id] = (name, words[:200])
    reference = message.get("reference")
    if isinstance(reference, dict) and reference.get("messageId") in said:
        words = quoted(*said[reference["messageId"]]) + words
    role, words = ("tool", f"[{name}] {words}") if author.get("isBot") else (name, words)
    return Row(where, role, words, session, None, seconds_of(message.get("timestamp")), None if id is None else str(id))


def _beside(message: Json) -> Iterator[str]:
    for kind, key, named in (("file", "attachments", "fileName"), ("sticker", "stickers", "name")):
        for one in message.get(key) or ():
            if isinstance(one, dict):
                yield placeholder(kind, one.get(named))
    for embed in message.get("embeds") or ():
        if isinstance(embed, dict):
            yield placeholder("embed", embed.get("title") or embed.get("url"))
            yield str(embed.get("description") or "")
