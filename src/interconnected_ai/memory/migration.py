"""A store of an earlier version made one of this: once, in one transaction, with nothing of the log changed but marks.

Tables and columns that it lacks are made when it is opened (see `schema`); here they are filled.
"""

import time as clock

from interconnected_ai.errors import StorageError
from interconnected_ai.memory.fact_rules import has_one_value, is_of_the_rules
from interconnected_ai.memory.facts import fold_again, hash_of
from interconnected_ai.memory.log import end_of_tomorrow
from interconnected_ai.memory.provenance import remember, remembered
from interconnected_ai.memory.quoting import content_thousandths
from interconnected_ai.memory.schema import FORMER_INDEXES, SCHEMA_VERSION
from interconnected_ai.memory.store import Rows, Store

# What is of this version or later answers as it stands: it only lacks what makes answers fast.
_READABLE_VERSION = 2
_ROWS_AT_ONCE = 256


def migrate(store: Store) -> None:
    """Bring a store to this version; nothing to do for one that is. Raises `StorageError` where that cannot be written.

    One that can only be read and answers as it stands is left as it is.
    """
    with store.read() as rows:
        version = _version(rows)
        if version >= SCHEMA_VERSION or (version >= _READABLE_VERSION and not store.is_writable):
            return
    try:
        with store.write() as rows:
            store.lock_all(rows)
            version = _version(rows)
            if version < _READABLE_VERSION:
                _to_users(store, rows)
            if version < SCHEMA_VERSION:
                _count_thousandths(rows)
            if version < SCHEMA_VERSION:  # nobody else did meanwhile
                remember(rows, "schema_version", str(SCHEMA_VERSION))
    except StorageError as error:
        raise StorageError(
            f"{store.location} is of an earlier version and is changed when it is opened, which did not go well ({error}); "
            "open it once where it can be written"
        ) from error


def _count_thousandths(rows: Rows) -> None:
    """Write down what the words of each message add to the estimate of a context."""
    number = -1
    while found := rows.all(
        "SELECT number, content FROM messages WHERE number > ? ORDER BY number LIMIT ?", number, _ROWS_AT_ONCE
    ):
        counted = [(content_thousandths(content), number) for number, content in found]
        rows.many("UPDATE messages SET thousandths = ? WHERE number = ?", counted)
        number = found[-1][0]


def _version(rows: Rows) -> int:
    return int(remembered(rows, "schema_version") or SCHEMA_VERSION)


def _to_users(store: Store, rows: Rows) -> None:
    """Index and facts, which were each session's own, become the user's."""
    for name in FORMER_INDEXES:
        rows.run(f"DROP INDEX IF EXISTS {name}")
    rows.run("UPDATE messages SET ahead = 1 WHERE time >= ?", end_of_tomorrow(clock.time()))
    users = rows.all("SELECT user_name, min(number) FROM sessions GROUP BY user_name ORDER BY user_name")
    for user, owner in users:
        for (session,) in rows.all("SELECT number FROM sessions WHERE user_name = ? AND number <> ?", user, owner):
            store.move_terms(rows, session, session, owner)
        rows.run("UPDATE sessions SET owner = ? WHERE user_name = ?", owner, user)
    rows.run(
        "UPDATE facts SET user_name = (SELECT user_name FROM sessions WHERE number = facts.session), own_until = valid_until"
    )
    replaced = {
        relation
        for (relation,) in rows.all(
            "SELECT DISTINCT f.relation FROM facts f JOIN facts n ON n.number = f.superseded_by "
            "WHERE n.number <> f.number AND n.relation = f.relation AND n.kind NOT IN ('end', 'end of all')"
        )
    }
    for number, relation, value, source in rows.all("SELECT number, relation, value, source FROM facts"):
        is_single = has_one_value(relation) and (is_of_the_rules(relation) or relation in replaced)
        if source < 0:
            hand = rows.one("SELECT is_single FROM hand_facts WHERE number = ?", -source)
            is_single = bool(hand and hand[0])
        rows.run(
            "UPDATE facts SET is_single = ?, value_hash = ? WHERE number = ?", int(is_single), hash_of(value), number
        )
    for user, _ in users:
        fold_again(store, rows, user)
