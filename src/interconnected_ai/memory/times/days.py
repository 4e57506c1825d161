"""Single days: yesterday, dates in numbers, named days, the 5th."""

import re
from datetime import datetime, timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, days, months, unit_at
from interconnected_ai.memory.times.names import is_surely_month
from interconnected_ai.memory.times.numbers import day_number, days_in_numbers
from interconnected_ai.memory.times.sentence import Reading, Sentence

_ISO_DAY = re.compile(r"(\d{4})[-./](\d\d?)[-./](\d\d?)$")
_ISO_MONTH = re.compile(r"((?:19|20)\d\d)-(\d\d)$")
_DOTTED_DAY = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})$")
_SHORT_DAY = re.compile(r"(\d\d)\.(\d\d)\.(\d\d)$")
_SLASHED_DAY = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})$")
_YEARS_NUMBER = re.compile(r"((?:19|20)\d\d)[-–]((?:19|20)\d\d)$")


def day_back(said: Sentence, place: int) -> Reading | None:
    """ "yesterday", "the day before yesterday", "last year's" in one word."""
    word = said.word(place)
    if word == "day" and said.words[place + 1 : place + 3] == ["before", "yesterday"]:
        return Reading(days(said.today - timedelta(days=2)), place + 3, "day")
    if word in say.DAYS_BACK:
        return Reading(days(said.today - timedelta(days=say.DAYS_BACK[word])), place + 1, "day")
    if word in say.YEARS_BACK:
        return Reading(unit_at("year", said.now, say.YEARS_BACK[word]), place + 1, "year")
    return None


def date(said: Sentence, place: int) -> Reading | None:
    """Dates in numbers. 03/04/2024 is one in some countries and another in others: none."""
    word = said.word(place)
    if not word[0].isdigit() or said.word(place - 1) in say.VERSIONS:
        return None
    if match := _ISO_DAY.match(word):
        year, month, day = map(int, match.groups())
        return Reading(days(datetime(year, month, day)), place + 1, "day")
    if match := _DOTTED_DAY.match(word):
        day, month, year = map(int, match.groups())
        return Reading(days(datetime(year, month, day)), place + 1, "day")
    if match := _SLASHED_DAY.match(word):
        one, other, year = map(int, match.groups())
        if one != other and max(one, other) <= 12:
            return None
        return Reading(days(datetime(year, min(one, other), max(one, other))), place + 1, "day")
    if match := _SHORT_DAY.match(word):
        day, month, year = map(int, match.groups())
        needs = frozenset("в от за с со по до на".split())
        return Reading(days(datetime(2000 + year, month, day)), place + 1, "day", needs=needs)
    if match := _ISO_MONTH.match(word):
        return Reading(months(int(match[1]), int(match[2])), place + 1, "month", needs=say.BEFORE_YEAR)
    if match := _YEARS_NUMBER.match(word):
        span = unit_at("year", datetime(int(match[1]), 1, 1))[0], unit_at("year", datetime(int(match[2]), 1, 1))[1]
        is_told = said.word(place + 1) in say.YEAR_WORDS
        needs = frozenset() if is_told else say.BEFORE_YEAR
        return Reading(span, place + 1 + is_told, needs=needs) if not said.is_measure(place + 1) else None
    return None


def named_day(said: Sentence, place: int) -> Reading | None:
    """ "5 мая", "the fifth of May", "May 5", "1–5 March"; without a year the last such days."""
    return _day_before_month(said, place) or _day_after_month(said, place)


def _day_before_month(said: Sentence, place: int) -> Reading | None:
    days = days_in_numbers(said, place)
    if days is None:
        return None
    first, last, end = days
    if said.word(end) == "of":
        end += 1
    month = _month_of_day(said, end)
    if month is None or not is_surely_month(said, end, has_day=True):
        return None
    return _in_month(said, month, first, last, said.after_dot(end))


def _day_after_month(said: Sentence, place: int) -> Reading | None:
    month = say.ENGLISH_MONTHS.get(said.word(place)) or say.MONTH_ABBREVIATIONS.get(said.word(place))
    if month is None or not is_surely_month(said, place, has_day=True):
        return None
    days = days_in_numbers(said, said.after_article(said.after_dot(place)))
    if days is None or said.is_measure(days[2]):
        return None
    return _in_month(said, month, *days)


def _in_month(said: Sentence, month: int, first: int, last: int, end: int) -> Reading:
    def inside(year: datetime) -> Span:
        return datetime(year.year, month, first), datetime(year.year, month, last) + timedelta(days=1)

    return said.floating(inside, "year", end, "day" if first == last else "")


def _month_of_day(said: Sentence, place: int) -> int | None:
    word = said.word(place)
    month, case = say.RUSSIAN_MONTHS.get(word, (0, ""))
    return month if case == "of" else say.ENGLISH_MONTHS.get(word) or say.MONTH_ABBREVIATIONS.get(word)


def day_of_month(said: Sentence, place: int) -> Reading | None:
    """ "5 числа", "on the 5th"."""
    day = day_number(said, place)
    if day is None:
        return None
    number, end = day
    is_told = said.word(end) in ("числа", "число")
    if not is_told and not _is_day_alone(said, place, end):
        return None
    needs = frozenset() if is_told else frozenset("on since after".split())
    return said.floating(lambda month: days(month.replace(day=number)), "month", end + is_told, "day", needs)


def _is_day_alone(said: Sentence, place: int, end: int) -> bool:
    """Whether "the 5th" is a day: neither the 5th floor nor the 5th of something."""
    if said.word(place)[-2:] not in ("st", "nd", "rd", "th"):
        return False
    if said.word(end) == "of":
        month = said.reading(said.after_article(end + 1))
        return month is not None and month.grain == "month"
    return not said.word(end)[:1].isalpha() or said.word(end) in say.GOES_ON
