"""A memory out, as JSONL or Markdown, and chats in. Levels, facts and vectors are not written; they are made again."""

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import chain
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, DataError, StorageError
from interconnected_ai.memory.addressing import known_sessions
from interconnected_ai.memory.editing import history_of
from interconnected_ai.memory.hand_facts import check_hand_fact, read_hand_facts
from interconnected_ai.memory.importing import (
    KINDS,
    BadRow,
    FactRow,
    Item,
    PinRow,
    Reading,
    Row,
    SessionRow,
    Unread,
    ZoneRow,
    items_of,
    read_messages,
)
from interconnected_ai.memory.log import NewMessage, check_name, check_text, messages_in, read_sessions, session_number
from interconnected_ai.memory.pins import pins_of
from interconnected_ai.memory.records import (
    DEFAULT_SESSION,
    DEFAULT_USER,
    Edit,
    HandFact,
    Message,
    Pin,
    SessionInfo,
    Transfer,
)
from interconnected_ai.memory.speakers import one_line
from interconnected_ai.memory.sqlite import stores_here
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.times import shown_at, zone_name, zone_of
from interconnected_ai.memory.user_zones import zone_names
from interconnected_ai.storage import atomic_file
from interconnected_ai.text import is_blank

_ROWS_AT_ONCE = 200
_Good = Row | PinRow | FactRow | SessionRow | ZoneRow


def export(
    store: Store, path: Path, *, session: str | None, user: str | None, overwrite: bool, lines: "Lines | None" = None
) -> Transfer:
    """Write log, pins and time zones of one session, one user, or everybody, as they stand at one moment.

    lines: how; default: as JSONL.

    Raises `UnknownNameError` for a user or session that is not there; see `write_lines` for the rest.
    """
    with store.read() as rows:
        known_sessions(rows, user, session)
    _require_free(path, overwrite)
    with store.read() as rows:
        owners = [(info.user, info.session) for info in read_sessions(rows, user)]
        chosen = [(owner, name) for owner, name in owners if session is None or name == session]
        facts = [fact for owner, name in chosen for fact in read_hand_facts(rows, owner, name)]
        zones = zone_names(rows)
        pinners = [name for (name,) in rows.all("SELECT DISTINCT user_name FROM pins ORDER BY user_name")]
        # of some users there is nothing but pins and a zone
        others = [name for name in (*pinners, *sorted(zones)) if session is None and user in (None, name)]
        whose = list(dict.fromkeys([*(owner for owner, _ in chosen), *others]))
        pins = [pin for owner in whose for pin in pins_of(rows, owner)]
        pins = [pin for pin in pins if session is None or pin.session in (None, session)]
        clocks = [UserZone(owner, zones[owner]) for owner in whose if owner in zones]
        numbers = (session_number(rows, owner, name) for owner, name in chosen)
        messages = (_with_history(rows, message) for number in numbers for message in messages_in(rows, number))
        filled = {(pin.user, pin.session) for pin in pins} | {(fact.user, fact.session) for fact in facts}
        empty = [
            info
            for info in read_sessions(rows, user)
            if not info.num_messages and (info.user, info.session) in set(chosen) - filled
        ]
        every: Iterable[Exported] = chain(messages, pins, facts, empty, clocks)
        return write_lines(path, every, overwrite=overwrite, lines=lines or json_lines)


@dataclass(frozen=True, slots=True)
class UserZone:
    """Where a user's clock hangs, by the name of the zone."""

    user: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Edited:
    """A message with what it said before."""

    message: Message
    edits: tuple[Edit, ...]


def _with_history(rows: Rows, message: Message) -> Message | Edited:
    edits = history_of(rows, message.number)
    return Edited(message, tuple(edits)) if edits else message


Exported = Message | Edited | Pin | HandFact | SessionInfo | UserZone
Lines = Callable[[Iterable[Exported]], Iterator[str]]


def write_lines(
    path: Path,
    rows: Iterable[Exported],
    *,
    overwrite: bool = False,
    lines: "Lines | None" = None,
) -> Transfer:
    """Write an export, whole or not at all.

    Raises `StorageError` where a file stands and `overwrite` is not asked for, and always where it would replace a database.
    """
    _require_free(path, overwrite)
    counts: Counter[type] = Counter()

    def counted() -> Iterator[Exported]:
        for one in rows:
            counts[type(one)] += 1
            yield one

    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        for line in (lines or json_lines)(counted()):
            file.write(line + "\n")
        _require_free(path, overwrite)  # somebody may have written there meanwhile
    num_messages = counts[Message] + counts[Edited]
    return Transfer(num_messages, counts[Pin], num_facts=counts[HandFact], num_zones=counts[UserZone])


def json_lines(rows: Iterable[Exported]) -> Iterator[str]:
    """Each message, pin, fact by hand, empty session and time zone of a user as a JSON object."""
    for one in rows:
        yield json.dumps(_json_row(one), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Markdown:
    """Sessions under headings, days under those, messages as quotations: what is said cannot pass for a heading.

    zone_of: of a user, where the clock of the printed times hangs, None where this machine's does.
    """

    zone_of: Callable[[str], tzinfo | None]

    def __call__(self, rows: Iterable[Exported]) -> Iterator[str]:
        """The lines of a file."""
        session: tuple[str, str] | None = None
        day, zone = "", None
        for row in rows:
            one = row.message if isinstance(row, Edited) else row
            if isinstance(one, UserZone):
                continue  # each session says in which zone its times are
            if isinstance(one, SessionInfo):
                yield from (f"# {_in_line(one.session)}", "", f"User {_in_line(one.user)}; nothing was said.", "")
                continue
            if isinstance(one, HandFact):
                if day != "facts":
                    yield from ("# Facts set by hand", "")
                day = "facts"
                yield from (_fact_line(one, self.zone_of(one.user)), "")
                continue
            if isinstance(one, Pin):
                if day != "pins":
                    yield from ("# Pinned", "")
                day = "pins"
                where = f"session {_in_line(one.session)}" if one.session is not None else "all sessions"
                yield from (f"**{_in_line(one.user)}**, {where}", "", *_quotation(one.text), "")
                continue
            if session != (one.user, one.session):
                session, day, zone = (one.user, one.session), "", self.zone_of(one.user)
                times = f"times are {zone_name(zone)}."
                yield from (f"# {_in_line(one.session)}", "", f"User {_in_line(one.user)}; {times}", "")
            moment = shown_at(one.time, zone)
            if day != f"{moment:%Y-%m-%d}":
                day = f"{moment:%Y-%m-%d}"
                yield from (f"## {day}", "")
            yield from (f"**{_in_line(one.role)}**, {moment:%H:%M}", "", *_quotation(one.content), "")


def _fact_line(fact: HandFact, zone: tzinfo | None) -> str:
    said = f"{_in_line(fact.subject)} {_in_line(fact.relation)} {_in_line(fact.value)}"
    until = "" if fact.valid_until is None else f", until {shown_at(fact.valid_until, zone):%Y-%m-%d %H:%M}"
    where = f"**{_in_line(fact.user)}**, session {_in_line(fact.session)}, {shown_at(fact.time, zone):%Y-%m-%d}"
    return f"{where}: {'no longer: ' if fact.ends else ''}{said}{until}"


def _quotation(text: str) -> Iterator[str]:
    return (f"> {line}".rstrip() for line in text.splitlines() or [""])


def _in_line(name: str) -> str:
    """A name as it may stand within a line of Markdown."""
    return re.sub(r"([\\`*_#<>\[\]])", r"\\\1", one_line(name))


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
    # what is encrypted has no header, and what is open here only SQLite may open
    if Path(f"{path}-wal").exists() or stores_here(path) or _is_database(path):
        raise StorageError(f"{path} is a database, perhaps a memory, and would be replaced; choose another name")
    if not overwrite:
        raise StorageError(f"{path} exists; use --overwrite (overwrite=True) to replace it, or choose another name")


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16).startswith(_DATABASES)
    except OSError as error:
        raise StorageError(f"cannot look into {path}, which would be replaced: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message, whom it belongs to, and what it said before."""

    user: str
    session: str
    message: NewMessage
    edits: tuple[Edit, ...] = ()


def rows_in(messages: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Messages of a chat API as rows. Raises `DataError` for the first that is none; those without words are left out."""
    rows = []
    for item in read_messages("messages", list(messages)):
        if isinstance(item, BadRow):
            raise DataError(f"{item.where}: {item.why}")
        if isinstance(item, Row):
            rows.append(item)
    return rows


@dataclass(frozen=True, slots=True)
class Importer:
    """What an import does with what it reads.

    new: (role, content, time, id) to a checked message. append: writes a batch; returns how many were not there yet, and how
    many have other words now. pin: (text, session, user, time) pins it, false when it is there. facts: writes what was set by
    hand; how much of it was new. begin: (session, user) makes a session with nothing in it. zone: (user, name) keeps where a
    user's clock hangs, false when that is known. user, session: of rows that name none. skip_bad: whether rows that cannot be
    read are counted and left out, rather than being the end of it.
    """

    new: Callable[[str, str, Any, str | None], NewMessage]
    append: Callable[[Sequence[Addressed]], tuple[int, int]]
    pin: Callable[[str, str | None, str, Any], bool]
    facts: Callable[[Sequence[HandFact]], int]
    begin: Callable[[str, str], None]
    zone: Callable[[str, str], bool]
    user: str = DEFAULT_USER
    session: str = DEFAULT_SESSION
    skip_bad: bool = False
    reading: Reading = field(default_factory=Reading)

    def read(self, path: Path, progress: Callable[[int, int], None] | None = None) -> Transfer:
        """Add every row of an export, the messages some hundreds at once. progress: is told of rows done, and of all.

        All of it is read before the first message is written, and then once more, so that no more than a batch is in memory.
        Raises `DataError` naming file and place of the first bad row; nothing has been added then.
        """
        if stores_here(path):
            raise DataError(f"{path} is a memory that is in use, and no chat; export it, and import what was written")
        with _rereadable(path) as export:
            return self._read(export, progress)

    def _read(self, path: Path, progress: Callable[[int, int], None] | None) -> Transfer:
        found = self._look_through(path)
        if found.bad and not found.num_rows:
            raise DataError(
                f"{found.bad.where}: {found.bad.why}; there is no chat of a known kind in it; read are: {KINDS}"
            )
        if found.bad and not self.skip_bad:
            more = f" ({found.num_bad - 1:,} more rows cannot be read)" if found.num_bad > 1 else ""
            raise DataError(
                f"{found.bad.where}: {found.bad.why}{more}; to leave bad rows out: --skip-bad, skip_bad=True"
            )
        batch, num_pins, num_zones = _Batch(self.append), 0, 0
        by_hand: list[HandFact] = []
        moments = dict(found.first_time)
        for number, row in enumerate(self._good_rows(path), start=1):
            if progress is not None:
                progress(number, found.num_rows)
            user, session = self._owner(row)
            if isinstance(row, PinRow):
                num_pins += self.pin(row.text, row.session, user, row.time)
                continue
            if isinstance(row, FactRow):
                by_hand.append(replace(row.fact, user=user, session=session))
                continue
            if isinstance(row, SessionRow):
                self.begin(session, user)
                continue
            if isinstance(row, ZoneRow):
                num_zones += self.zone(user, row.time_zone)
                continue
            # rows without a time keep their order: each comes with the one before, or with the first that has one
            moment = moments.get((user, session)) if row.time is None else row.time
            message = self.new(row.role, row.content, moment, row.id)
            moments[user, session] = message.time
            batch.add(Addressed(user, session, message, row.edits))
        batch.flush()
        return Transfer(
            batch.num_new,
            num_pins,
            batch.num_present,
            found.num_bad,
            found.unread,
            num_edited=batch.num_edited,
            num_facts=self.facts(by_hand) if by_hand else 0,
            num_zones=num_zones,
        )

    def _look_through(self, path: Path) -> "_Findings":
        findings = _Findings()
        for item in items_of(path, self.reading):
            why = self._fault(item) if isinstance(item, _Good) else None
            findings.note(item if why is None else why, None if why else self._owner(item))
        return findings

    def _good_rows(self, path: Path) -> Iterator[_Good]:
        for item in items_of(path, self.reading):
            if isinstance(item, _Good) and self._fault(item) is None:
                yield item

    def _owner(self, item: Item) -> tuple[str, str]:
        if isinstance(item, BadRow | Unread):
            return self.user, self.session
        if isinstance(item, ZoneRow):
            return item.user or self.user, self.session
        named = item.fact if isinstance(item, FactRow) else item
        return named.user or self.user, named.session or self.session

    def _fault(self, row: _Good) -> BadRow | None:
        """What a row has that no memory can hold."""
        try:
            user, session = self._owner(row)
            check_name("user", user)
            check_name("session", session)
            if isinstance(row, Row):
                check_name("role", row.role)
                check_text("content", row.content)
                if row.id is not None:
                    check_name("id", row.id)
                for before in row.edits:
                    check_name("role", before.role)
                    check_text("edits", before.content)
            elif isinstance(row, FactRow):
                check_hand_fact(row.fact)
            elif isinstance(row, ZoneRow):
                zone_of(row.time_zone)
            elif isinstance(row, PinRow):
                check_text("pin", row.text)
                if is_blank(row.text):
                    return BadRow(row.where, "an empty text cannot be pinned")
        except (ConfigError, DataError) as error:
            return BadRow(row.where, str(error))
        return None


@contextmanager
def _rereadable(path: Path) -> Iterator[Path]:
    """A path that can be read twice: of what comes through a pipe, a copy of the same name."""
    if not path.exists() or path.is_file() or path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="iai-import-") as folder:
        copy = Path(folder) / path.name
        try:
            with path.open("rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        yield copy


class _Findings:
    """What the first reading of an export finds."""

    def __init__(self) -> None:
        self.num_rows = self.num_bad = 0
        self.bad: BadRow | None = None
        self.unread: dict[str, int] = {}
        self.first_time: dict[tuple[str, str], float] = {}

    def note(self, item: Item, owner: tuple[str, str] | None) -> None:
        if isinstance(item, BadRow):
            self.num_bad += 1
            self.bad = self.bad or item
        elif isinstance(item, Unread):
            self.unread[item.what] = self.unread.get(item.what, 0) + 1
        else:
            self.num_rows += 1
            if isinstance(item, Row) and isinstance(item.time, float) and owner is not None:
                self.first_time.setdefault(owner, item.time)


class _Batch:
    """Messages that wait to be written together."""

    def __init__(self, append: Callable[[Sequence[Addressed]], tuple[int, int]]) -> None:
        self._append = append
        self._waiting: list[Addressed] = []
        self.num_new = self.num_present = self.num_edited = 0

    def add(self, one: Addressed) -> None:
        self._waiting.append(one)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        num_new, num_edited = self._append(self._waiting)
        self.num_new += num_new
        self.num_edited += num_edited
        self.num_present += len(self._waiting) - num_new
        self._waiting.clear()


def _json_row(one: Exported) -> dict[str, Any]:
    if isinstance(one, Edited):
        edits = [{"role": edit.role, "content": edit.content, "time": _iso(edit.time)} for edit in one.edits]
        return {**_message_row(one.message), "edits": edits}
    if isinstance(one, Message):
        return _message_row(one)
    if isinstance(one, Pin):
        return _pin_row(one)
    if isinstance(one, HandFact):
        return _fact_row(one)
    if isinstance(one, UserZone):
        return {"user": one.user, "time_zone": one.time_zone}
    return {"user": one.user, "session": one.session, "num_messages": 0}


def _fact_row(fact: HandFact) -> dict[str, Any]:
    said: dict[str, Any] = {
        "subject": fact.subject,
        "relation": fact.relation,
        "value": fact.value,
        "kind": fact.kind,
        "is_single": fact.is_single,
        "ends": fact.ends,
    }
    if fact.valid_until is not None:
        said["valid_until"] = _iso(fact.valid_until)
    return {"user": fact.user, "session": fact.session, "time": _iso(fact.time), "fact": said}


def _message_row(message: Message) -> dict[str, Any]:
    return {
        "user": message.user,
        "session": message.session,
        "id": message.id,
        "role": message.role,
        "time": _iso(message.time),
        "content": message.content,
    }


def _pin_row(pin: Pin) -> dict[str, str | None]:
    return {"user": pin.user, "session": pin.session, "time": _iso(pin.time), "pin": pin.text}


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()
