"""Facts by hand: what a person sets, corrects and retracts. They stand in the log, and no rule overwrites them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from interconnected_ai.errors import Blame, ConfigError, UnknownNameError
from interconnected_ai.memory.fact_rules import Statement, has_one_value
from interconnected_ai.memory.facts import fact_of, remove_facts_of, write_by_hand
from interconnected_ai.memory.log import check_name, check_text, locked_session, session_number
from interconnected_ai.memory.records import Fact, HandFact
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import is_blank

_COLUMNS = "subject, relation, value, kind, is_single, ends, time, valid_until"
_MOST_NAMED = 20  # numbers of facts in an error


def set_fact(
    store: Store, statement: Statement, *, user: str, session: str, time: float, valid_until: float | None
) -> Fact:
    """Write a fact by hand into a session, which is made where it is not there."""
    _check(statement, time, valid_until)
    with store.write() as rows:
        store.lock_user(rows, user)
        number = locked_session(store, rows, user, session)
        return fact_of(rows, _note(store, rows, number, statement, time, valid_until))


def correct(store: Store, fact: int, value: str, *, user: str, time: float, valid_until: float | None) -> Fact:
    """Put a value by hand in the place of a fact's; the old one is not learnt again."""
    with store.write() as rows:
        store.lock_user(rows, user)
        old, session = _known(rows, user, fact)
        store.lock(rows, session)
        statement = Statement(old.subject, old.relation, value, old.kind, has_one_value(old.relation))
        _check(statement, time, valid_until)
        _note(store, rows, session, _end_of(old), time, None)
        return fact_of(rows, _note(store, rows, session, statement, time, valid_until))


def retract(store: Store, fact: int, *, user: str, time: float) -> Fact:
    """Say by hand that a fact does not hold; it is not learnt again."""
    with store.write() as rows:
        store.lock_user(rows, user)
        old, session = _known(rows, user, fact)
        store.lock(rows, session)
        return fact_of(rows, _note(store, rows, session, _end_of(old), time, None))


def write_again(store: Store, rows: Rows, session: int) -> None:
    """Make a session's facts by hand anew from the log, in the order in which they were set."""
    for number, *columns in rows.all(
        f"SELECT number, {_COLUMNS} FROM hand_facts WHERE session = ? ORDER BY time, number", session
    ):
        said = HandFact("", "", *_typed(columns))
        write_by_hand(store, rows, session, int(number), said.time, _statement(said), said.valid_until)


def read_hand_facts(rows: Rows, user: str, session: str) -> list[HandFact]:
    """What a user set and retracted in a session, as it stands in the log."""
    found = rows.all(
        f"SELECT {_COLUMNS} FROM hand_facts WHERE session = ? ORDER BY time, number",
        session_number(rows, user, session),
    )
    return [HandFact(user, session, *_typed(columns)) for columns in found]


def add_all(store: Store, facts: Sequence[HandFact]) -> int:
    """Write what was set by hand in another memory, each once and at its time; how many were new."""
    num_new = 0
    with store.write() as rows:
        for user in sorted({one.user for one in facts}):
            store.lock_user(rows, user)
        for user, session in sorted({(one.user, one.session) for one in facts}):
            number = locked_session(store, rows, user, session)
            known = {_identity(one) for one in read_hand_facts(rows, user, session)}
            new = {_identity(one): one for one in facts if (one.user, one.session) == (user, session)}
            fresh = [one for identity, one in new.items() if identity not in known]
            if not fresh:
                continue
            remove_facts_of(store, rows, _sources(rows, number))
            for one in fresh:
                _log(rows, number, _statement(one), one.time, one.valid_until)
            write_again(store, rows, number)
            num_new += len(fresh)
    return num_new


def check_hand_fact(fact: HandFact) -> None:
    """Refuse what no memory holds. Raises `DataError` or `ConfigError`."""
    _check(_statement(fact), fact.time, fact.valid_until)


def _identity(fact: HandFact) -> tuple[Any, ...]:
    """What tells two apart: all of it, times to the thousandth of a second, since exports round them."""
    times = [None if one is None else round(one, 3) for one in (fact.time, fact.valid_until)]
    return (fact.subject, fact.relation, fact.value, fact.kind, fact.is_single, fact.ends, *times)


def _statement(fact: HandFact) -> Statement:
    ended = Statement(fact.subject, fact.relation, fact.value, fact.kind, fact.is_single, ends="value")
    return ended if fact.ends else replace(ended, ends="")


def _sources(rows: Rows, session: int) -> list[int]:
    return [-number for (number,) in rows.all("SELECT number FROM hand_facts WHERE session = ?", session)]


def _typed(columns: Sequence[Any]) -> tuple[Any, ...]:
    """Columns of the log with what is yes or no as that."""
    subject, relation, value, kind, is_single, ends, time, valid_until = columns
    return subject, relation, value, kind, bool(is_single), bool(ends), time, valid_until


def _note(store: Store, rows: Rows, session: int, statement: Statement, time: float, valid_until: float | None) -> int:
    """Write a statement into the log and what follows from it; returns the number of its fact."""
    number = _log(rows, session, statement, time, valid_until)
    return write_by_hand(store, rows, session, number, time, statement, valid_until)


def _log(rows: Rows, session: int, statement: Statement, time: float, valid_until: float | None) -> int:
    """Write a statement into the log alone; returns its number there."""
    made = rows.all(
        f"INSERT INTO hand_facts (session, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        session, statement.subject, statement.relation, statement.value, statement.kind, int(statement.is_single),
        int(bool(statement.ends)), time, valid_until,
    )  # fmt: skip
    return int(made[0][0])


def _end_of(fact: Fact) -> Statement:
    return Statement(fact.subject, fact.relation, fact.value, ends="value")


def _known(rows: Rows, user: str, number: int) -> tuple[Fact, int]:
    """A user's fact and the number of its session; `UnknownNameError` names the newest that there are."""
    found = rows.one(
        "SELECT f.session FROM facts f JOIN sessions s ON s.number = f.session WHERE f.number = ? AND s.user_name = ?",
        number, user,
    )  # fmt: skip
    if found is None:
        known = rows.all(
            "SELECT f.number FROM facts f JOIN sessions s ON s.number = f.session WHERE s.user_name = ? "
            "ORDER BY f.number DESC LIMIT ?",
            user, _MOST_NAMED,
        )  # fmt: skip
        raise UnknownNameError(f"fact of user {user!r}", str(number), [str(one) for (one,) in known])
    return fact_of(rows, number), int(found[0])


def _check(statement: Statement, time: float, valid_until: float | None) -> None:
    check_name("subject", statement.subject)
    check_name("relation", statement.relation)
    check_text("value", statement.value)
    if is_blank(statement.value):
        raise ConfigError("value is blank; to say that a fact does not hold, use retract").blaming(
            Blame("value", "it is blank; a fact that does not hold is retracted")
        )
    if valid_until is not None and valid_until <= time:
        raise ConfigError(
            f"valid_until={valid_until:.0f} is not after {time:.0f}, the moment that the fact is set at; give a later time"
        ).blaming(Blame("valid_until", "it is not after the moment that the fact is set at; give a later time"))
