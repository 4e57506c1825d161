"""A session's messages in the order of time: what comes late takes its place, and what was made of the order is remade."""

import math
from bisect import bisect_right

from interconnected_ai.memory.erasure import count_levels, note_vector_removal
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import BOUNDARY_COLUMNS, Boundaries, drop_summary_terms, settle
from interconnected_ai.memory.log import message_entry
from interconnected_ai.memory.numbering import place_of
from interconnected_ai.memory.records import Capacities
from interconnected_ai.memory.store import Rows, Store

_MOST_SINGLE = 64  # messages whose facts are asked for one by one, rather than by reading the session again


def put_in_order(store: Store, rows: Rows, session: int, capacities: Capacities) -> None:
    """Give the messages of a session places in the order of time, with all that goes by places. The user is locked."""
    upto = rows.one("SELECT facts_upto FROM sessions WHERE number = ?", session)
    moves = renumber(store, rows, session)
    if not moves or upto is None:
        return
    _facts_to_come(rows, session, int(upto[0]), dict(moves))
    _levels_from(store, rows, session, place_of(min(new for _, new in moves)), capacities)


def renumber(store: Store, rows: Rows, session: int) -> list[tuple[int, int]]:
    """Renumber the messages of a session in the order of time, wherever their numbers stand; the (old, new) that differ.

    Equal times keep the order in which they came; what is dated ahead stays behind what it came behind.
    """
    moves = _moves(rows, session)
    if not moves:
        return []
    sizes = {
        number: (bool(is_reply), num_words)
        for number, is_reply, num_words in rows.all(
            "SELECT number, is_reply, num_words FROM messages WHERE session = ?", session
        )
    }
    store.renumber_terms(
        rows, [(message_entry(old, *sizes[old]), message_entry(new, *sizes[old])) for old, new in moves]
    )
    for table, column in (("messages", "number"), ("vectors", "number"), ("edits", "message")):
        # below 0 first: an old number may be another's new one
        rows.many(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", ((-new, old) for old, new in moves))
        rows.many(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", ((new, -new) for _, new in moves))
    to = dict(moves)
    facts = rows.all("SELECT number, source FROM facts WHERE session = ?", session)
    rows.many("UPDATE facts SET source = ? WHERE number = ?", ((to[s], n) for n, s in facts if s in to))
    targets = rows.all("SELECT number, target FROM jobs WHERE kind = 'facts' AND session = ? AND target > 0", session)
    rows.many("DELETE FROM jobs WHERE number = ?", ((number,) for number, _ in targets))
    for _, target in targets:
        want(rows, "facts", session, to.get(target, target))
    note_vector_removal(rows)
    return moves


def _moves(rows: Rows, session: int) -> list[tuple[int, int]]:
    found = rows.all("SELECT number, time, coalesce(ahead, 0) FROM messages WHERE session = ? ORDER BY number", session)
    ranked, before = [], -math.inf
    for number, time, ahead in found:
        before = before if ahead else time
        ranked.append((before, number))
    slots = [number for number, *_ in found]
    return [(old, new) for (_, old), new in zip(sorted(ranked), slots, strict=True) if old != new]


def _facts_to_come(rows: Rows, session: int, upto: int, to: dict[int, int]) -> None:
    """Ask for the facts of messages that were not read yet, wherever they stand by now; who is reading them begins anew."""
    moved_to = {new: old for old, new in to.items()}
    numbers = [n for (n,) in rows.all("SELECT number FROM messages WHERE session = ? ORDER BY number", session)]
    unread = [number for number in numbers if place_of(moved_to.get(number, number)) > upto]
    rows.run("DELETE FROM jobs WHERE kind = 'facts' AND session = ? AND target = 0", session)
    if len(unread) <= _MOST_SINGLE:
        rows.run("UPDATE sessions SET facts_upto = last_place WHERE number = ?", session)
        for number in unread:
            want(rows, "facts", session, number)
        return
    rows.run("UPDATE sessions SET facts_upto = ? WHERE number = ?", place_of(unread[0]) - 1, session)
    want(rows, "facts", session)


def _levels_from(store: Store, rows: Rows, session: int, place: int, capacities: Capacities) -> None:
    """Make levels and summaries anew from a place on; those of what was said before it stay."""
    found = rows.all(
        "SELECT number, first_place, last_place FROM summaries WHERE session = ? ORDER BY first_place", session
    )
    after = found[bisect_right([last for *_, last in found], place - 1) :]
    if not after:
        return
    for number, *_ in after:
        drop_summary_terms(store, rows, session, number)
        rows.run("DELETE FROM summaries WHERE number = ?", number)
        rows.run("DELETE FROM jobs WHERE kind = 'compress' AND session = ? AND target = ?", session, number)
    _cut_levels(rows, session, after[0][1] - 1)
    count_levels(rows, session)
    bounds = rows.one(f"SELECT {BOUNDARY_COLUMNS} FROM sessions WHERE number = ?", session)
    assert bounds is not None, "a session that has a number has a row"
    settle(rows, Boundaries(*bounds), capacities)


def _cut_levels(rows: Rows, session: int, upto: int) -> None:
    """Have stale and long memory end at a place at the latest."""
    for column in ("stale_upto", "long_upto"):
        rows.run(f"UPDATE sessions SET {column} = ? WHERE number = ? AND {column} > ?", upto, session, upto)
