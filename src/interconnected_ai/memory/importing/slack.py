"""A Slack export: a folder with `users.json` and a folder a channel, in it a file a day."""

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder, quoted
from interconnected_ai.memory.importing.json_files import document_of, elements_of
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.roles import first_seen
from interconnected_ai.memory.importing.times import seconds_of

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_SAID = (None, "bot_message", "file_share", "me_message", "thread_broadcast", "file_comment", "reply_broadcast")
_OF_ATTACHMENTS = ("pretext", "title", "text")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#[A-Z0-9]+\|([^>]*)>")
_LINK = re.compile(r"<((?:https?|mailto):[^|>]+)(?:\|([^>]*))?>")


def recognises(folder: Path) -> bool:
    """Whether a folder is an export, or one channel of it."""
    return any(_days_in(folder)) or any(any(_days_in(inner)) for inner in _folders_in(folder))


def read(folder: Path) -> Iterator[Item]:
    """The messages of all channels, each in order."""
    is_channel = any(_days_in(folder))
    names = _names(folder.parent if is_channel else folder)
    for channel in [folder] if is_channel else _folders_in(folder):
        yield from _channel(channel, names)


def is_message(value: Any) -> bool:
    """Whether a value is a message of a channel."""
    return isinstance(value, dict) and value.get("type") == "message" and "ts" in value and "role" not in value


def refuse(where: str, _: Any) -> Iterator[Item]:
    """A day's file alone says neither its channel nor its speakers."""
    yield BadRow(where, "a message of Slack; import the folder of its channel, or of the whole export")


def _folders_in(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir())


def _days_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if _DAY.fullmatch(file.name))


def _names(folder: Path) -> Mapping[str, str]:
    """Names by user id, as far as the export has them."""
    file = folder / "users.json"
    users = document_of(file) if file.is_file() else []
    return {
        str(user["id"]): name
        for user in users
        if isinstance(user, dict) and "id" in user and (name := _name_in(user.get("profile")) or _name_in(user))
    }


def _name_in(about: Any) -> str | None:
    if not isinstance(about, dict):
        return None
    return first_seen(*map(about.get, ("display_name", "real_name", "name", "username")))


def _channel(folder: Path, names: Mapping[str, str]) -> Iterator[Item]:
    session = f"slack:{folder.name}"
    threads: dict[str, tuple[str, str]] = {}
    for day in sorted(_days_in(folder)):
        for number, (where, message) in enumerate(elements_of(day), start=1):
            place = f"{where}, message {number}"
            if not isinstance(message, dict):
                yield BadRow(place, f"holds a JSON {type(message).__name__}, needed is an object")
            elif message.get("subtype") not in _SAID:
                yield Unread(f"Slack message of subtype {message['subtype']}")
            else:
                try:
                    yield _message(place, message, session, names, threads)
                except DataError as error:
                    yield BadRow(place, str(error))


def _message(
    where: str, message: Json, session: str, names: Mapping[str, str], threads: dict[str, tuple[str, str]]
) -> Item:
    speaker = _speaker(message, names)
    if speaker is None:
        return BadRow(where, f"user is {message.get('user')!r}, needed is the id of one")
    words = "\n".join(part for part in (_readable(_text(message), names), *_files(message)) if part)
    if not words.strip():
        return Unread("message without words")
    moment, thread = message.get("ts"), message.get("thread_ts")
    if isinstance(thread, str) and thread == moment:
        threads[thread] = (speaker, words[:200])
    elif thread in threads:
        words = quoted(*threads[thread]) + words
    is_bot = message.get("subtype") == "bot_message" or ("bot_id" in message and "client_msg_id" not in message)
    role, words = ("tool", f"[{speaker}] {words}") if is_bot else (speaker, words)
    # a channel's times are its messages' names: no two are alike
    return Row(where, role, words, session, None, seconds_of(moment), moment if isinstance(moment, str) else None)


def _speaker(message: Json, names: Mapping[str, str]) -> str | None:
    user = message.get("user")
    known = names.get(user) if isinstance(user, str) else None
    return known or _name_in(message.get("user_profile")) or _name_in(message) or user or message.get("bot_id")


def _text(message: Json) -> str:
    """What is shown of a message. Programs write into blocks and attachments, and leave `text` empty or as a summary."""
    parts = [str(message.get("text") or "")]
    if not parts[0].strip():
        parts += _texts_in(message.get("blocks"))
    has_words = any(part.strip() for part in parts)
    for one in message.get("attachments") or ():
        if not isinstance(one, dict) or (has_words and _is_of_others(one)):
            continue
        own = [str(one[key]) for key in _OF_ATTACHMENTS if one.get(key)] or [*_texts_in(one.get("blocks"))]
        told = "\n".join(own or [str(one.get("fallback") or "")])
        parts += ["\n".join(f"> {line}" for line in told.splitlines()) if _is_of_others(one) else told]
    return "\n".join(dict.fromkeys(part for part in parts if part.strip()))


def _is_of_others(attachment: Json) -> bool:
    """Whether it shows a page or a message that the text links to: nobody here said those words."""
    return any(attachment.get(key) for key in ("from_url", "original_url", "is_msg_unfurl", "is_share"))


def _texts_in(block: Any) -> Iterator[str]:
    """The texts of blocks, however they are nested."""
    if isinstance(block, list):
        for one in block:
            yield from _texts_in(one)
    elif isinstance(block, dict):
        if block.get("type") == "rich_text_section":  # pieces of one line
            yield "".join(_texts_in(block.get("elements")))
        elif isinstance(block.get("text"), str):
            yield block["text"]
        else:
            yield from _texts_in([block[key] for key in ("text", "fields", "elements") if key in block])


def _files(message: Json) -> Iterator[str]:
    for one in message.get("files") or ():
        if isinstance(one, dict):
            yield placeholder("file", one.get("name") or one.get("title"))


def _readable(text: str, names: Mapping[str, str]) -> str:
    """Slack's marks for people, channels and links as they are shown."""
    text = _MENTION.sub(lambda found: "@" + (names.get(found[1]) or found[2] or found[1]), text)
    text = _CHANNEL.sub(lambda found: "#" + found[1], text)
    text = _LINK.sub(lambda found: f"{found[2]} ({found[1]})" if found[2] and found[2] != found[1] else found[1], text)
    return html.unescape(text)
