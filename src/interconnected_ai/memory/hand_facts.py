"""Facts by hand: what a person sets, corrects and retracts. They stand in the log, and no rule overwrites them."""

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.memory.fact_rules import Statement, has_one_value
from interconnected_ai.memory.facts import fact_of, write_by_hand
from interconnected_ai.memory.log import check_name, check_text, session_number
from interconnected_ai.memory.records import Fact
from interconnected_ai.memory.store import Rows, Store

_MOST_NAMED = 20  # numbers of facts in an error


def set_fact(
    store: Store, statement: Statement, *, user: str, session: str, time: float, valid_until: float | None
) -> Fact:
    """Write a fact by hand into a session, which is made where it is not there."""
    _check(statement, time, valid_until)
    with store.write() as rows:
        store.lock_user(rows, user)
        number = session_number(rows, user, session, create=True)
        store.lock(rows, number)
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
    """Make a session's facts by hand anew from the log."""
    for number, subject, relation, value, kind, is_single, ends, time, valid_until in rows.all(
        "SELECT number, subject, relation, value, kind, is_single, ends, time, valid_until FROM hand_facts "
        "WHERE session = ? ORDER BY number",
        session,
    ):
        statement = Statement(subject, relation, value, kind, bool(is_single), "value" if ends else "")
        write_by_hand(store, rows, session, int(number), time, statement, valid_until)


def _note(store: Store, rows: Rows, session: int, statement: Statement, time: float, valid_until: float | None) -> int:
    """Write a statement into the log and what follows from it; returns the number of its fact."""
    made = rows.all(
        "INSERT INTO hand_facts (session, subject, relation, value, kind, is_single, ends, time, valid_until) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        session, statement.subject, statement.relation, statement.value, statement.kind, int(statement.is_single),
        int(bool(statement.ends)), time, valid_until,
    )  # fmt: skip
    return write_by_hand(store, rows, session, int(made[0][0]), time, statement, valid_until)


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
    if not statement.value.strip():
        raise ConfigError("value is blank; to say that a fact does not hold, use retract")
    if valid_until is not None and valid_until <= time:
        raise ConfigError(
            f"valid_until={valid_until:.0f} is not after {time:.0f}, the moment that the fact is set at; give a later time"
        )
