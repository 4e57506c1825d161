"""Spans of a calendar without zones: hours, days, weeks, months, and parts of them."""

from datetime import datetime, timedelta

Span = tuple[datetime, datetime]


def begin(unit: str, clock: datetime, back: int = 0) -> datetime:
    """When the unit that a moment lies in began, or the one that many units earlier."""
    day = clock.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "hour":
        return clock.replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
    if unit == "day":
        return day - timedelta(days=back)
    if unit == "week":
        return day - timedelta(days=day.weekday() + 7 * back)
    length = {"month": 1, "quarter": 3, "year": 12}[unit]
    months = (day.year * 12 + day.month - 1) // length * length - back * length
    return datetime(months // 12, months % 12 + 1, 1)


def unit_at(unit: str, clock: datetime, back: int = 0) -> Span:
    """The unit that a moment lies in, or the one that many units earlier."""
    return begin(unit, clock, back), begin(unit, clock, back - 1)


def months(year: int, month: int, num_months: int = 1) -> Span:
    """So many months from the first of one."""
    first = datetime(year, month, 1)
    return first, begin("month", first, -num_months)


def days(first: datetime, num_days: int = 1) -> Span:
    """So many days from the beginning of one."""
    return first, first + timedelta(days=num_days)


def part_of(span: Span, which: int, of: int) -> Span:
    """A third or half of a time: in months where it has three, in tens of days of a month, in days of a week."""
    start, end = span
    num_days = (end - start).days
    num_months = (end.year - start.year) * 12 + end.month - start.month
    if num_months >= of:
        cuts = [begin("month", start, -(num_months * n // of)) for n in range(of + 1)]
    elif num_days == 7:  # Monday and Tuesday, Wednesday and Thursday, the rest
        cuts = [start + timedelta(days=n) for n in ((0, 2, 4, 7) if of == 3 else (0, 3, 7))]
    else:
        step = 10 if of == 3 else 15
        cuts = [start + timedelta(days=step * n) for n in range(of)] + [end]
    return cuts[which], cuts[which + 1]
