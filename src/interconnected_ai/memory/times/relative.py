"""Times told from another: "the week before 3 August", "two days after Monday", «за неделю до 5 мая»."""

from datetime import datetime, timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, begin, days
from interconnected_ai.memory.times.numbers import Count, count_at
from interconnected_ai.memory.times.sentence import Reading, Sentence

_NUM_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_AROUND = {"day": 0, "week": 3, "month": 15, "year": 30}  # days: "two weeks before" is not meant to the day
_BEFORE, _AFTER = frozenset({"before", "до"}), frozenset({"after", "после"})


def relative(said: Sentence, place: int) -> Reading | None:
    """So long before or after a day that is told."""
    place += said.word(place) in say.LAST and said.word(place + 1) in say.WEEKEND
    count = count_at(said, place)
    at = count.end if count is not None else place
    word, link = said.word(at), said.word(at + 1)
    unit = "weekend" if word in say.WEEKEND else say.UNITS.get(word) or say.PLURAL_UNITS.get(word) or ""
    if link not in _BEFORE | _AFTER or not (unit in _NUM_DAYS or (unit == "weekend" and count is None)):
        return None
    other = said.reading(said.after_article(at + 2))
    if other is None or other.grain != "day":
        return None
    needs = frozenset({"за"}) if link == "до" else frozenset[str]()
    return Reading(_span(other.span, unit, count, is_before=link in _BEFORE), other.end, needs=needs)


def _span(day: Span, unit: str, count: Count | None, *, is_before: bool) -> Span:
    if unit == "weekend":
        return _weekend(day, is_before=is_before)
    num_days = _NUM_DAYS[unit]
    if count is None:
        length = timedelta(days=num_days)
        return (day[0] - length, day[0]) if is_before else (day[1], day[1] + length)
    sign = -1 if is_before else 1
    ends = sorted(day[0] + timedelta(days=sign * round(number * num_days)) for number in (count.least, count.most))
    around = timedelta(days=_AROUND[unit])
    return ends[0] - around, ends[1] + around + timedelta(days=1)


def _weekend(day: Span, *, is_before: bool) -> Span:
    saturday: datetime = begin("week", day[0] if is_before else day[1]) + timedelta(days=5)
    while is_before and saturday + timedelta(days=2) > day[0]:
        saturday -= timedelta(days=7)
    while not is_before and saturday < day[1]:
        saturday += timedelta(days=7)
    return days(saturday, 2)
