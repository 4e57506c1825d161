"""Memory as JSONL, out and in: a line a message or pin. Levels, facts and vectors are not written; they are made again."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.records import Message, Pin
from interconnected_ai.storage import atomic_file


def write_lines(path: Path, messages: Iterable[Message], pins: Iterable[Pin]) -> tuple[int, int]:
    """Write an export, whole or not at all: messages in order, then pins; (number of messages, number of pins)."""
    num_messages = num_pins = 0
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        for message in messages:
            file.write(json.dumps(_message_row(message), ensure_ascii=False) + "\n")
            num_messages += 1
        for pin in pins:
            row = {"user": pin.user, "session": pin.session, "time": _iso(pin.time), "pin": pin.text}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            num_pins += 1
    return num_messages, num_pins


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of every message and pin in a file; a line with `messages` is a whole dialogue.

    Raises `DataError` naming file and line.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield from _rows_in(path, number, line)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); convert it first") from error


def row_id(line_number: int, part: int, role: str, content: str) -> str:
    """An id for a row without one, the same each time the file is imported, so that a second import adds nothing."""
    digest = hashlib.sha256(f"{line_number}\0{part}\0{role}\0{content}".encode("utf-8", "surrogatepass"))
    return f"row-{digest.hexdigest()[:20]}"


def _rows_in(path: Path, number: int, line: str) -> Iterator[tuple[int, dict[str, Any]]]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} holds a JSON {type(row).__name__}, needed is an object with role and content")
    rows = row.get("messages", [row])
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise DataError(f"{where}: messages must be a list of objects with role and content")
    shared = {key: row[key] for key in ("user", "session", "time") if key in row}
    for part, one in enumerate(rows):
        one = {**shared, **one}
        if "pin" not in one:
            _require_text(where, one, "role")
            _require_text(where, one, "content")
            one.setdefault("id", row_id(number, part, one["role"], one["content"]))
        else:
            _require_text(where, one, "pin")
        yield number, one


def _require_text(where: str, row: dict[str, Any], key: str) -> None:
    if not isinstance(row.get(key), str):
        raise DataError(f"{where}: {key} is {row.get(key)!r}, needed is text")


def _message_row(message: Message) -> dict[str, str]:
    return {
        "user": message.user,
        "session": message.session,
        "id": message.id,
        "role": message.role,
        "time": _iso(message.time),
        "content": message.content,
    }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()
