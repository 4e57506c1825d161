"""Times by their names: months, weekdays, seasons, quarters, weekends, parts of a day, years."""

import re
from datetime import datetime, timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, days, months, unit_at
from interconnected_ai.memory.times.numbers import DAY_NUMBER, days_in_numbers
from interconnected_ai.memory.times.sentence import WITHIN_ONLY, Reading, Sentence

YEAR_NUMBER = re.compile(r"((?:19|20)\d\d)(?:-?(?:го|й|м|ом|е))?$")


def month(said: Sentence, place: int) -> Reading | None:
    """A month that is surely one."""
    return month_named(said, place) if is_surely_month(said, place) else None


def month_named(said: Sentence, place: int) -> Reading | None:
    """A month by its name, the last that has begun; it needs a word before it, or its year."""
    word = said.word(place)
    month, case = say.RUSSIAN_MONTHS.get(word, (0, "as it is"))
    needs = say.RUSSIAN_PERIOD[case]
    end = place + 1
    if not month:
        month = say.ENGLISH_MONTHS.get(word) or say.MONTH_ABBREVIATIONS.get(word) or 0
        needs = say.ENGLISH_PERIOD if word in say.NAMES_OF_PEOPLE else say.ENGLISH_PERIOD | {"from"}
        end = place + 1 if word in say.ENGLISH_MONTHS else said.after_dot(place)
    if not month:
        return None
    return said.floating(lambda year: months(year.year, month), "year", end, "month", needs)


def is_surely_month(said: Sentence, place: int, *, has_day: bool = False, is_pointed: bool = False) -> bool:
    """ "may" and "march" are words of other kinds too: they need a capital within the sentence, or a word that tells.

    has_day: a number stands before or after it. is_pointed: "last" or "this" does.
    """
    if said.word(place) not in say.DOUBTFUL_MONTHS:
        return True
    before, after = said.word(place - 1), place + 1
    follows_day = has_day and DAY_NUMBER.match(before) is not None
    lead = said.word(place - 2) if follows_day or before in say.DASHES else before
    if lead in say.LEADS_OF_MONTHS or before == "of" or YEAR_NUMBER.match(said.word(after)):
        return True
    if follows_day and not before.isdecimal():
        return True
    if said.raw[place][0].isupper() and before and before not in (".", "!", "?"):
        return True
    if has_day and not follows_day and (days := days_in_numbers(said, after)):
        after = days[2]
    goes_on = said.word(after) in say.GOES_ON or not said.word(after)[:1].isalpha()
    return (has_day or is_pointed) and goes_on


def weekday(said: Sentence, place: int) -> Reading | None:
    """ "Monday", «во вторник»: the last one, today among them; it needs a word before it, or its week."""
    word = said.word(place)
    number, case = say.RUSSIAN_WEEKDAYS.get(word, (-1, "as it is"))
    needs = say.RUSSIAN_DAY[case]
    if number < 0:
        number, needs = say.ENGLISH_WEEKDAYS.get(word, -1), say.ENGLISH_DAY
    if number < 0:
        return None
    return said.floating(lambda week: days(week + timedelta(days=number)), "week", place + 1, "day", needs)


def season(said: Sentence, place: int) -> Reading | None:
    """ "the spring", «летом»: the last that has begun."""
    word = said.word(place)
    month = say.SEASON_ADVERBS.get(word) or say.SEASONS.get(word)
    if month is None:
        return None
    needs = say.RUSSIAN_SEASON if word[0] >= "а" else say.ENGLISH_PERIOD
    if word in say.SEASON_ADVERBS:
        needs = frozenset()
    after = said.word(place + 1)
    if word in ("spring", "fall") and (after in say.AFTER_SPRING or (after == "of" and _fell(said, place + 2))):
        return None
    return said.floating(lambda year: months(year.year, month, 3), "year", place + 1, "season", needs)


def _fell(said: Sentence, place: int) -> bool:
    """Whether "the fall of" is that of a city, no year standing here."""
    other = said.reading(said.after_article(place))
    return other is None or other.grain != "year"


def quarter(said: Sentence, place: int) -> Reading | None:
    """ "the first quarter", «в III квартале», "Q2"."""
    word = said.word(place)
    number = say.QUARTERS.get(word) or say.ORDINALS.get(word, 0)
    is_told = say.UNITS.get(said.word(place + 1)) == "quarter"
    if not 1 <= number <= 4 or not (is_told or word[0] == "q"):
        return None
    end = place + 1 + is_told
    needs = say.ENGLISH_PERIOD | {"в", "во", "за", "с", "со", "после"}
    return said.floating(lambda year: months(year.year, 3 * number - 2, 3), "year", end, "quarter", needs)


def weekend(said: Sentence, place: int) -> Reading | None:
    """Saturday and Sunday, the last that have begun."""
    if said.word(place) not in say.WEEKEND:
        return None
    return said.floating(lambda week: days(week + timedelta(days=5), 2), "week", place + 1, "", say.WEEKEND_WORDS)


def day_part(said: Sentence, place: int) -> Reading | None:
    """ "evening", «утром»: only within a day that is told beside it."""
    if said.word(place) not in say.DAY_PARTS:
        return None
    first, last = (timedelta(hours=number) for number in say.DAY_PARTS[said.word(place)])

    def inside(day: datetime) -> Span:
        if day == said.today and day + first > said.now and last > timedelta(days=1):
            day -= timedelta(days=1)  # «сегодня ночью», asked by day: the night that is over
        return day + first, day + last

    return Reading(inside(said.today), place + 1, "", inside, "day", WITHIN_ONLY)


def year(said: Sentence, place: int) -> Reading | None:
    """ "2023 год", "the year 2023"; the number alone needs a word before it, and none after it that it counts."""
    is_told = said.word(place) == "year"
    match = YEAR_NUMBER.match(said.word(place + is_told))
    end = place + is_told + 1
    if match is None or said.is_measure(end) or said.word(place - 1) in say.VERSIONS | set("$€£#№"):
        return None
    span = unit_at("year", datetime(int(match[1]), 1, 1))
    if said.word(end) in say.YEAR_WORDS:
        return Reading(span, said.after_dot(end) if said.word(end) == "г" else end + 1, "year")
    return Reading(span, end, "year", needs=frozenset() if is_told else say.BEFORE_YEAR)
