"""The table of formats, and how a file or folder is told to be of one of them: by what stands in it, never by its name."""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing import chatgpt, claude, discord, gemini, plain, slack, telegram, whatsapp
from interconnected_ai.memory.importing.identity import Identities
from interconnected_ai.memory.importing.json_files import elements_of, lines_of
from interconnected_ai.memory.importing.records import BadRow, Item, Reading, Row, Unread


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of JSON export. recognises: whether a value is of it; read: the items of a value that stands at a place.

    newest_first: whether a file's values come in that order.
    """

    name: str
    title: str
    recognises: Callable[[Any], bool]
    read: Callable[[str, Any], Iterator[Item]]
    newest_first: bool = False


# The first that recognises a value reads it; rows of role and content, which the other kinds resemble, come last.
FORMATS = (
    Format("chatgpt", "ChatGPT, conversations.json", chatgpt.recognises, chatgpt.read),
    Format("claude", "Claude, conversations.json", claude.recognises, claude.read),
    Format("discord", "Discord, a channel from DiscordChatExporter", discord.recognises, discord.read),
    Format("telegram", "Telegram, result.json", telegram.recognises, telegram.read),
    Format("gemini", "Gemini, MyActivity.json of Takeout", gemini.recognises, gemini.read, newest_first=True),
    Format("slack", "a message of Slack", slack.is_message, slack.refuse),
    Format("plain", "rows of role and content: JSON, JSONL, OpenAI, ShareGPT, LangChain", plain.recognises, plain.read),
)

KINDS = "; ".join(
    [one.title for one in FORMATS if one.read is not slack.refuse]
    + ["WhatsApp, text", "Slack, the folder of an export"]
)


def items_of(path: Path, reading: Reading | None = None) -> Iterator[Item]:
    """Everything that stands in a file or folder, in its order; every row has an id and, where it has a time, seconds.

    Raises `DataError` for what is no known kind of chat, and for a file that cannot be read to its end.
    """
    reading, identities = reading or Reading(), Identities()
    try:
        for item in _folder(path) if path.is_dir() else _file(path):
            yield _told(item, identities.id_of(item), reading) if isinstance(item, Row) else item
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _told(row: Row, id: str, reading: Reading) -> Row:
    """A row with its id and what only the reader knows. The id is of what the export says: it must not change with those."""
    time = row.time
    if isinstance(time, datetime):
        time = (time if reading.zone is None else time.replace(tzinfo=reading.zone)).timestamp()
    return replace(row, id=id, role="user" if row.role in reading.me else row.role, time=time)


def _folder(folder: Path) -> Iterator[Item]:
    """A Slack export, or the files of a known kind that lie in a folder (not below: it may be somebody's whole disk)."""
    if slack.recognises(folder):
        yield from slack.read(folder)
        return
    for file in files_in(folder):
        yield from _file(file) if is_known(file) else [Unread(f"file {file.name}")]


def files_in(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def is_known(file: Path) -> bool:
    """Whether a file begins as an export of a known kind does. Raises `OSError` for one that cannot be read."""
    if whatsapp.recognises(file):
        return True
    try:
        first = next(_pieces(file), None)
    except DataError:
        return False
    return first is not None and not isinstance(first, BadRow) and any(one.recognises(first[1]) for one in FORMATS)


def _file(file: Path) -> Iterator[Item]:
    if whatsapp.recognises(file):
        yield from whatsapp.read(file)
        return
    pieces = _pieces(file)
    first = next(pieces, None)
    if first is None:
        return
    pieces = chain([first], pieces)
    if not isinstance(first, BadRow) and _format_of(first[1]).newest_first:
        pieces = reversed(list(pieces))
    for piece in pieces:
        if isinstance(piece, BadRow):
            yield piece
        else:
            yield from _format_of(piece[1]).read(*piece)


def _format_of(value: Any) -> Format:
    return next((one for one in FORMATS if one.recognises(value)), FORMATS[-1])


def _pieces(file: Path) -> Iterator[tuple[str, Any] | BadRow]:
    """The values of a JSON file."""
    if zipfile.is_zipfile(file):
        raise DataError(f"{file} is a ZIP archive; unpack it and import the file or folder inside")
    return lines_of(file) if _is_jsonl(file) else elements_of(file)


_BYTES_AT_ONCE = 1 << 20


def _first_line(lines: BinaryIO) -> tuple[str, str | None]:
    """The first line that is not blank, without the space around it; of one over a megabyte its beginning and end."""
    while (line := lines.readline(_BYTES_AT_ONCE)) and not line.strip():
        pass
    start, end = line.decode("utf-8-sig", "replace").strip(), None
    while line and not line.endswith(b"\n"):
        line = lines.readline(_BYTES_AT_ONCE)
        end = line.decode("utf-8", "replace").strip() or end
    return start, end


def _is_jsonl(file: Path) -> bool:
    """Whether every line stands for itself: not an array's file, nor an object's that goes over lines.

    Of a long first line only the two ends are looked at: an array of gigabytes may be all one line.
    """
    with file.open("rb") as lines:
        start, end = _first_line(lines)
        is_only = not any(chunk.strip() for chunk in iter(lambda: lines.read(_BYTES_AT_ONCE), b""))
    if start.startswith("[") and is_only:
        return False
    if end is not None:  # too long to be decoded for this
        return not start.startswith("[") or end.endswith("]")
    try:
        json.loads(start)
    except json.JSONDecodeError as error:
        return not (start.startswith(("{", "[")) and error.pos >= len(start))
    except (RecursionError, ValueError):
        return True
    return True
