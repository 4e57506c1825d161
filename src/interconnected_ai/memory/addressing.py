"""Whom and what a call names, looked up in the store: what is not there is an error that lists what is nearest to it."""

from collections.abc import Iterable, Sequence
from typing import Any

from interconnected_ai.errors import Blame, ConfigError, UnknownNameError
from interconnected_ai.memory.log import check_name, session_numbers
from interconnected_ai.memory.records import DEFAULT_USER
from interconnected_ai.memory.store import Rows
from interconnected_ai.text import is_blank

_IDS_AT_ONCE = 500
_MOST_COMPARED = 2_000  # ids, the newest ones, among which the nearest are looked for


def refuse_blank(call: str, named: dict[str, Any]) -> None:
    """Raise `ConfigError` for a blank text: an unset variable of a shell must not stand for everybody or everything."""
    for name, value in named.items():
        if isinstance(value, str) and is_blank(value):
            said = "is blank, which names nothing (a variable that is not set?); give a value or leave it out"
            raise ConfigError(f"{call}: {name}={value!a} {said}").blaming(Blame(name, f"{value!a} {said}"))


def check_reader(user: Any, session: Any = None) -> None:
    """Raise `DataError` unless a read names its user, and a session only by a name: nothing blank stands for everybody."""
    check_name("user", user)
    if session is not None:
        check_name("session", session)


def reader_of(user: Any, session: Any, *, everyone: bool) -> str | None:
    """Whose sessions are told of: the user's, or (None) everybody's, which takes the word `everyone`."""
    check_reader(DEFAULT_USER if user is None and everyone else user, session)
    if not everyone:
        return str(user)
    if user is not None and user != DEFAULT_USER:
        raise ConfigError(f"user={user!r} and everyone=True contradict each other; give one of them")
    return None


def known_sessions(rows: Rows, user: str | None, session: str | None) -> list[int]:
    """The numbers of the sessions that are named: one, all of a user's, or (both None) all.

    Raises `UnknownNameError` for a user or session that is not there, `DataError` for what can name none.
    """
    if user is not None:
        check_name("user", user)
        _require("user", user, (name for (name,) in rows.all(_USERS)))
    found = session_numbers(rows, user, session)
    if session is not None and not found:
        check_name("session", session)
        whose = ("WHERE user_name = ?", user) if user is not None else ("",)
        names = rows.all(f"SELECT DISTINCT name FROM sessions {whose[0]}", *whose[1:])
        raise UnknownNameError(_of("session", user), session, (name for (name,) in names))
    return found


def require_ids(rows: Rows, user: str, sessions: Sequence[int], ids: Iterable[str]) -> None:
    """Raise `UnknownNameError` for the first id that no message of these sessions has."""
    wanted = list(dict.fromkeys(ids))
    left = set(wanted)
    for session in sessions:
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            part = wanted[start : start + _IDS_AT_ONCE]
            marks = ", ".join("?" * len(part))
            found = rows.all(f"SELECT id FROM messages WHERE session = ? AND id IN ({marks})", session, *part)
            left -= {id for (id,) in found}
    if left:
        first = next(id for id in wanted if id in left)
        raise UnknownNameError(_of("message id", user), first, _newest_ids(rows, sessions))


def require_pin(rows: Rows, user: str, pin: int) -> None:
    """Raise `UnknownNameError` for a number that no pin of the user has."""
    _require(_of("pin", user), pin, (n for (n,) in rows.all("SELECT number FROM pins WHERE user_name = ?", user)))


_USERS = "SELECT user_name FROM sessions UNION SELECT user_name FROM pins UNION SELECT user_name FROM user_zones"


def _newest_ids(rows: Rows, sessions: Sequence[int]) -> list[str]:
    newest: list[str] = []
    for session in reversed(sessions):
        left = _MOST_COMPARED - len(newest)
        if left <= 0:
            break
        newest += [
            id
            for (id,) in rows.all(
                "SELECT id FROM messages WHERE session = ? ORDER BY number DESC LIMIT ?", session, left
            )
        ]
    return newest


def _require(kind: str, name: str | int, known: Iterable[str | int]) -> None:
    names = list(known)
    if name not in names:
        raise UnknownNameError(kind, name, names)


def _of(kind: str, user: str | None) -> str:
    return kind if user is None else f"{kind} of user {user!r}"
