"""Telegram Desktop's `result.json`: one chat, or all of an account."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder, quoted
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.roles import first_seen
from interconnected_ai.memory.importing.times import seconds_of

_MEDIA = ("photo", "file")
_READ = ("about", "personal_information", "chats", "left_chats")


def recognises(value: Any) -> bool:
    """Whether a value is a chat of Telegram, or an account's chats."""
    return isinstance(value, dict) and (_is_chat(value) or any(_chats_in(value)))


def read(where: str, value: Any) -> Iterator[Item]:
    """The messages of all chats, in order; an account's own words have the role `user`."""
    if _is_chat(value):
        yield from _chat(where, value, None)
        return
    about = value.get("personal_information")
    me = f"user{about['user_id']}" if isinstance(about, dict) and "user_id" in about else None
    yield from (Unread(f"Telegram's {key}") for key in value if key not in _READ)
    for chat in _chats_in(value):
        yield from _chat(where, chat, me)


def _is_chat(value: Json) -> bool:
    messages = value.get("messages")
    return (
        isinstance(messages, list)
        and isinstance(value.get("type"), str)
        and "id" in value
        and all(isinstance(one, dict) and "type" in one and "date" in one for one in messages[:1])
    )


def _chats_in(value: Json) -> Iterator[Json]:
    for key in ("chats", "left_chats"):
        group = value.get(key)
        listed = group.get("list") if isinstance(group, dict) else None
        yield from (chat for chat in listed if isinstance(chat, dict) and _is_chat(chat)) if listed else ()


def _chat(where: str, chat: Json, me: str | None) -> Iterator[Item]:
    session = f"telegram:{chat['id']}"
    said: dict[Any, tuple[str, str]] = {}
    for number, message in enumerate(chat["messages"], start=1):
        place = f"{where}, chat {chat.get('name') or chat['id']}, message {number}"
        if not isinstance(message, dict):
            yield BadRow(place, f"holds a JSON {type(message).__name__}, needed is an object")
        elif message.get("type") != "message":
            yield Unread(f"Telegram {message.get('type') or 'entry'} {message.get('action') or ''}".rstrip())
        else:
            try:
                yield _message(place, message, session, me, said)
            except DataError as error:
                yield BadRow(place, str(error))


def _message(where: str, message: Json, session: str, me: str | None, said: dict[Any, tuple[str, str]]) -> Item:
    name, author = message.get("from"), message.get("from_id")
    speaker = first_seen(name, author and str(author)) or "unknown"
    role = "user" if me is not None and author == me else speaker
    text = _text(message.get("text"))
    if "forwarded_from" in message:  # null where that account was deleted: the words are still not the speaker's
        text = f"[forwarded from {message['forwarded_from'] or 'a deleted account'}]\n" + "\n".join(
            f"> {line}" for line in text.splitlines()
        )
    words = "\n".join(part for part in (text, *_media(message)) if part)
    if not words.strip():
        return Unread("message without words")
    id = message.get("id")
    said[id] = (speaker, words[:200])
    if message.get("reply_to_message_id") in said:
        words = quoted(*said[message["reply_to_message_id"]]) + words
    return Row(where, role, words, session, None, _time(message), None if id is None else str(id))


def _text(text: Any) -> str:
    """Text is a string, or a list of strings and of pieces with a type."""
    if isinstance(text, list):
        return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in text if part)
    return text if isinstance(text, str) else ""


def _media(message: Json) -> Iterator[str]:
    for key in _MEDIA:
        if message.get(key):
            # "(File not included. …)" stands where the export left it out
            path = str(message[key])
            name = message.get("file_name") or (None if path.startswith("(") else path.rsplit("/", 1)[-1])
            yield placeholder(
                str(message.get("media_type") or key).replace("_", " "), message.get("sticker_emoji") or name
            )
    poll, contact, place = (message.get(key) for key in ("poll", "contact_information", "location_information"))
    if isinstance(poll, dict):
        answers = [str(one.get("text")) for one in poll.get("answers") or () if isinstance(one, dict)]
        yield placeholder("poll", f"{poll.get('question')} {' / '.join(answers)}".strip())
    if isinstance(contact, dict):
        yield placeholder("contact", " ".join(str(part) for part in contact.values() if part))
    if isinstance(place, dict):
        yield placeholder("location", f"{place.get('latitude')}, {place.get('longitude')}")


def _time(message: Json) -> float | datetime | None:
    if message.get("date_unixtime") is not None:
        return seconds_of(message["date_unixtime"])
    try:
        return datetime.fromisoformat(
            message["date"]
        )  # exports from before 2022: the clock on the wall, without a zone
    except (ValueError, TypeError) as error:
        raise DataError(f"date is {message['date']!r}, needed is ISO 8601 text ({error})") from error
