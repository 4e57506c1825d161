"""The book of facts: what is stated is written down with its source, newer supersedes older, contradictions stay visible."""

import json
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from interconnected_ai.errors import DataError
from interconnected_ai.memory.fact_rules import Statement, is_known_to_be_single, opposite_of
from interconnected_ai.memory.numbering import Kind, entry_of, number_of, place_of
from interconnected_ai.memory.records import Fact
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import Terms, normalize, terms, words

# Kinds of rows that say that something ended: one value, or whatever the relation held. They are never current.
END, END_OF_ALL = "end", "end of all"
# A fact by hand has for its source minus the number that it has in the log, and this for its source's id.
BY_HAND = "by hand"
_MOST_BETWEEN = 2  # words that a value may leave out between two of its own
_COLUMNS = (
    f"f.number, s.user_name, s.name, f.subject, f.relation, f.value, f.kind, f.time, coalesce(m.id, '{BY_HAND}'), "
    "f.superseded_by, f.contradicts, f.valid_until, CASE WHEN f.source < 0 THEN 1 ELSE 0 END"
)
_FROM = "FROM facts f JOIN sessions s ON s.number = f.session LEFT JOIN messages m ON m.number = f.source"
_NO_LIFETIMES: Mapping[str, float] = {}


def write_facts(
    store: Store,
    rows: Rows,
    session: int,
    found: Iterable[tuple[int, float, Statement]],
    lifetimes: Mapping[str, float] = _NO_LIFETIMES,
) -> int:
    """Write statements of messages, (message number, time, statement), oldest first; how many were new.

    lifetimes: for how many seconds a fact of a relation holds after it was last said; of others it holds for good.

    The same said again changes nothing. A single-valued relation with another value supersedes the older one; so does the
    contrary of the same value ("no longer likes"), and both are linked by `contradicts`.
    """
    num_new = 0
    for source, time, statement in found:
        lifetime = lifetimes.get(statement.relation)
        valid_until = None if lifetime is None else time + lifetime
        num_new += _write(store, rows, session, source, time, statement, valid_until)
    return num_new


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
    about = _held_about(rows, session, statement)
    closed = [number for number, relation, old, _ in about if _stands_against(statement, relation, old, repeats=True)]
    kept = replace(statement, kind=END) if statement.ends else statement
    number = _insert(store, rows, session, -hand, time, kept, closed, [], valid_until)
    for old in (*closed, number) if statement.ends else closed:
        rows.run("UPDATE facts SET superseded_by = ? WHERE number = ?", number, old)
    return number


def fact_of(rows: Rows, number: int) -> Fact:
    """The fact of a number that there is."""
    found = rows.one(f"SELECT {_COLUMNS} {_FROM} WHERE f.number = ?", number)
    assert found is not None, "a fact that has a number has a row"
    return _fact(found)


def read_facts(
    rows: Rows,
    session: int,
    *,
    superseded: bool = False,
    numbers: Sequence[int] | None = None,
    now: float | None = None,
) -> list[Fact]:
    """The facts of a session, oldest first; only those that hold now (the moment, in seconds), unless `superseded`."""
    where = "WHERE f.session = ?"
    values: list[Any] = [session]
    if not superseded:
        where += " AND f.superseded_by IS NULL AND (f.valid_until IS NULL OR f.valid_until > ?)"
        values.append(clock.time() if now is None else now)
    if numbers is not None:
        where += f" AND f.number IN ({', '.join('?' * len(numbers))})"
        values += numbers
    return [_fact(row) for row in rows.all(f"SELECT {_COLUMNS} {_FROM} {where} ORDER BY f.time, f.number", *values)]


def remove_facts_of(store: Store, rows: Rows, session: int, sources: Sequence[int]) -> int:
    """Remove the facts that came from these messages; of what they had superseded, the newest holds again."""
    gone = [
        row
        for source in sources
        for row in rows.all("SELECT number, num_words, superseded_by, contradicts FROM facts WHERE source = ?", source)
    ]
    restored: list[int] = []
    for number, num_words, _, links in gone:
        for superseded in json.loads(links):  # all that it superseded, see `_write`
            rows.run("UPDATE facts SET superseded_by = NULL WHERE number = ?", superseded)
            restored.append(superseded)
        rows.run("DELETE FROM facts WHERE number = ?", number)
        store.remove_terms(rows, [entry_of(number_of(session, number), Kind.FACT, num_words)])
    numbers = {number for number, *_ in gone}
    for successor in {successor for _, _, successor, _ in gone if successor is not None} - numbers:
        _drop_links(rows, successor, numbers)
    _keep_one_of_each(rows, session, restored)
    return len(gone)


def statement_of(given: Any, subject: str) -> Statement:
    """What an `extract` callable returned, as a statement; `DataError` when it is none."""
    if isinstance(given, Statement):
        return given
    read = given.get if isinstance(given, dict) else lambda key, default=None: getattr(given, key, default)
    relation, value = read("relation"), read("value")
    if not (isinstance(relation, str) and relation.strip() and isinstance(value, str) and value.strip()):
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


def _write(
    store: Store,
    rows: Rows,
    session: int,
    source: int,
    time: float,
    statement: Statement,
    valid_until: float | None,
) -> int:
    """Write one statement; 0 when it is known.

    What a fact supersedes stands in its `contradicts`, and nothing else does.
    """
    if statement.ends:
        return _write_end(store, rows, session, source, time, statement)
    about = _held_about(rows, session, statement)
    known = [
        number for number, relation, old, _ in about if relation == statement.relation and _same(old, statement.value)
    ]
    if known:
        if valid_until is not None:  # said again, it holds longer; what is by hand holds as it was set
            rows.run(
                "UPDATE facts SET valid_until = ? WHERE number = ? AND source > 0 AND valid_until < ?",
                valid_until, known[0], valid_until,
            )  # fmt: skip
        return 0
    against = [(number, when) for number, relation, old, when in about if _stands_against(statement, relation, old)]
    older = [number for number, when in against if when <= time]
    newer = [number for number, when in against if when > time]  # told late: it is the old that was told now
    newer = newer or _ended_later(rows, session, statement, time)
    by_hand = _by_hand_against(rows, session, statement, time)
    if by_hand:
        older, newer = [], by_hand
    number = _insert(store, rows, session, source, time, statement, older, newer, valid_until)
    for old in older:
        rows.run("UPDATE facts SET superseded_by = ? WHERE number = ?", number, old)
    for successor in newer[-1:]:
        found = rows.one("SELECT contradicts FROM facts WHERE number = ?", successor)
        links = [*json.loads(found[0] if found else "[]"), number]
        rows.run("UPDATE facts SET contradicts = ? WHERE number = ?", json.dumps(links), successor)
    return 1


def _write_end(store: Store, rows: Rows, session: int, source: int, time: float, statement: Statement) -> int:
    """Write that something holds no more: a row that is never current itself, and closes what was said of it before."""
    held = rows.all(
        "SELECT number, value FROM facts WHERE session = ? AND subject = ? AND relation = ? AND superseded_by IS NULL "
        "AND time <= ? AND source > 0 AND source <> ? ORDER BY number",
        session, statement.subject, statement.relation, time, source,
    )  # fmt: skip
    closed = [number for number, value in held if statement.ends == "relation" or _overlaps(value, statement.value)]
    known = _ends(rows, session, statement)
    if not closed and any(_alike(value, statement.value) for _, value, _, _ in known):
        return 0
    kind = END_OF_ALL if statement.ends == "relation" else END
    number = _insert(store, rows, session, source, time, replace(statement, kind=kind), closed, [], None)
    for old in (*closed, number):
        rows.run("UPDATE facts SET superseded_by = ? WHERE number = ?", number, old)
    return 1


def _ended_later(rows: Rows, session: int, statement: Statement, time: float) -> list[int]:
    """What says that a fact which is told late ended after its time."""
    return [
        number
        for number, value, kind, when in _ends(rows, session, statement)
        if when > time and (kind == END_OF_ALL or _overlaps(statement.value, value))
    ][:1]


def _ends(rows: Rows, session: int, statement: Statement) -> list[tuple[int, str, str, float]]:
    """(number, value, kind, time) of what says of this subject and relation that it ended, the earliest first."""
    return [
        (int(number), value, kind, time)
        for number, value, kind, time in rows.all(
            "SELECT number, value, kind, time FROM facts WHERE session = ? AND subject = ? AND relation = ? "
            f"AND kind IN ('{END}', '{END_OF_ALL}') ORDER BY time, number",
            session, statement.subject, statement.relation,
        )
    ]  # fmt: skip


def _by_hand_against(rows: Rows, session: int, statement: Statement, time: float) -> list[int]:
    """What a person set or retracted that a rule's statement of this time must not overwrite; none or one.

    What was set later than the statement closed it for good, though it may hold no more itself.
    """
    found = rows.all(
        "SELECT number, relation, value, kind, superseded_by, time FROM facts WHERE session = ? AND subject = ? "
        "AND relation IN (?, ?) AND source < 0 ORDER BY number DESC",
        session, statement.subject, statement.relation, opposite_of(statement.relation) or statement.relation,
    )  # fmt: skip
    for number, relation, value, kind, superseded_by, when in found:
        if kind == END:
            if relation == statement.relation and _same(value, statement.value):
                return [int(number)]
        elif (superseded_by is None or when > time) and _stands_against(statement, relation, value):
            return [int(number)]
    return []


def _stands_against(statement: Statement, relation: str, value: str, *, repeats: bool = False) -> bool:
    """Whether a fact that holds about the same subject cannot hold beside a statement. repeats: the same counts, too."""
    if relation != statement.relation:
        return not statement.ends and _same(value, statement.value)
    return (statement.is_single and not statement.ends) or (repeats and _same(value, statement.value))


def _held_about(rows: Rows, session: int, statement: Statement) -> list[tuple[int, str, str, float]]:
    """(number, relation, value, time) of the facts that hold and that a statement may repeat, contradict or supersede.

    Of a relation with many values only those that are alike, found by their hash: a subject may like thousands of things.
    """
    held = "FROM facts WHERE session = ? AND subject = ? AND relation IN (?, ?) AND superseded_by IS NULL"
    opposite = opposite_of(statement.relation) or statement.relation
    whose = (session, statement.subject, statement.relation, opposite)
    for number, value in rows.all(f"SELECT number, value {held} AND value_hash IS NULL", *whose):
        rows.run("UPDATE facts SET value_hash = ? WHERE number = ?", _hash_of(value), number)
    columns = "SELECT number, relation, value, time"
    found = rows.all(f"{columns} {held} AND value_hash = ?", *whose, _hash_of(statement.value))
    if statement.is_single:
        found += rows.all(f"{columns} {held}", *whose[:3], statement.relation)
    return sorted(set(found), key=lambda row: (row[1], row[0]))


def _hash_of(value: str) -> int:
    """A number that values which are alike share. Others may share it too: they are compared when they meet."""
    return crc32(" ".join(sorted(set(terms(value).terms))).encode())


def _insert(
    store: Store,
    rows: Rows,
    session: int,
    source: int,
    time: float,
    statement: Statement,
    older: list[int],
    newer: list[int],
    valid_until: float | None,
) -> int:
    words = words_of(statement.subject, statement.relation, statement.value)
    inserted = rows.all(
        "INSERT INTO facts (session, subject, relation, value, kind, time, source, num_words, superseded_by, contradicts, "
        "value_hash, valid_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        session, statement.subject, statement.relation, statement.value, statement.kind, time, source, words.num_words,
        newer[-1] if newer else None, json.dumps(older), _hash_of(statement.value),
        valid_until,
    )  # fmt: skip
    number = int(inserted[0][0])
    store.add_terms(rows, [(entry_of(number_of(session, place_of(number)), Kind.FACT, words.num_words), words.terms)])
    return number


def _alike(old: str, value: str) -> bool:
    """Whether two values are of one thing: the same words but for their endings."""
    ours, theirs = set(terms(value).terms), set(terms(old).terms)
    return bool(ours) and ours == theirs


def _same(old: str, value: str) -> bool:
    """Whether two values are one: spelled alike, or of the same words."""
    return normalize(old) == normalize(value) or _alike(old, value)


def _overlaps(old: str, value: str) -> bool:
    """Whether one of two values names what the other does: "my Toyota" and "a red Toyota Corolla"."""
    ours, theirs = set(terms(value).terms), set(terms(old).terms)
    return bool(ours) and bool(theirs) and (ours <= theirs or theirs <= ours)


def _keep_one_of_each(rows: Rows, session: int, restored: Sequence[int]) -> None:
    """Of facts that hold again, close all but the newest of a relation that has one value at a time."""
    found = [rows.one("SELECT subject, relation FROM facts WHERE number = ?", number) for number in restored]
    for subject, relation in sorted({(one[0], one[1]) for one in found if one is not None}):
        if not is_known_to_be_single(relation):
            continue
        held = rows.all(
            "SELECT number, contradicts FROM facts WHERE session = ? AND subject = ? AND relation = ? "
            "AND superseded_by IS NULL ORDER BY CASE WHEN source < 0 THEN 1 ELSE 0 END, time, number",
            session, subject, relation,
        )  # fmt: skip
        for number, _ in held[:-1]:
            rows.run("UPDATE facts SET superseded_by = ? WHERE number = ?", held[-1][0], number)
        if held[:-1]:
            links = [*json.loads(held[-1][1]), *(number for number, _ in held[:-1])]
            rows.run("UPDATE facts SET contradicts = ? WHERE number = ?", json.dumps(links), held[-1][0])


def _drop_links(rows: Rows, number: int, gone: set[int]) -> None:
    """Take facts that are gone out of those that this one superseded."""
    for (links,) in rows.all("SELECT contradicts FROM facts WHERE number = ?", number):
        left = [link for link in json.loads(links) if link not in gone]
        rows.run("UPDATE facts SET contradicts = ? WHERE number = ?", json.dumps(left), number)


def _fact(row: tuple[Any, ...]) -> Fact:
    return Fact(*(*row[:-3], tuple(json.loads(row[-3])), row[-2], bool(row[-1])))
