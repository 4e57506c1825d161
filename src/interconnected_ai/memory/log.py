"""The verbatim log: messages as they were given, each once, in the order of time. Everything else is made from it."""

import math
import time as clock
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from interconnected_ai.errors import Blame, DataError, UnknownNameError
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import BOUNDARY_COLUMNS, Boundaries, level_at, settle
from interconnected_ai.memory.numbering import MAX_PLACE, Kind, entry_of, number_of, place_of, session_of
from interconnected_ai.memory.quoting import content_thousandths
from interconnected_ai.memory.records import Capacities, Message, SessionInfo, message_of
from interconnected_ai.memory.search import session_range
from interconnected_ai.memory.speakers import is_named, is_reply, one_line
from interconnected_ai.memory.store import Rows, Store, for_in
from interconnected_ai.text import Terms, is_blank, terms

_LONGEST_NAME = 200
_DAY_SECONDS = 86_400
_SKEW_SECONDS = 60  # by which clocks of several machines differ, or one is put back when it is set right
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
    thousandths: int
    terms: Terms

    @property
    def is_reply(self) -> bool:
        """Whether an assistant, a tool or the system said it."""
        return is_reply(self.role)


def new_message(role: str, content: str, *, time: float, id: str | None, num_tokens: int) -> NewMessage:
    """Check and analyse a message before any lock is held; `DataError` says what cannot be remembered."""
    check_name("role", role)
    if id is not None:
        check_name("id", id)
    if not isinstance(content, str):
        raise DataError(f"content is {type(content).__name__}; needed is text")
    check_text("content", content)
    if not isinstance(num_tokens, int) or num_tokens < 0:
        raise DataError(f"count_tokens returned {num_tokens!r}; needed is a number of tokens from 0")
    thousandths = content_thousandths(content)
    return NewMessage(
        id or uuid.uuid4().hex[:20], role, content, time, num_tokens, thousandths, indexed_terms(role, content)
    )


def indexed_terms(role: str, content: str) -> Terms:
    """What of a message goes into the index."""
    return terms(as_spoken(role, content[:_INDEXED_CHARS]))


def as_spoken(role: str, content: str) -> str:
    """A message with the speaker's name, where a role is one: "what did Caroline say" must find her words."""
    return f"{one_line(role)}: {content}" if is_named(role) else content


def end_of_tomorrow(now: float) -> float:
    """When the day after tomorrow begins, in UTC. What is dated from there on cannot have been said yet."""
    return (now // _DAY_SECONDS + 2) * _DAY_SECONDS


def append(
    store: Store,
    rows: Rows,
    user: str,
    session: str,
    message: NewMessage,
    capacities: Capacities,
    kinds: Sequence[str],
    *,
    is_said_now: bool = False,
) -> tuple[int, bool]:
    """Write a message at the end of its session, which begins when it is new; (message number, whether it was added).

    The same id with the same role and content again changes nothing. kinds: jobs that every message asks for. is_said_now: its
    time is that of its writing, so that messages of many writers stand in the order of time; a clock that is behind by less
    than a minute changes nothing of that order. What was said before something that is there already takes its place by a job
    of its own (see `ordering`).
    """
    number, taken = _take_place(rows, user, session, message)
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
    place, owner, levels = taken[0], taken[1], Boundaries(*taken[2:])
    if place > MAX_PLACE:
        raise DataError(f"session {session!r} holds {MAX_PLACE} messages, which is all it can; begin another one")
    where = number_of(number, place)
    newest = _newest_time(rows, number)
    if is_said_now:
        now = clock.time()
        # an answer that is added after its question was said after it, whatever the clock says
        message = replace(message, time=newest if now < newest <= now + _SKEW_SECONDS else now)
    is_ahead = message.time >= end_of_tomorrow(clock.time())
    is_late = not is_ahead and newest > message.time
    rows.run(
        "INSERT INTO messages (number, session, id, role, is_reply, content, time, num_tokens, num_words, ahead, "
        "thousandths) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        where, number, message.id, message.role, int(message.is_reply), message.content, message.time, message.num_tokens,
        message.terms.num_words, int(is_ahead), message.thousandths,
    )  # fmt: skip
    store.add_terms(
        rows, owner, [(message_entry(where, message.is_reply, message.terms.num_words), message.terms.terms)]
    )
    for kind in (*kinds, "order") if is_late else kinds:
        want(rows, kind, number)
    settle(rows, levels, capacities)
    return where, True


def _take_place(rows: Rows, user: str, session: str, message: NewMessage) -> tuple[int, tuple[Any, ...]]:
    """The next place of a session: the session's number, and the place with owner and boundaries.

    The row is changed first: on PostgreSQL that is the lock that keeps two writers of one session apart. Whoever waited for one
    that forgot the session begins it anew.
    """
    while True:
        number = session_number(rows, user, session, create=True)
        taken = rows.all(
            "UPDATE sessions SET last_place = last_place + 1, num_messages = num_messages + 1, num_words = num_words + ?, "
            f"current_tokens = current_tokens + ? WHERE number = ? RETURNING last_place, owner, {BOUNDARY_COLUMNS}",
            message.terms.num_words, message.num_tokens, number,
        )  # fmt: skip
        if taken:
            return number, taken[0]


def _newest_time(rows: Rows, session: int) -> float:
    """When the last of a session's messages was said that is not dated ahead; -inf where there is none."""
    last = "SELECT time FROM messages WHERE session = ? AND coalesce(ahead, 0) = 0 ORDER BY time DESC LIMIT 1"
    found = rows.one(last, session)
    return -math.inf if found is None else float(found[0])


def message_entry(number: int, is_reply: bool, num_words: int) -> int:
    """The index entry of a message."""
    return entry_of(number, Kind.REPLY if is_reply else Kind.SPEECH, num_words)


_COLUMNS = (
    "m.id, s.user_name, s.name, m.number, m.role, m.content, m.time, m.num_tokens, m.is_reply, s.stale_upto, s.long_upto, "
    "coalesce(m.ahead, 0), {thousandths} "
    "FROM messages m JOIN sessions s ON s.number = m.session"
)
_OWN_COLUMNS = "id, number, role, content, time, num_tokens, is_reply, coalesce(ahead, 0), {thousandths}"


def _columns(rows: Rows) -> str:
    return _COLUMNS.format(thousandths=rows.thousandths)


def read_messages(rows: Rows, numbers: Sequence[int]) -> dict[int, Message]:
    """Messages by number, those that are there."""
    found: dict[int, Message] = {}
    if not numbers:
        return found
    # not joined: nearly all are of one session, and a context reads hundreds
    marks, sessions = for_in(sorted({session_of(number) for number in numbers}))
    query = f"SELECT number, user_name, name, stale_upto, long_upto FROM sessions WHERE number IN ({marks})"
    told = {session: of_it for session, *of_it in rows.all(query, *sessions)}
    for start in range(0, len(numbers), 512):
        marks, part = for_in(numbers[start : start + 512])
        columns = _OWN_COLUMNS.format(thousandths=rows.thousandths)
        query = f"SELECT session, {columns} FROM messages WHERE number IN ({marks})"
        for session, id, number, role, content, time, num_tokens, replies, ahead, thousandths in rows.all(query, *part):
            if session not in told:  # a stray, which a check tells of
                continue
            user, name, stale_upto, long_upto = told[session]
            place = place_of(number)
            level = level_at(place, stale_upto, long_upto)
            found[number] = message_of(
                id, user, name, place, role, content, time, num_tokens, level, number, bool(replies), bool(ahead), thousandths
            )  # fmt: skip
    return found


def find_message(rows: Rows, sessions: Sequence[int], id: str) -> Message | None:
    """The message of that id in the first of the sessions that has one."""
    for session in sessions:
        found = rows.one(f"SELECT {_columns(rows)} WHERE m.session = ? AND m.id = ?", session, id)
        if found is not None:
            return _message(found)
    return None


def find_messages_of(rows: Rows, user: str, ids: Sequence[str]) -> list[Message]:
    """The messages of a user that have these ids, in the order of the ids; those that are there."""
    found: dict[str, list[Message]] = {}
    for start in range(0, len(ids), 512):
        part = ids[start : start + 512]
        marks = ", ".join("?" * len(part))
        for row in rows.all(
            f"SELECT {_columns(rows)} WHERE s.user_name = ? AND m.id IN ({marks}) ORDER BY m.number", user, *part
        ):
            found.setdefault(row[0], []).append(_message(row))
    return [message for id in dict.fromkeys(ids) for message in found.get(id, ())]


def last_messages(rows: Rows, session: int, num_last: int) -> list[Message]:
    """The messages of a session that were said last, oldest first; of equal times those that stand later.

    One that is dated ahead counts as said with what stands before it.
    """
    ranked = [
        (time, number)
        for time, number in rows.all(
            "SELECT time, number FROM messages WHERE session = ? AND coalesce(ahead, 0) = 0 "
            "ORDER BY time DESC, number DESC LIMIT ?",
            session, num_last,
        )
    ]  # fmt: skip
    before = "SELECT max(time) FROM messages WHERE session = ? AND number < ? AND coalesce(ahead, 0) = 0"
    for (number,) in rows.all(
        "SELECT number FROM messages WHERE session = ? AND ahead = 1 ORDER BY number DESC LIMIT ?", session, num_last
    ):
        found = rows.one(before, session, number)
        ranked.append((found[0] if found and found[0] is not None else -math.inf, number))
    last = sorted(ranked)[-num_last:] if num_last else []
    messages = read_messages(rows, [number for _, number in last])
    return [messages[number] for _, number in last]


def messages_between(rows: Rows, session: int, first_place: int, last_place: int) -> list[Message]:
    """The messages at these places, both included, in order."""
    found = rows.all(
        f"SELECT {_columns(rows)} WHERE m.number >= ? AND m.number <= ? ORDER BY m.number",
        number_of(session, first_place), number_of(session, last_place),
    )  # fmt: skip
    return [_message(row) for row in found]


def messages_after(rows: Rows, session: int, place: int, limit: int) -> list[Message]:
    """The next messages after a place, in order."""
    found = rows.all(
        f"SELECT {_columns(rows)} WHERE m.number > ? AND m.number < ? ORDER BY m.number LIMIT ?",
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
    made = None
    while made is None:  # another may make it at this moment, and another yet forget it
        rows.run(
            "INSERT INTO sessions (user_name, name) VALUES (?, ?) ON CONFLICT (user_name, name) DO NOTHING",
            user,
            session,
        )
        made = rows.one("SELECT number FROM sessions WHERE user_name = ? AND name = ?", user, session)
    rows.run(  # the user's, where there is one already; see `scope`
        "UPDATE sessions SET owner = (SELECT min(coalesce(owner, number)) FROM sessions WHERE user_name = ?) "
        "WHERE number = ? AND owner IS NULL",
        user, made[0],
    )  # fmt: skip
    return int(made[0])


def locked_session(store: Store, rows: Rows, user: str, session: str) -> int:
    """The number of a session that others are kept away from; one that is not there, or was forgotten just now, begins."""
    number = session_number(rows, user, session, create=True)
    while not store.lock(rows, number):
        number = session_number(rows, user, session, create=True)
    return number


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
    """Refuse what cannot name a user, session, role, relation or message."""
    if not isinstance(name, str) or is_blank(name) or len(name) > _LONGEST_NAME or "\0" in name:
        needed = f"needed is text of 1 to {_LONGEST_NAME} characters, of which something can be seen, without NUL"
        raise DataError(f"{what}={name!a}: {needed}").blaming(Blame(what, needed))
    check_text(what, name)


def check_text(what: str, text: str) -> None:
    """Refuse halves of characters, which no file and no database can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{what} has half a character (a lone surrogate) at {error.start}; it was cut or decoded wrongly where it came from"
        ) from error


def as_seconds(time: float | int | str | datetime | None, now: float, what: str = "time") -> float:
    """A time as seconds since 1970: given so, as a datetime, or as ISO 8601 text; without a zone it is UTC.

    what: the call's word for it. Raises `DataError` for what is no time.
    """
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
            f"{what}={time!r}: needed are seconds since 1970, a datetime, or ISO 8601 text such as 2026-03-14T09:30 ({error})"
        ).blaming(Blame(what, f"{time!r} is no time ({error}); give ISO 8601, such as 2026-03-14T09:30")) from error
    return seconds


def _message(row: tuple[Any, ...]) -> Message:
    id, user, session, number, role, content, time, num_tokens, is_reply, stale_upto, long_upto, ahead, thousandths = (
        row
    )
    place = place_of(number)
    level = level_at(place, stale_upto, long_upto)
    return Message(
        id, user, session, place, role, content, time, num_tokens, level, number, bool(is_reply), bool(ahead), thousandths
    )  # fmt: skip
