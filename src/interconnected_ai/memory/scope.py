"""Whose words a read or a change is about: all of a user's sessions, or one of them alone.

All of a user's sessions stand in the index under one owner, the number of the first of them, so that a term of many sessions is
looked up once. Two writers that begin a user's first sessions at the same moment leave two owners: both are looked up then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interconnected_ai.errors import Blame, ConfigError
from interconnected_ai.memory.numbering import Kind, entry_of, number_of
from interconnected_ai.memory.store import Rows

Span = Literal["user", "session"]
SPANS: tuple[Span, ...] = ("user", "session")


@dataclass(frozen=True, slots=True)
class Scope:
    """Sessions that are read together. session, present: name and number of the one that is being spoken in, once it is there.

    is_alone: only the present session is read, though the user has others.
    """

    user: str
    session: str | None
    sessions: tuple[int, ...]
    owners: tuple[int, ...]
    present: int | None
    is_alone: bool

    def where(self, column: str = "session") -> tuple[str, Any]:
        """A condition on a column that holds the number of a session, and its value."""
        if self.is_alone or len(self.sessions) == 1:
            return f"{column} = ?", self.sessions[0] if self.sessions else None
        return f"{column} IN (SELECT number FROM sessions WHERE user_name = ?)", self.user

    def of_it(self, entries: Sequence[int]) -> Sequence[int]:
        """Of entries of the owners, those that are of these sessions."""
        if not self.is_alone or not self.sessions:
            return entries
        first, end = (entry_of(number_of(n, 0), Kind.SPEECH, 0) for n in (self.sessions[0], self.sessions[0] + 1))
        return [entry for entry in entries if first <= entry < end]


def scope_of(rows: Rows, user: str, session: str | None, span: Span = "user") -> Scope:
    """The sessions of a user, or (span "session") the one that is named. A name that is not there is no error."""
    found = rows.all(
        "SELECT number, name, coalesce(owner, number) FROM sessions WHERE user_name = ? ORDER BY number", user
    )
    present = next((int(number) for number, name, _ in found if name == session), None)
    is_alone = span == "session" and session is not None
    inside = [row for row in found if not is_alone or row[0] == present]
    owners = dict.fromkeys(int(owner) for *_, owner in inside)
    numbers = tuple(int(number) for number, *_ in inside)
    return Scope(user, session, numbers, tuple(owners), present, is_alone)


def owner_of(rows: Rows, session: int) -> int:
    """Under which owner a session's terms stand in the index."""
    found = rows.one("SELECT coalesce(owner, number) FROM sessions WHERE number = ?", session)
    assert found is not None, "a session that has a number has a row"
    return int(found[0])


def check_span(span: Any, session: Any) -> None:
    """Raise `ConfigError` for what is neither of the two, or for a session that is meant and not named."""
    if span not in SPANS:
        raise ConfigError(f"scope={span!r}: known are {', '.join(map(repr, SPANS))}")
    if span == "session" and session is None:
        remedy = "name it, or leave scope out to read all of the user's"
        raise ConfigError(f"scope='session' needs a session; {remedy}").blaming(
            Blame("scope", f"'session' needs a session; {remedy}")
        )
