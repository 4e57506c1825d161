"""Times as exports write them, as seconds since 1970."""

import math
from datetime import UTC, datetime
from typing import Any

from interconnected_ai.errors import DataError

# Nobody's chat is from the year 5138, so larger numbers count thousandths, millionths or billionths of a second.
_LARGEST_SECONDS = 1e11
_UNITS = (1.0, 1e3, 1e6, 1e9)


def seconds_of(value: Any) -> float | None:
    """Seconds, milliseconds, micro- or nanoseconds as a number or its text, or ISO 8601; without a zone it is UTC.

    None for what says nothing (null, blank text). Raises `DataError` for anything else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("it is no time")
        number = _as_number(value)
        if number is None:
            moment = datetime.fromisoformat(str(value).strip().removesuffix(" UTC"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if not math.isfinite(number):
            raise ValueError("it is no time")
        seconds = next((number / unit for unit in _UNITS if abs(number / unit) < _LARGEST_SECONDS), number)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(
            f"time is {value!r}; needed are seconds or milliseconds since 1970, or ISO 8601 text such as "
            f"2026-03-14T09:30+02:00 ({error})"
        ) from error
    return seconds


def _as_number(value: float | str) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        # eight digits are a date of ISO 8601's basic form
        if not text.lstrip("-").replace(".", "", 1).isdigit() or len(text) == 8:
            return None
    return float(value)
