"""Where a clock hangs: a zone by name, and moments as that clock shows them. Stored moments are seconds since 1970, in no zone.

A zone is a `tzinfo`, or None for the one that this machine stands in.
"""

import time
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from interconnected_ai.errors import Blame, ConfigError


def zone_of(name: str | tzinfo | None) -> tzinfo | None:
    """The time zone of a name such as Europe/Riga. Raises `ConfigError` for one that is not known."""
    if name is None or isinstance(name, tzinfo):
        return name
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError) as error:  # unknown; no name; the name of a folder; no text
        needed = "needed is a name of the IANA database, such as Europe/Riga or UTC"
        raise ConfigError(f"time_zone={name!r}: {needed}").blaming(Blame("time_zone", f"{name!r}: {needed}")) from error


def zone_name(zone: tzinfo | None) -> str:
    """A zone's name for people: Europe/Riga; of this machine's, which has none, what its clock is called: EET/EEST."""
    return "/".join(dict.fromkeys(time.tzname)) if zone is None else getattr(zone, "key", None) or str(zone)


def clock_at(seconds: float, zone: tzinfo | None) -> datetime:
    """What a clock in the zone shows at a moment, as a datetime without a zone.

    Raises `ValueError`, `OverflowError` or `OSError` for moments that no calendar holds.
    """
    return datetime.fromtimestamp(seconds, zone).replace(tzinfo=None)


def shown_at(seconds: float, zone: tzinfo | None) -> datetime:
    """The same to be printed: where a moment falls off the calendar's end there, the end."""
    try:
        return clock_at(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return datetime.min if seconds < 0 else datetime.max


def seconds_at(clock: datetime, zone: tzinfo | None) -> float:
    """The moment at which a clock in the zone shows this, in seconds since 1970.

    What it shows twice (the clock is put back) is the first time; what it never shows (it is put forward) is as much later as
    it was put forward: a day that begins in such a gap begins when the gap is over. Raises as `clock_at` does.
    """
    return clock.replace(tzinfo=zone, fold=0).timestamp()


def day_at(seconds: float, zone: tzinfo | None) -> str:
    """The day of a moment in the zone: 2024-03-01."""
    return shown_at(seconds, zone).date().isoformat()
