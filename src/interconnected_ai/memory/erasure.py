"""Forgetting: messages and everything made from them go in one transaction, then their bytes."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from interconnected_ai.memory.addressing import known_sessions, require_ids, require_pin
from interconnected_ai.memory.facts import remove_facts_of
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import drop_summary_terms, summaries_over
from interconnected_ai.memory.log import message_entry
from interconnected_ai.memory.numbering import number_of, place_of
from interconnected_ai.memory.pins import pins_of
from interconnected_ai.memory.records import Forgettable
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.user_zones import set_zone
from interconnected_ai.text import normalize

_HELD = ("messages", "pins", "hand_facts")  # tables of what a session is kept for


@dataclass(slots=True)
class Removed:
    """What was removed so far."""

    num_messages: int = 0
    num_facts: int = 0
    num_summaries: int = 0
    num_vectors: int = 0
    num_pins: int = 0
    num_sessions: int = 0  # removed or renamed: a name is words, too

    @property
    def is_any(self) -> bool:
        """Whether anything was."""
        counts = (self.num_messages, self.num_facts, self.num_summaries, self.num_vectors)
        return any((*counts, self.num_pins, self.num_sessions))


@dataclass(frozen=True, slots=True)
class Condition:
    """Which messages of a session are to go: those that all given conditions fit. before: in seconds since 1970.

    containing: words, wherever they stand: in a message, in a fact that was learnt from it, in one by hand, in a pin, in a
    session's name.
    """

    ids: frozenset[str] = frozenset()
    before: float | None = None
    containing: str | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything is given; without, whole sessions are meant."""
        return bool(self.ids) or self.before is not None or self.containing is not None

    def chosen(self, rows: Rows, session: int) -> list[int]:
        """The numbers of the messages that it fits."""
        found = rows.all("SELECT number, id, time, content FROM messages WHERE session = ? ORDER BY number", session)
        learnt = self._sources(rows, session)
        before = self._numbers_that_said(rows, session)
        return [
            number
            for number, id, time, content in found
            if (not self.ids or id in self.ids)
            and (self.before is None or time < self.before)
            and (number in learnt or number in before or self.fits(content))
        ]

    def pins(self, rows: Rows, user: str, session: str | None) -> list[int]:
        """The numbers of the pins that have the words: of one session, or all of the user's."""
        if self.containing is None or self.ids:
            return []
        return [
            pin.number
            for pin in pins_of(rows, user)
            if (session is None or pin.session == session)
            and (self.before is None or pin.time < self.before)
            and self.fits(pin.text)
        ]

    def by_hand(self, rows: Rows, session: int) -> list[int]:
        """The numbers, in the log, of a session's facts by hand that have the words."""
        if self.containing is None or self.ids:
            return []
        return [
            number
            for number, subject, relation, value, time in rows.all(
                "SELECT number, subject, relation, value, time FROM hand_facts WHERE session = ? ORDER BY number",
                session,
            )
            if (self.before is None or time < self.before)
            and any(self.fits(said) for said in (f"{subject} {relation} {value}", value))
        ]

    def is_in_name(self, rows: Rows, session: int) -> bool:
        """Whether the words stand in the session's name."""
        if self.containing is None or self.ids or self.before is not None:
            return False
        found = rows.one("SELECT name FROM sessions WHERE number = ?", session)
        return found is not None and self.fits(found[0])

    def fits(self, text: str) -> bool:
        """Whether the text has the words, or none are given."""
        return self.containing is None or normalize(self.containing) in normalize(text)

    def _sources(self, rows: Rows, session: int) -> set[int]:
        """The messages whose facts have the words: a fact would come back from them."""
        if self.containing is None:
            return set()
        facts = rows.all("SELECT source, value FROM facts WHERE session = ?", session)
        return {source for source, value in facts if self.fits(value)}

    def _numbers_that_said(self, rows: Rows, session: int) -> frozenset[int]:
        """The messages in whose history the words stand."""
        if self.containing is None:
            return frozenset()
        found = rows.all(
            "SELECT e.message, e.content FROM edits e JOIN messages m ON m.number = e.message WHERE m.session = ?",
            session,
        )
        return frozenset(number for number, content in found if self.fits(content))


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be forgotten: a pin, messages of a session or of all of the user's sessions, or all of either."""

    user: str
    session: str | None = None
    condition: Condition = Condition()
    pin: int | None = None

    @property
    def sessions_meant(self) -> bool:
        """Whether messages or whole sessions are named, beside or in place of a pin."""
        return self.condition.is_any or self.pin is None

    @property
    def is_whole_user(self) -> bool:
        """Whether all of the user is to go, the pins of no session among it."""
        return not self.condition.is_any and self.pin is None and self.session is None

    def sessions(self, rows: Rows) -> list[int]:
        """The numbers of the sessions that are named. Raises `UnknownNameError` for whatever is not there."""
        if self.pin is not None:
            require_pin(rows, self.user, self.pin)
        if not self.sessions_meant:
            return []
        numbers = known_sessions(rows, self.user, self.session)
        require_ids(rows, self.user, numbers, self.condition.ids)
        return numbers


def count(store: Store, choice: Choice) -> Forgettable:
    """How much `forget` would remove, as it stands at this moment."""
    num_messages = num_sessions = num_facts = 0
    with store.read() as rows:
        sessions = choice.sessions(rows)
        pins: set[int] = set() if choice.pin is None else {choice.pin}
        if choice.sessions_meant:
            pins.update(choice.condition.pins(rows, choice.user, choice.session))
        num_pins = len(pins)
        for number in sessions:
            fitting = len(choice.condition.chosen(rows, number))
            num_messages += fitting
            is_named = choice.condition.is_in_name(rows, number)
            by_hand = (
                len(choice.condition.by_hand(rows, number)) if choice.condition.is_any else _by_hand_in(rows, number)
            )
            num_facts += by_hand
            num_sessions += bool(fitting or by_hand) or is_named or not choice.condition.is_any
            if not choice.condition.is_any and not choice.is_whole_user:
                num_pins += _one_count(rows, "SELECT count(*) FROM pins WHERE session = ?", number)
        if choice.is_whole_user:
            num_pins = _one_count(rows, "SELECT count(*) FROM pins WHERE user_name = ?", choice.user)
    return Forgettable(num_messages, num_sessions, num_pins, num_facts)


def forget(store: Store, choice: Choice) -> Removed:
    """Remove what is named, in one transaction: the pin of that number, messages, or whole sessions with their pins.

    Raises `UnknownNameError` for a user, session, id or pin that is not there; nothing is removed then. The bytes stay in the
    file until `Store.erase`.
    """
    removed = Removed()
    condition = choice.condition
    with store.write() as rows:
        store.lock_user(rows, choice.user)
        sessions = choice.sessions(rows)
        if choice.pin is not None:
            removed.num_pins += rows.run("DELETE FROM pins WHERE number = ? AND user_name = ?", choice.pin, choice.user)
        if choice.sessions_meant:
            for pin in condition.pins(rows, choice.user, choice.session):
                removed.num_pins += rows.run("DELETE FROM pins WHERE number = ?", pin)
        for number in sessions:
            store.lock(rows, number)
            if condition.is_any:
                by_hand = condition.by_hand(rows, number)  # looked for first: the facts of messages go with those
                remove_messages(store, rows, number, condition.chosen(rows, number), removed)
                _remove_by_hand(store, rows, number, by_hand, removed)
                if condition.is_in_name(rows, number):
                    _drop_name(store, rows, number, removed)
            else:
                remove_session(store, rows, number, removed)
        if choice.is_whole_user:
            removed.num_pins += rows.run("DELETE FROM pins WHERE user_name = ?", choice.user)
            set_zone(rows, choice.user, None)
        if removed.is_any:
            for number in sessions:  # an error may quote what it met
                rows.run("UPDATE jobs SET error = '' WHERE session = ? AND error <> ''", number)
            want(rows, "erase", 0)  # whoever is killed from here on, the bytes will go
    return removed


def is_erasing_due(store: Store) -> bool:
    """Whether bytes of something that was forgotten still wait to be taken out of the files."""
    with store.read() as rows:
        return rows.one("SELECT 1 FROM jobs WHERE kind = 'erase'") is not None


def erase_now(store: Store) -> bool:
    """Take deleted bytes out of the files; False when that must wait, and is left to the worker."""
    with store.read() as rows:
        asked = rows.one("SELECT number, wanted FROM jobs WHERE kind = 'erase'")
    if not store.erase():
        return False
    if asked is not None:
        with store.write() as rows:
            rows.run("DELETE FROM jobs WHERE number = ? AND wanted = ?", *asked)
    return True


def remove_messages(store: Store, rows: Rows, session: int, numbers: Sequence[int], removed: Removed) -> None:
    """Remove messages of a session with their facts, vectors and index entries; summaries over them are made anew.

    A merged timeline summary is made anew from the messages that are left, as everything is: nothing of the old text stays.
    """
    if not numbers:
        return
    gone = []
    for number in numbers:
        gone += rows.all("SELECT number, is_reply, num_words, num_tokens FROM messages WHERE number = ?", number)
    store.remove_terms(rows, [message_entry(number, bool(is_reply), words) for number, is_reply, words, _ in gone])
    removed.num_facts += remove_facts_of(store, rows, [number for number, *_ in gone])
    for number, *_ in gone:
        removed.num_vectors += rows.run("DELETE FROM vectors WHERE number = ?", number)
        removed.num_messages += rows.run("DELETE FROM messages WHERE number = ?", number)
        rows.run("DELETE FROM edits WHERE message = ?", number)
    note_vector_removal(rows)
    summaries_anew(store, rows, session, [place_of(number) for number, *_ in gone], removed)
    count_levels(rows, session)


def remove_session(store: Store, rows: Rows, session: int, removed: Removed) -> None:
    """Remove a session with everything in it, its name too."""
    numbers = [n for (n,) in rows.all("SELECT number FROM messages WHERE session = ?", session)]
    remove_messages(store, rows, session, numbers, removed)
    removed.num_pins += rows.run("DELETE FROM pins WHERE session = ?", session)
    by_hand = [number for (number,) in rows.all("SELECT number FROM hand_facts WHERE session = ?", session)]
    _remove_by_hand(store, rows, session, by_hand, removed)
    rows.run("DELETE FROM jobs WHERE session = ?", session)
    removed.num_sessions += rows.run("DELETE FROM sessions WHERE number = ?", session)


def _remove_by_hand(store: Store, rows: Rows, session: int, numbers: Sequence[int], removed: Removed) -> None:
    removed.num_facts += remove_facts_of(store, rows, [-number for number in numbers])
    for number in numbers:
        rows.run("DELETE FROM hand_facts WHERE number = ?", number)


def _by_hand_in(rows: Rows, session: int) -> int:
    return _one_count(rows, "SELECT count(*) FROM hand_facts WHERE session = ?", session)


def _drop_name(store: Store, rows: Rows, session: int, removed: Removed) -> None:
    """Give a session another name, or remove one that holds nothing any more."""
    held = [rows.one(f"SELECT 1 FROM {table} WHERE session = ? LIMIT 1", session) for table in _HELD]
    if not any(held):
        remove_session(store, rows, session, removed)
        return
    name = f"session-{uuid.uuid4().hex[:12]}"
    removed.num_sessions += rows.run("UPDATE sessions SET name = ? WHERE number = ?", name, session)


def count_levels(rows: Rows, session: int) -> None:
    """Take the counts of a session again from what is in its log."""
    found = rows.one("SELECT stale_upto, long_upto FROM sessions WHERE number = ?", session)
    assert found is not None, "a session that has a number has a row"
    stale_from, long_upto = number_of(session, found[0]), number_of(session, found[1])
    sums = rows.one(
        "SELECT count(*), coalesce(sum(num_words), 0), "
        "coalesce(sum(CASE WHEN number > ? THEN num_tokens ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN number > ? AND number <= ? THEN num_tokens ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN number <= ? THEN num_tokens ELSE 0 END), 0) FROM messages WHERE session = ?",
        stale_from, long_upto, stale_from, long_upto, session,
    )  # fmt: skip
    assert sums is not None, "a sum is always one row"
    rows.run(
        "UPDATE sessions SET num_messages = ?, num_words = ?, current_tokens = ?, stale_tokens = ?, long_tokens = ? "
        "WHERE number = ?",
        *(int(value) for value in sums), session,
    )  # fmt: skip


def note_vector_removal(rows: Rows) -> None:
    """Tell every process that vectors it holds in memory may be gone."""
    rows.run(
        "INSERT INTO meta (name, value) VALUES ('vector_removals', '1') "
        "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT)"
    )


def _one_count(rows: Rows, sql: str, *values: int | str) -> int:
    found = rows.one(sql, *values)
    assert found is not None, "a count is always one row"
    return int(found[0])


def summaries_anew(store: Store, rows: Rows, session: int, places: Sequence[int], removed: Removed) -> None:
    """Empty the summaries that speak of these places and ask for new ones; those with no message left are removed."""
    for number, first_place, last_place in summaries_over(rows, session, places):
        drop_summary_terms(store, rows, session, number)
        left = rows.one(
            "SELECT count(*), coalesce(sum(num_tokens), 0), min(time), max(time) FROM messages "
            "WHERE number >= ? AND number <= ?",
            number_of(session, first_place), number_of(session, last_place),
        )  # fmt: skip
        assert left is not None, "a count is always one row"
        removed.num_summaries += 1
        if not left[0]:
            rows.run("DELETE FROM summaries WHERE number = ?", number)
            rows.run("DELETE FROM jobs WHERE kind = 'compress' AND session = ? AND target = ?", session, number)
            continue
        rows.run(
            "UPDATE summaries SET text = '', num_tokens = 0, num_words = 0, method = 'pending', source_tokens = ?, "
            "first_time = ?, last_time = ? WHERE number = ?",
            int(left[1]), left[2], left[3], number,
        )  # fmt: skip
        want(rows, "compress", session, number)
