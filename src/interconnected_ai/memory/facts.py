"""The book of facts: what is stated is written down with its source, newer supersedes older, contradictions stay visible.

Facts belong to a user, whatever session they were said in. Everything that was said is a row; which of the rows hold is a fold
over all that was said of the same thing (see `fact_folding`), made anew for what a change touches.
"""

import json
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from zlib import crc32

from interconnected_ai.errors import DataError
from interconnected_ai.memory.fact_folding import END, END_OF_ALL, Said, Standing, fold
from interconnected_ai.memory.fact_rules import Statement, opposite_of
from interconnected_ai.memory.numbering import Kind, entry_of, number_of, place_of
from interconnected_ai.memory.records import Fact
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.store import Rows, Store, for_in
from interconnected_ai.text import Terms, is_blank, normalize, terms, words

# A fact by hand has for its source minus the number that it has in the log, and this for its source's id.
BY_HAND = "by hand"
_COLUMNS = (
    f"f.number, s.user_name, s.name, f.subject, f.relation, f.value, f.kind, f.time, coalesce(m.id, '{BY_HAND}'), "
    "f.superseded_by, f.contradicts, f.valid_until, CASE WHEN f.source < 0 THEN 1 ELSE 0 END"
)
_FROM = "FROM facts f JOIN sessions s ON s.number = f.session LEFT JOIN messages m ON m.number = f.source"
_SAID = "f.number, f.relation, f.value, f.value_hash, f.kind, f.is_single, f.time, f.source, coalesce(m.ahead, 0), f.own_until"
_FROM_SAID = "FROM facts f LEFT JOIN messages m ON m.number = f.source"
_MOST_BETWEEN = 2  # words that a value may leave out between two of its own
_NOT_SETTLED = 0  # `repeats` of a row that was just written
_NO_LIFETIMES: Mapping[str, float] = {}


def write_facts(
    store: Store,
    rows: Rows,
    session: int,
    found: Iterable[tuple[int, float, Statement]],
    lifetimes: Mapping[str, float] = _NO_LIFETIMES,
) -> None:
    """Write statements of messages, (message number, time, statement), in any order.

    lifetimes: for how many seconds a fact of a relation holds after it was last said; of others it holds for good.

    The same said again is no other fact. A single-valued relation with another value supersedes the older one; so does the
    contrary of the same value ("no longer likes"), and both are linked by `contradicts`. The user is locked (`lock_user`).
    """
    book = _Changes(store, rows)
    for source, time, statement in found:
        lifetime = lifetimes.get(statement.relation)
        book.insert(session, source, time, _kept(statement), None if lifetime is None else time + lifetime)
    book.settle()


def write_by_hand(
    store: Store,
    rows: Rows,
    session: int,
    hand: int,
    time: float,
    statement: Statement,
    valid_until: float | None = None,
) -> int:
    """Write what a person set, or with `ends` retracted; hand: its number in the log. Returns the fact's number.

    It supersedes what stands against it, whenever that was said.
    """
    book = _Changes(store, rows)
    number = book.insert(session, -hand, time, _kept(statement), valid_until)
    book.settle()
    return number


def fact_of(rows: Rows, number: int) -> Fact:
    """The fact of a number that there is."""
    found = rows.one(f"SELECT {_COLUMNS} {_FROM} WHERE f.number = ?", number)
    assert found is not None, "a fact that has a number has a row"
    return _fact(found)


def read_facts(rows: Rows, scope: Scope, *, superseded: bool = False, now: float | None = None) -> list[Fact]:
    """The facts in scope, oldest first; only those that hold, unless `superseded`.

    now: the moment at which they hold, in seconds. Of a moment that is past, those are given that held then, as far as they
    had been said; what is by hand holds at all times up to its end. Default: this moment.
    """
    if scope.is_alone and _is_touched(rows, scope):
        return _read_alone(rows, scope, superseded=superseded, now=now)
    where, values = _whose(scope)
    if not superseded:
        holding, moments = _holding(now)
        where, values = f"{where} AND {holding}", [*values, *moments]
    return [
        _fact(row) for row in rows.all(f"SELECT {_COLUMNS} {_FROM} WHERE {where} ORDER BY f.time, f.number", *values)
    ]


class Told(NamedTuple):
    """What of a fact a context tells."""

    number: int
    subject: str
    relation: str
    value: str
    kind: str
    time: float
    contradicts: tuple[int, ...]


def told_facts(rows: Rows, scope: Scope, numbers: Sequence[int], *, now: float | None = None) -> dict[int, Told]:
    """Those of these facts that hold in scope (see `read_facts`), by number, without looking at where they were said."""
    if not numbers:
        return {}
    if scope.is_alone and _is_touched(rows, scope):
        held = _read_alone(rows, scope, superseded=False, numbers=numbers, now=now)
        return {f.number: Told(f.number, f.subject, f.relation, f.value, f.kind, f.time, f.contradicts) for f in held}
    where, values = _whose(scope, is_looked_up=True)
    holding, moments = _holding(now)
    marks, wanted = for_in(numbers)
    found = rows.all(
        "SELECT f.number, f.subject, f.relation, f.value, f.kind, f.time, f.contradicts FROM facts f "
        f"WHERE {where} AND {holding} AND f.number IN ({marks})",
        *values, *moments, *wanted,
    )  # fmt: skip
    return {row[0]: Told._make((*row[:-1], _numbers(row[-1]))) for row in found}


def said_values(rows: Rows, scope: Scope, numbers: Sequence[int]) -> dict[int, str]:
    """What these facts in scope say, by number, whether they hold or not."""
    if not numbers:
        return {}
    if scope.is_alone and _is_touched(rows, scope):
        every = _read_alone(rows, scope, superseded=True, numbers=numbers)
        return {fact.number: fact.value for fact in every}
    where, values = _whose(scope, is_looked_up=True)
    marks, wanted = for_in(numbers)
    return dict(
        rows.all(f"SELECT f.number, f.value FROM facts f WHERE {where} AND f.number IN ({marks})", *values, *wanted)
    )


def newest_facts(
    rows: Rows, scope: Scope, limit: int, *, now: float | None = None, kind: str | None = None
) -> list[int]:
    """The numbers of the facts that hold (see `read_facts`) and were said last, the latest first. kind: of that kind alone."""
    if scope.is_alone and _is_touched(rows, scope):
        held = _read_alone(rows, scope, superseded=False, now=now)
        return [fact.number for fact in reversed(held) if kind in (None, fact.kind)][:limit]
    where, values = _whose(scope)
    holding, moments = _holding(now)
    if kind is not None:
        where, values = f"{where} AND f.kind = ?", [*values, kind]
    query = f"SELECT f.number FROM facts f WHERE {where} AND {holding} ORDER BY f.time DESC, f.number DESC LIMIT ?"
    return rows.column(query, *values, *moments, limit)


def remove_facts_of(store: Store, rows: Rows, sources: Sequence[int]) -> int:
    """Remove what came from these messages; what it had superseded or said first holds again. Returns how many facts went.

    The user is locked (`lock_user`).
    """
    book = _Changes(store, rows)
    num_removed = sum(book.remove(source) for source in sources)
    book.settle()
    return num_removed


def fold_again(store: Store, rows: Rows, user: str) -> None:
    """Find out anew which of a user's facts hold, from everything that was said."""
    book = _Changes(store, rows)
    for subject, relation in rows.all("SELECT DISTINCT subject, relation FROM facts WHERE user_name = ?", user):
        book.touch(user, subject, relation, None)
    book.settle()


def statement_of(given: Any, subject: str) -> Statement:
    """What an `extract` callable returned, as a statement; `DataError` when it is none."""
    if isinstance(given, Statement):
        return given
    read = given.get if isinstance(given, dict) else lambda key, default=None: getattr(given, key, default)
    relation, value = read("relation"), read("value")
    if not (isinstance(relation, str) and isinstance(value, str)) or is_blank(relation) or is_blank(value):
        raise DataError(
            f"extract returned {given!r}; needed are mappings or records with relation and value, both text"
        )
    kind = read("kind") or "fact"
    return Statement(read("subject") or subject, relation.strip(), value.strip(), str(kind), bool(read("is_single")))


def stands_in(value: str, text: str) -> bool:
    """Whether a message says a value: its words in their order and close together, but for endings and small words.

    What a model adds of its own, or puts together from two ends of a message, does not stand there.
    """
    wanted = [found for word in words(value) if (found := set(terms(word).terms))]
    if not wanted:
        return normalize(value) in normalize(text)
    said = [set(terms(word).terms) for word in words(text)]
    return any(_go_on(said, place, wanted) for place in range(len(said)))


def _go_on(said: Sequence[set[str]], place: int, wanted: Sequence[set[str]]) -> bool:
    """Whether the wanted words follow each other from this place on, with up to two others between any two of them."""
    if not _is_word(wanted[0], said[place]):
        return False
    for word in wanted[1:]:
        near = range(place + 1, min(place + 2 + _MOST_BETWEEN, len(said)))
        found = next((one for one in near if _is_word(word, said[one])), None)
        if found is None:
            return False
        place = found
    return True


def _is_word(wanted: set[str], said: set[str]) -> bool:
    """Whether a word is the said one in some form; of scripts without spaces, whether it is a part of what was said."""
    return bool(wanted & said) if all(term[0] != "r" for term in wanted) else wanted <= said


def words_of(subject: str, relation: str, value: str) -> Terms:
    """What of a fact goes into the index."""
    return terms(f"{subject} {relation} {value}")


def sentence_of(fact: Fact) -> str:
    """A fact in words, for the index and for people."""
    if fact.kind == "instruction":
        return fact.value
    return f"{fact.subject} {fact.relation} {fact.value}"


def hash_of(value: str) -> int:
    """A number that values which are alike share. Others may share it too: they are compared when they meet."""
    return crc32(" ".join(sorted(set(terms(value).terms))).encode())


class _Changes:
    """Rows that are written and removed in one transaction, and then what becomes of all that speaks of the same things."""

    def __init__(self, store: Store, rows: Rows) -> None:
        self._store, self._rows = store, rows
        # (user, subject, relations) → the keys of values that were touched; None among them where all were
        self._touched: dict[tuple[str, str, tuple[str, str]], set[int | None]] = {}
        self._sessions: dict[int, tuple[str, int]] = {}
        # Entries of the index, taken off it together: who takes off one looks up all its words.
        self._gone: list[int] = []

    def insert(self, session: int, source: int, time: float, statement: Statement, valid_until: float | None) -> int:
        """Write a row, whose standing `settle` finds; returns its number."""
        user, _ = self._session(session)
        key = hash_of(statement.value)
        num_words = words_of(statement.subject, statement.relation, statement.value).num_words
        made = self._rows.all(
            "INSERT INTO facts (user_name, session, subject, relation, value, kind, time, source, num_words, value_hash, "
            "is_single, own_until, valid_until, repeats) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            user, session, statement.subject, statement.relation, statement.value, statement.kind, time, source, num_words,
            key, int(statement.is_single), valid_until, valid_until, _NOT_SETTLED,
        )  # fmt: skip
        self.touch(user, statement.subject, statement.relation, key)
        return int(made[0][0])

    def remove(self, source: int) -> int:
        """Remove the rows of a message; how many of them were facts and no repetitions."""
        found = self._rows.all(
            "SELECT number, user_name, session, subject, relation, value_hash, num_words, is_single, kind, repeats FROM facts "
            "WHERE source = ?",
            source,
        )
        for number, user, session, subject, relation, key, num_words, is_single, kind, repeats in found:
            self._rows.run("DELETE FROM facts WHERE number = ?", number)
            if repeats is None:
                self._gone.append(_entry(session, number, num_words))
            meets_others = is_single or kind in (END, END_OF_ALL)
            self.touch(user, subject, relation, None if meets_others else key)
        return sum(row[-1] is None for row in found)

    def touch(self, user: str, subject: str, relation: str, key: int | None) -> None:
        """Note that what is said of a value (None: of any) is another than it was."""
        self._touched.setdefault((user, subject, _together(relation)), set()).add(key)

    def settle(self) -> None:
        """Find the standing of everything that was touched, and write down what differs."""
        self._take_off_the_index()  # before anything is put there: a new row may have the number of one that is gone
        for (user, subject, relations), keys in self._touched.items():
            self._settle(user, subject, relations, keys)
        self._touched.clear()
        self._take_off_the_index()

    def _take_off_the_index(self) -> None:
        if self._gone:
            self._store.remove_terms(self._rows, self._gone)
        self._gone = []

    def _settle(self, user: str, subject: str, relations: tuple[str, str], keys: set[int | None]) -> None:
        whose: list[Any] = [user, subject, *relations]
        where = "f.user_name = ? AND f.subject = ? AND f.relation IN (?, ?)"
        meeting = (
            f"SELECT 1 FROM facts f WHERE {where} AND (f.is_single = 1 OR f.kind IN ('{END}', '{END_OF_ALL}')) LIMIT 1"
        )
        if None not in keys and self._rows.one(meeting, *whose) is None:  # only values that are alike meet
            where += f" AND f.value_hash IN ({', '.join('?' * len(keys))})"
            whose += sorted(key for key in keys if key is not None)
        columns = f"{_SAID}, f.superseded_by, f.contradicts, f.repeats, f.valid_until, f.session, f.num_words"
        found = self._rows.all(f"SELECT {columns} {_FROM_SAID} WHERE {where}", *whose)
        standings = fold(map(_said, found))
        for row in found:
            number, relation, value = row[:3]
            *before, session, num_words = row[-6:]
            standing = standings[number]
            after = [standing.superseded_by, json.dumps(standing.contradicts), standing.repeats, standing.valid_until]
            if before == after:
                continue
            self._rows.run(
                "UPDATE facts SET superseded_by = ?, contradicts = ?, repeats = ?, valid_until = ? WHERE number = ?",
                *after, number,
            )  # fmt: skip
            was_fact, is_fact = before[2] is None, standing.repeats is None
            if is_fact and not was_fact:
                _, owner = self._session(session)
                found_words = words_of(subject, relation, value).terms
                self._store.add_terms(self._rows, owner, [(_entry(session, number, num_words), found_words)])
            elif was_fact and not is_fact:
                self._gone.append(_entry(session, number, num_words))

    def _session(self, session: int) -> tuple[str, int]:
        """The user and the owner of a session."""
        if session not in self._sessions:
            found = self._rows.one("SELECT user_name, coalesce(owner, number) FROM sessions WHERE number = ?", session)
            assert found is not None, "a session that has a number has a row"
            self._sessions[session] = (found[0], int(found[1]))
        return self._sessions[session]


def _kept(statement: Statement) -> Statement:
    """A statement as its row says it."""
    if not statement.ends:
        return statement
    return replace(statement, kind=END_OF_ALL if statement.ends == "relation" else END)


def _together(relation: str) -> tuple[str, str]:
    """A relation and its contrary, or twice itself: what is said of them is one book."""
    first, second = sorted((relation, opposite_of(relation) or relation))
    return first, second


def _said(row: Sequence[Any]) -> Said:
    number, relation, value, key, kind, is_single, time, source, ahead, valid_until = row[:10]
    return Said(number, relation, value, key, kind, bool(is_single), time, source, bool(ahead), valid_until)


def _entry(session: int, number: int, num_words: int) -> int:
    return entry_of(number_of(session, place_of(number)), Kind.FACT, num_words)


# Reading


def _whose(scope: Scope, *, is_looked_up: bool = False) -> tuple[str, list[Any]]:
    """The condition on the facts in scope, and its values.

    is_looked_up: few are wanted by their numbers. Without the index of a user's facts, by which SQLite would go through all.
    """
    value: Any
    column, value, none = "f.user_name", scope.user, "''"
    if scope.is_alone:
        column, value, none = "f.session", scope.sessions[0] if scope.sessions else None, "0"
    if is_looked_up:
        column = f"coalesce({column}, {none})"
    return f"{column} = ? AND f.repeats IS NULL", [value]


def _holding(now: float | None) -> tuple[str, list[float]]:
    """The condition on rows that hold at a moment, and its values."""
    moment = clock.time()
    if now is None or now >= moment:
        return "f.superseded_by IS NULL AND (f.valid_until IS NULL OR f.valid_until > ?)", [
            moment if now is None else now
        ]
    later = "SELECT 1 FROM facts n WHERE n.number = f.superseded_by AND n.number <> f.number AND n.source > 0 AND n.time > ?"
    return (
        "(f.source < 0 OR f.time <= ?) AND (f.valid_until IS NULL OR f.valid_until > ?) "
        f"AND (f.superseded_by IS NULL OR EXISTS ({later}))",
        [now] * 3,
    )


def _is_touched(rows: Rows, scope: Scope) -> bool:
    """Whether what was said elsewhere has changed what holds of the only session in scope."""
    if not scope.sessions:
        return False
    return (
        rows.one(
            "SELECT 1 FROM facts f JOIN facts n ON n.number = f.superseded_by WHERE f.session = ? AND n.session <> f.session "
            "LIMIT 1",
            scope.sessions[0],
        )
        is not None
    )


def _read_alone(
    rows: Rows, scope: Scope, *, superseded: bool, numbers: Sequence[int] | None = None, now: float | None = None
) -> list[Fact]:
    """The facts of one session as if there were no other: folded anew from what was said there."""
    found = rows.all(
        f"SELECT {_SAID}, f.subject, {_COLUMNS} {_FROM} WHERE f.session = ? ORDER BY f.time, f.number",
        scope.sessions[0],
    )
    books: dict[tuple[str, tuple[str, str]], list[Said]] = {}
    for row in found:
        books.setdefault((row[10], _together(row[1])), []).append(_said(row))
    standings: dict[int, Standing] = {}
    for said in books.values():
        standings |= fold(said)
    facts = {}
    for row in found:
        standing = standings[row[0]]
        if standing.repeats is None:
            facts[int(row[0])] = replace(
                _fact(row[11:]),
                superseded_by=standing.superseded_by,
                contradicts=tuple(standing.contradicts),
                valid_until=standing.valid_until,
            )
    moment = clock.time()
    return [
        fact
        for fact in facts.values()
        if (superseded or _holds(fact, facts, moment if now is None else now, is_past=now is not None and now < moment))
        and (numbers is None or fact.number in numbers)
    ]


def _holds(fact: Fact, facts: Mapping[int, Fact], now: float, *, is_past: bool) -> bool:
    """What `_holding` says, of facts that were read."""
    if fact.valid_until is not None and fact.valid_until <= now:
        return False
    if fact.superseded_by is None:
        return fact.by_hand or not is_past or fact.time <= now
    successor = facts[fact.superseded_by]
    is_later = successor is not fact and not successor.by_hand and successor.time > now
    return is_past and is_later and (fact.by_hand or fact.time <= now)


def _fact(row: Sequence[Any]) -> Fact:
    return Fact(*(*row[:-3], _numbers(row[-3]), row[-2], bool(row[-1])))


def _numbers(listed: str) -> tuple[int, ...]:
    """What `contradicts` lists."""
    return () if listed == "[]" else tuple(json.loads(listed))
