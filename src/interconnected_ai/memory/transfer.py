"""Memory as JSONL, out and in: a line a message or pin. Levels, facts and vectors are not written; they are made again."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, DataError, StorageError
from interconnected_ai.memory.addressing import known_sessions
from interconnected_ai.memory.log import NewMessage, check_name, messages_in, read_sessions, session_number
from interconnected_ai.memory.pins import pins_of
from interconnected_ai.memory.records import DEFAULT_SESSION, DEFAULT_USER, Message, Pin, Transfer
from interconnected_ai.memory.store import Store
from interconnected_ai.storage import atomic_file

_ROWS_AT_ONCE = 200


def export(store: Store, path: Path, *, session: str | None, user: str | None, overwrite: bool) -> Transfer:
    """Write log and pins of one session, one user, or everybody, as they stand at one moment.

    Raises `UnknownNameError` for a user or session that is not there; see `write_lines` for the rest.
    """
    with store.read() as rows:
        known_sessions(rows, user, session)
        owners = [(info.user, info.session) for info in read_sessions(rows, user)]
        chosen = [(owner, name) for owner, name in owners if session is None or name == session]
        pins = [pin for owner in dict.fromkeys(o for o, _ in chosen) for pin in pins_of(rows, owner)]
        pins = [pin for pin in pins if session is None or pin.session in (None, session)]
        numbers = (session_number(rows, owner, name) for owner, name in chosen)
        messages = (message for number in numbers for message in messages_in(rows, number))
        return write_lines(path, messages, pins, overwrite=overwrite)


def write_lines(path: Path, messages: Iterable[Message], pins: Iterable[Pin], *, overwrite: bool = False) -> Transfer:
    """Write an export, whole or not at all: messages in order, then pins.

    Raises `StorageError` where a file stands and `overwrite` is not asked for, and always where it would replace a database.
    """
    _require_free(path, overwrite)
    num_messages = num_pins = 0
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        for message in messages:
            file.write(json.dumps(_message_row(message), ensure_ascii=False) + "\n")
            num_messages += 1
        for pin in pins:
            row = {"user": pin.user, "session": pin.session, "time": _iso(pin.time), "pin": pin.text}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            num_pins += 1
        _require_free(path, overwrite)  # somebody may have written there meanwhile
    return Transfer(num_messages, num_pins)


_DATABASES = (
    b"SQLite format 3\0",
    b"\x37\x7f\x06\x82",
    b"\x37\x7f\x06\x83",
)  # and its write-ahead log, of either byte order


def _require_free(path: Path, overwrite: bool) -> None:
    """An export may replace a file, but neither devices nor the very memory that it comes from, nor any other database."""
    if not path.exists():
        return
    if not path.is_file():
        raise StorageError(f"{path} is no file that could be replaced; choose another name")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise StorageError(f"cannot look into {path}, which would be replaced: {error.strerror}") from error
    if start.startswith(_DATABASES):
        raise StorageError(f"{path} is a database, perhaps a memory, and would be replaced; choose another name")
    if not overwrite:
        raise StorageError(f"{path} exists; use --overwrite (overwrite=True) to replace it, or choose another name")


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message and whom it belongs to."""

    user: str
    session: str
    message: NewMessage


@dataclass(frozen=True, slots=True)
class Reader:
    """What an import does with what it reads.

    new: (role, content, time, id) to a checked message. append: writes a batch, returns how many were not there yet. pin:
    (text, session, user, time) pins it, false when it is there. user, session: of rows that name none.
    """

    new: Callable[[str, str, Any, str], NewMessage]
    append: Callable[[Sequence[Addressed]], int]
    pin: Callable[[str, str | None, str, Any], bool]
    user: str = DEFAULT_USER
    session: str = DEFAULT_SESSION

    def read(self, path: Path, progress: Callable[[int, int], None] | None = None) -> Transfer:
        """Add every row of a file, the messages some hundreds at once. progress: is told of lines done, and of all.

        Raises `DataError` naming file and line, after what came before it has been added.
        """
        num_pins = 0
        batch = _Batch(self.append)
        last_time: dict[tuple[str, str], float] = {}
        num_lines = _num_lines(path) if progress is not None else 0
        try:
            for number, row in rows_of(path):
                if progress is not None:
                    progress(number, num_lines)
                with _named(path, number):
                    user, session = row.get("user") or self.user, row.get("session") or self.session
                    check_name("user", user)
                    check_name("session", session)
                    if "pin" in row:
                        num_pins += self.pin(row["pin"], row.get("session") or None, user, row.get("time"))
                        continue
                    # rows without a time keep their order: each comes with or after the one before
                    moment = row.get("time", last_time.get((user, session)))
                    message = self.new(row["role"], row["content"], moment, str(row["id"]))
                last_time[user, session] = message.time
                batch.add(Addressed(user, session, message))
        except DataError:
            batch.flush()
            raise
        batch.flush()
        return Transfer(batch.num_new, num_pins, batch.num_present)


def _num_lines(path: Path) -> int:
    """Of a file that can be read; what is wrong with another one, `rows_of` says."""
    try:
        with path.open("rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return 0


@contextmanager
def _named(path: Path, number: int) -> Iterator[None]:
    """Say of what cannot be remembered in which line it stands."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise DataError(f"{path}, line {number}: {error}") from error


class _Batch:
    """Messages that wait to be written together."""

    def __init__(self, append: Callable[[Sequence[Addressed]], int]) -> None:
        self._append = append
        self._waiting: list[Addressed] = []
        self.num_new = self.num_present = 0

    def add(self, one: Addressed) -> None:
        self._waiting.append(one)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        added = self._append(self._waiting)
        self.num_new += added
        self.num_present += len(self._waiting) - added
        self._waiting.clear()


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of every message and pin in a file; a line with `messages` is a whole dialogue.

    Raises `DataError` naming file and line.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield from _rows_in(path, number, _text_of(path, number, line))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _text_of(path: Path, number: int, line: bytes) -> str:
    try:
        return line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number} is not UTF-8 (its byte {error.start + 1}); convert the file first"
        ) from error


def row_id(line_number: int, part: int, role: str, content: str) -> str:
    """An id for a row without one, the same each time the file is imported, so that a second import adds nothing."""
    digest = hashlib.sha256(f"{line_number}\0{part}\0{role}\0{content}".encode("utf-8", "surrogatepass"))
    return f"row-{digest.hexdigest()[:20]}"


def _rows_in(path: Path, number: int, line: str) -> Iterator[tuple[int, dict[str, Any]]]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error.msg}, at character {error.pos + 1} of it") from error
    except (RecursionError, ValueError) as error:  # brackets a thousand deep, numbers of thousands of digits
        raise DataError(f"{where} cannot be read as JSON: {str(error)[:200]}") from error
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
            if not isinstance(one["id"], str | int):
                raise DataError(f"{where}: id is {one['id']!r}, needed is text or a whole number")
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
