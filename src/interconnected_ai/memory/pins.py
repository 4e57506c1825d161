"""Pins: texts that come along with every context, of one session or of all of a user's."""

from collections.abc import Sequence

from interconnected_ai.errors import Blame, ConfigError
from interconnected_ai.memory.log import check_name, check_text, locked_session
from interconnected_ai.memory.records import Pin
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import is_blank
from interconnected_ai.types import CountTokens

_MOST_TOKENS = 1_000
_COLUMNS = "p.number, p.user_name, s.name, p.text, p.time FROM pins p LEFT JOIN sessions s ON s.number = p.session"


def add_pin(store: Store, text: str, *, session: str | None, user: str, time: float, count_tokens: CountTokens) -> Pin:
    """Pin a text. Raises `ConfigError` when all pins of that session together would take more than 1,000 tokens."""
    check_name("user", user)
    if session is not None:
        check_name("session", session)
    check_text("text", text)
    if is_blank(text):
        raise ConfigError("an empty text cannot be pinned")
    with store.write() as rows:
        number = locked_session(store, rows, user, session) if session is not None else None
        pinned = [pin.text for pin in pins_for(rows, user, session)]
        _require_room([*pinned, text], count_tokens)
        made = rows.all(
            "INSERT INTO pins (user_name, session, text, time) VALUES (?, ?, ?, ?) RETURNING number",
            user, number, text, time,
        )  # fmt: skip
    return Pin(int(made[0][0]), user, session, text, time)


def _require_room(texts: Sequence[str], count_tokens: CountTokens) -> None:
    if sum(map(count_tokens, texts)) > _MOST_TOKENS:
        told = f"pins would take more than {_MOST_TOKENS} tokens, and they come along every time; shorten this one, or "
        raise ConfigError(f"{told}forget(pin=…) another").blaming(Blame("text", f"{told}take another off"))


def pins_for(rows: Rows, user: str, session: str | None) -> list[Pin]:
    """What is pinned for a session: its own and those of all the user's sessions."""
    found = rows.all(
        f"SELECT {_COLUMNS} WHERE p.user_name = ? AND (p.session IS NULL OR s.name = ?) ORDER BY p.number",
        user, session,
    )  # fmt: skip
    return [Pin(*row) for row in found]


def pins_of(rows: Rows, user: str) -> list[Pin]:
    """All of a user's pins, whatever they are for."""
    return [Pin(*row) for row in rows.all(f"SELECT {_COLUMNS} WHERE p.user_name = ? ORDER BY p.number", user)]
