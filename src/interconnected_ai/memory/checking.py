"""Whether a memory is whole: the database sound, and every derived row explained by the log. Looks, and changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from interconnected_ai.memory.log import message_entry
from interconnected_ai.memory.numbering import Kind, entry_of, number_of, session_of
from interconnected_ai.memory.quoting import content_thousandths
from interconnected_ai.memory.store import Rows, Store

_MOST_TOLD = 20  # of one kind
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found. damage: of the file; restore a copy. unexplained: derived rows that the log does not account for;
    `rebuild` makes them anew. remarks: what is odd in the log and no fault. num_messages: in how many messages, 0 where the
    database itself is damaged.
    """

    damage: tuple[str, ...]
    unexplained: tuple[str, ...]
    num_messages: int
    remarks: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not (self.damage or self.unexplained)


def check(store: Store, rows: Rows) -> Check:
    """Look through a store as it stands in this transaction."""
    if faults := store.faults(rows):
        return Check(tuple(faults), (), 0)
    damage = list(_strays(rows))
    unexplained = [*_counts(rows), *_estimates(rows), *_derived(rows), *_index(store, rows)]
    total = rows.one("SELECT count(*) FROM messages")
    assert total is not None, "a count is always one row"
    return Check(tuple(damage), tuple(unexplained), int(total[0]), tuple(_remarks(rows)))


def _remarks(rows: Rows) -> Iterator[str]:
    """Messages that are dated beyond the day after they came."""
    found = rows.all(
        "SELECT m.id, s.name, s.user_name, m.time FROM messages m JOIN sessions s ON s.number = m.session WHERE m.ahead = 1 "
        "ORDER BY m.number LIMIT ?",
        _MOST_TOLD,
    )
    for id, session, user, time in found:
        when = datetime.fromtimestamp(time, UTC).date().isoformat()
        yield f"message {id!r} in session {session!r} of user {user!r} is dated ahead, {when}: it supersedes nothing"


def _strays(rows: Rows) -> Iterator[str]:
    """Messages and pins that belong to no session."""
    for number, session in rows.all("SELECT number, session FROM messages ORDER BY number"):
        if session_of(number) != session:
            yield f"message {number} stands in session {session}, its number in {session_of(number)}"
    for table in ("messages", "pins", "hand_facts"):
        found = rows.all(
            f"SELECT number FROM {table} WHERE session IS NOT NULL AND session NOT IN (SELECT number FROM sessions) "
            f"ORDER BY number LIMIT {_MOST_TOLD}"
        )
        yield from (f"{table[:-1]} {number} is of a session that is not there" for (number,) in found)
    for (message,) in rows.all("SELECT DISTINCT message FROM edits WHERE message NOT IN (SELECT number FROM messages)"):
        yield f"an edit is of message {message}, which is not there"


def _counts(rows: Rows) -> Iterator[str]:
    """Sessions whose counts are not those of their messages."""
    kept = "num_messages, num_words, current_tokens, stale_tokens, long_tokens"
    sessions = rows.all(f"SELECT number, user_name, name, stale_upto, long_upto, {kept} FROM sessions ORDER BY number")
    for number, user, name, stale_upto, long_upto, *counts in sessions:
        stale, long = number_of(number, stale_upto), number_of(number, long_upto)
        found = rows.one(
            "SELECT count(*), coalesce(sum(num_words), 0), "
            "coalesce(sum(CASE WHEN number > ? THEN num_tokens ELSE 0 END), 0), "
            "coalesce(sum(CASE WHEN number > ? AND number <= ? THEN num_tokens ELSE 0 END), 0), "
            "coalesce(sum(CASE WHEN number <= ? THEN num_tokens ELSE 0 END), 0) FROM messages WHERE session = ?",
            stale, long, stale, long, number,
        )  # fmt: skip
        assert found is not None, "a sum is always one row"
        if [int(value) for value in found] != counts:
            yield f"session {name!r} of user {user!r}: {kept} are {counts}, its messages have {list(map(int, found))}"


def _estimates(rows: Rows) -> Iterator[str]:
    """Messages of which something else is noted down than what their words add to the estimate of a context."""
    number, num_told = -1, 0
    query = f"SELECT number, content, {rows.thousandths} FROM messages WHERE number > ? ORDER BY number LIMIT ?"
    while found := rows.all(query, number, _ROWS_AT_ONCE):
        for number, content, thousandths in found:
            if thousandths not in (None, content_thousandths(content)) and num_told < _MOST_TOLD:
                num_told += 1
                yield f"message {number} does not add what is noted to the estimate of a context"


_DERIVED = {
    "fact {} has no message that it came from": (  # one by hand has a negative source
        "SELECT number FROM facts WHERE source >= 0 AND source NOT IN (SELECT number FROM messages)"
    ),
    "fact {} was set by hand, which the log does not know of": (
        "SELECT number FROM facts WHERE source < 0 AND -source NOT IN (SELECT number FROM hand_facts)"
    ),
    "what was set by hand as number {} is not among the facts": (
        "SELECT number FROM hand_facts WHERE -number NOT IN (SELECT source FROM facts)"
    ),
    "fact {} is superseded by one that is not there": (
        "SELECT number FROM facts WHERE superseded_by IS NOT NULL AND superseded_by NOT IN (SELECT number FROM facts)"
    ),
    "summary {} is of a session that is not there": (
        "SELECT number FROM summaries WHERE session NOT IN (SELECT number FROM sessions)"
    ),
    "vector {} is of a message that is not there": (
        "SELECT serial FROM vectors WHERE number NOT IN (SELECT number FROM messages)"
    ),
}


def _derived(rows: Rows) -> Iterator[str]:
    """Facts, summaries and vectors of what is not in the log."""
    for words, query in _DERIVED.items():
        for (number,) in rows.all(f"{query} ORDER BY 1 LIMIT {_MOST_TOLD}"):
            yield words.format(number)
    for number, session, first, last in rows.all("SELECT number, session, first_place, last_place FROM summaries"):
        inside = (number_of(session, first), number_of(session, last))
        if rows.one("SELECT 1 FROM messages WHERE number >= ? AND number <= ? LIMIT 1", *inside) is None:
            yield f"summary {number} speaks of no message"


def _index(store: Store, rows: Rows) -> Iterator[str]:
    """What is missing from the index, and what stands in it without a message, fact or summary."""
    wanted = {
        message_entry(number, bool(is_reply), num_words): f"message {number}"
        for number, is_reply, num_words in rows.all("SELECT number, is_reply, num_words FROM messages")
    }
    for kind, table in ((Kind.FACT, "facts"), (Kind.SUMMARY, "summaries")):
        made = "WHERE repeats IS NULL" if kind is Kind.FACT else "WHERE method <> 'pending'"
        for number, session, num_words in rows.all(f"SELECT number, session, num_words FROM {table} {made}"):
            wanted[entry_of(number_of(session, number), kind, num_words)] = f"{kind.name.lower()} {number}"
    found = set(store.entries(rows))
    missing = sorted(name for entry, name in wanted.items() if entry not in found)
    yield from (f"{name} is not in the index" for name in missing[:_MOST_TOLD])
    if extra := found - wanted.keys():
        yield f"the index has {len(extra)} entries of what is not there"
    yield from store.unexplained(rows)
