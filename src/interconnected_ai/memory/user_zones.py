"""In which time zone each user lives, as they said: a part of the log."""

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory.store import Rows
from interconnected_ai.memory.times import zone_of


def zone_name_of(rows: Rows, user: str) -> str | None:
    """The name of a user's zone; None where none was set."""
    found = rows.one("SELECT time_zone FROM user_zones WHERE user_name = ?", user)
    return str(found[0]) if found else None


def zone_names(rows: Rows) -> dict[str, str]:
    """The zones of all users who have one."""
    return dict(rows.all("SELECT user_name, time_zone FROM user_zones"))


def set_zone(rows: Rows, user: str, name: str | None) -> None:
    """Write down a user's zone by its name, or (None) that none is known. Raises `ConfigError` for an unknown name."""
    if name is None:
        rows.run("DELETE FROM user_zones WHERE user_name = ?", user)
        return
    if not isinstance(name, str):
        raise ConfigError(f"time_zone={name!r}: kept is the name of a zone, such as Europe/Riga")
    zone_of(name)
    rows.run(
        "INSERT INTO user_zones (user_name, time_zone) VALUES (?, ?) "
        "ON CONFLICT (user_name) DO UPDATE SET time_zone = excluded.time_zone",
        user, name,
    )  # fmt: skip
