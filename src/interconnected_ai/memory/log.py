"""The verbatim log: messages as they were given, each once, in the order they came. Everything else is made from it."""

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interconnected_ai.errors import DataError, UnknownNameError
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import BOUNDARY_COLUMNS, Boundaries, settle
from interconnected_ai.memory.numbering import MAX_PLACE, Kind, entry_of, number_of, place_of
from interconnected_ai.memory.records import Capacities, Message, SessionInfo
from interconnected_ai.memory.search import session_range
from interconnected_ai.memory.speakers import is_named, is_reply, one_line
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import Terms, terms

_LONGEST_NAME = 200
_ROWS_AT_ONCE = 200
_INDEXED_CHARS = 200_000  # of one message; what is beyond stands in the log and is not searched


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that was checked and counted and waits for its place."""

    id: str
    role: str
    content: str
    time: float
    num_tokens: int
    terms: Terms

    @property
    def is_reply(self) -> bool:
        """Whether an assistant, a tool or the system said it."""
        return is_reply(self.role)


def new_message(role: str, content: str, *, time: float, id: str | None, num_tokens: int) -> NewMessage:
    """Check and analyse a message before any lock is held; `DataError` says what cannot be remembered."""
    check_name("role", role)
    if not one_line(role):
        raise DataError(
            f"role={role!r} has nothing that can be seen; give `user`, `assistant`, or the name of who speaks"
        )
    if id is not None:
        check_name("id", id)
    if not isinstance(content, str):
        raise DataError(f"content is {type(content).__name__}; needed is text")
    check_text("content", content)
    if not isinstance(num_tokens, int) or num_tokens < 0:
        raise DataError(f"count_tokens returned {num_tokens!r}; needed is a number of tokens from 0")
    return NewMessage(id or uuid.uuid4().hex[:20], role, content, time, num_tokens, indexed_terms(role, content))


def indexed_terms(role: str, content: str) -> Terms:
    """What of a message goes into the index."""
    return terms(as_spoken(role, content[:_INDEXED_CHARS]))


def as_spoken(role: str, content: str) -> str:
    """A message with the speaker's name, where a role is one: "what did Caroline say" must find her words."""
    return f"{one_line(role)}: {content}" if is_named(role) else content


def append(
    store: Store, rows: Rows, user: str, session: str, message: NewMessage, capacities: Capacities, kinds: Sequence[str]
) -> tuple[int, bool]:
    """Write a message at the end of its session, which begins when it is new; (message number, whether it was added).

    The same id with the same role and content again changes nothing. kinds: jobs that every message asks for.
    """
    number = session_number(rows, user, session, create=True)
    # The row is changed first: on PostgreSQL that is the lock that keeps two writers of one session apart.
    taken = rows.all(
        "UPDATE sessions SET last_place = last_place + 1, num_messages = num_messages + 1, num_words = num_words + ?, "
        f"current_tokens = current_tokens + ? WHERE number = ? RETURNING last_place, {BOUNDARY_COLUMNS}",
        message.terms.num_words, message.num_tokens, number,
    )[0]  # fmt: skip
    present = rows.one("SELECT number, role, content FROM messages WHERE session = ? AND id = ?", number, message.id)
    if present is not None:
        if present[1:] != (message.role, message.content):
            raise DataError(
                f"id {message.id!r} stands in session {session!r} already with other words; the log is never rewritten: "
                "give another id, or forget the old message first"
            )
        rows.run(
            "UPDATE sessions SET last_place = last_place - 1, num_messages = num_messages - 1, num_words = num_words - ?, "
            "current_tokens = current_tokens - ? WHERE number = ?",
            message.terms.num_words, message.num_tokens, number,
        )  # fmt: skip
        return int(present[0]), False
    place, levels = taken[0], Boundaries(*taken[1:])
    if place > MAX_PLACE:
        raise DataError(f"session {session!r} holds {MAX_PLACE} messages, which is all it can; begin another one")
    where = number_of(number, place)
    rows.run(
        "INSERT INTO messages (number, session, id, role, is_reply, content, time, num_tokens, num_words) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        where, number, message.id, message.role, int(message.is_reply), message.content, message.time, message.num_tokens,
        message.terms.num_words,
    )  # fmt: skip
    store.add_terms(rows, [(message_entry(where, message.is_reply, message.terms.num_words), message.terms.terms)])
    for kind in kinds:
        want(rows, kind, number)
    settle(rows, levels, capacities)
    return where, True


def message_entry(number: int, is_reply: bool, num_words: int) -> int:
    """The index entry of a message."""
    return entry_of(number, Kind.REPLY if is_reply else Kind.SPEECH, num_words)


_COLUMNS = (
    "m.id, s.user_name, s.name, m.number, m.role, m.content, m.time, m.num_tokens, m.is_reply, s.stale_upto, s.long_upto "
    "FROM messages m JOIN sessions s ON s.number = m.session"
)


def read_messages(rows: Rows, numbers: Sequence[int]) -> dict[int, Message]:
    """Messages by number, those that are there."""
    found: dict[int, Message] = {}
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        for row in rows.all(f"SELECT {_COLUMNS} WHERE m.number IN ({', '.join('?' * len(part))})", *part):
            found[row[3]] = _message(row)
    return found


def find_message(rows: Rows, sessions: Sequence[int], id: str) -> Message | None:
    """The message of that id in the first of the sessions that has one."""
    for session in sessions:
        found = rows.one(f"SELECT {_COLUMNS} WHERE m.session = ? AND m.id = ?", session, id)
        if found is not None:
            return _message(found)
    return None


def last_messages(rows: Rows, session: int, num_last: int) -> list[Message]:
    """The last messages of a session, oldest first."""
    first, end = session_range(session)
    found = rows.all(
        f"SELECT {_COLUMNS} WHERE m.number > ? AND m.number < ? ORDER BY m.number DESC LIMIT ?", first, end, num_last
    )
    return [_message(row) for row in reversed(found)]


def messages_between(rows: Rows, session: int, first_place: int, last_place: int) -> list[Message]:
    """The messages at these places, both included, in order."""
    found = rows.all(
        f"SELECT {_COLUMNS} WHERE m.number >= ? AND m.number <= ? ORDER BY m.number",
        number_of(session, first_place), number_of(session, last_place),
    )  # fmt: skip
    return [_message(row) for row in found]


def messages_after(rows: Rows, session: int, place: int, limit: int) -> list[Message]:
    """The next messages after a place, in order."""
    found = rows.all(
        f"SELECT {_COLUMNS} WHERE m.number > ? AND m.number < ? ORDER BY m.number LIMIT ?",
        number_of(session, place), session_range(session)[1], limit,
    )  # fmt: skip
    return [_message(row) for row in found]


def messages_of(store: Store, session: int) -> Iterator[Message]:
    """All messages of a session, in order; no transaction is open between them."""
    place = 0
    while True:
        with store.read() as rows:
            part = messages_after(rows, session, place, _ROWS_AT_ONCE)
        yield from part
        if len(part) < _ROWS_AT_ONCE:
            return
        place = part[-1].place


def messages_in(rows: Rows, session: int) -> Iterator[Message]:
    """All messages of a session, in order, as they stand in this transaction."""
    place = 0
    while True:
        part = messages_after(rows, session, place, _ROWS_AT_ONCE)
        yield from part
        if len(part) < _ROWS_AT_ONCE:
            return
        place = part[-1].place


def session_number(rows: Rows, user: str, session: str, *, create: bool = False) -> int:
    """The number of a user's session; `UnknownNameError` lists those there are, unless it is to be made."""
    found = rows.one("SELECT number FROM sessions WHERE user_name = ? AND name = ?", user, session)
    if found is not None:
        return int(found[0])
    if not create:
        known = [name for (name,) in rows.all("SELECT name FROM sessions WHERE user_name = ?", user)]
        raise UnknownNameError(f"session of user {user!r}", session, known)
    rows.run(
        "INSERT INTO sessions (user_name, name) VALUES (?, ?) ON CONFLICT (user_name, name) DO NOTHING", user, session
    )
    made = rows.one("SELECT number FROM sessions WHERE user_name = ? AND name = ?", user, session)
    assert made is not None, "a row that was just made is there"
    return int(made[0])


def session_numbers(rows: Rows, user: str | None, session: str | None) -> list[int]:
    """The numbers of one session, of all of a user's, or (user None) of all; a name that is not there is no error."""
    where = [("user_name = ?", user)] if user is not None else []
    where += [("name = ?", session)] if session is not None else []
    clause = f"WHERE {' AND '.join(text for text, _ in where)}" if where else ""
    return [
        number
        for (number,) in rows.all(f"SELECT number FROM sessions {clause} ORDER BY number", *[v for _, v in where])
    ]


def read_sessions(rows: Rows, user: str | None) -> list[SessionInfo]:
    """The sessions of a user, or of all, the one with the newest message last."""
    where, values = ("WHERE s.user_name = ?", [user]) if user is not None else ("", [])
    found = rows.all(
        "SELECT s.user_name, s.name, count(m.number), coalesce(sum(m.num_tokens), 0), min(m.time), max(m.time) "
        f"FROM sessions s LEFT JOIN messages m ON m.session = s.number {where} "
        "GROUP BY s.number, s.user_name, s.name ORDER BY coalesce(max(m.time), 0), s.number",
        *values,
    )
    return [SessionInfo(u, s, int(n), int(t), first, last) for u, s, n, t, first, last in found]


def check_name(what: str, name: Any) -> None:
    """Refuse what cannot name a user, session, role or message."""
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or "\0" in name:
        raise DataError(
            f"{what}={name!r}: needed is text of 1 to {_LONGEST_NAME} characters, not blank and without NUL"
        )
    check_text(what, name)


def check_text(what: str, text: str) -> None:
    """Refuse halves of characters, which no file and no database can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{what} has half a character (a lone surrogate) at {error.start}; it was cut or decoded wrongly where it came from"
        ) from error


def as_seconds(time: float | int | str | datetime | None, now: float) -> float:
    """A time as seconds since 1970: given so, as a datetime, or as ISO 8601 text; without a zone it is UTC."""
    if time is None:
        return now
    try:
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        if isinstance(time, datetime):
            time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        seconds = float(time)
        if isinstance(time, bool) or not math.isfinite(seconds):
            raise ValueError("it is no time")
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise DataError(
            f"time={time!r}: needed are seconds since 1970, a datetime, or ISO 8601 text such as 2026-03-14T09:30 ({error})"
        ) from error
    return seconds


def _message(row: tuple[Any, ...]) -> Message:
    id, user, session, number, role, content, time, num_tokens, is_reply, stale_upto, long_upto = row
    place = place_of(number)
    level = Boundaries(0, 0, 0, 0, stale_upto, long_upto).level_of(place)
    return Message(id, user, session, place, role, content, time, num_tokens, level, number, bool(is_reply))
