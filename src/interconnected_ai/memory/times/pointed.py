"""This, the last, the one before last, and the last so many."""

from dataclasses import replace
from datetime import timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import begin, unit_at
from interconnected_ai.memory.times.names import is_surely_month, month_named, season, weekday, weekend
from interconnected_ai.memory.times.numbers import count_at
from interconnected_ai.memory.times.sentence import Reading, Sentence


def pointed(said: Sentence, place: int) -> Reading | None:
    """ "last week", «в этот вторник», «позапрошлой зимой», "the last three days"."""
    word = said.word(place)
    if word in say.LATEST or word in say.LAST:
        found = _lately(said, place)
        if found is not None:
            return found
    if word in say.LAST:
        return _back_of_kind(said, place + 1, 1)
    if word in say.BEFORE_LAST:
        return _back_of_kind(said, place + 1, 2)
    return _back_of_kind(said, place + 1, 0) if word in say.THIS else None


def _lately(said: Sentence, place: int) -> Reading | None:
    """ "the last three days", «за последний месяц»: from so many units back until today."""
    word, after = said.word(place), said.word(place + 1)
    count = count_at(said, place + 1) if after not in ("a", "an") else None  # "it may last a year"
    if count is not None and said.word(count.end + 1) == "of":
        return None  # "the last two weeks of August"
    if count is not None:
        unit = say.UNITS.get(said.word(count.end)) or say.PLURAL_UNITS.get(said.word(count.end))
        return _until_now(said, count.most, unit, count.end + 1) if unit is not None else None
    if word in say.LATEST and after in say.PLURAL_UNITS:
        return _until_now(said, 5, say.PLURAL_UNITS[after], place + 2)
    if after not in say.UNITS:
        return None
    is_stretch = said.word(place - 1) == "the" and said.word(place - 2) in ("in", "over", "during", "for", "within")
    if word in say.LATEST or (word == "last" and (is_stretch or say.UNITS[after] == "hour")):
        return _until_now(said, 1, say.UNITS[after], place + 2) if said.word(place + 2) != "of" else None
    return None


def _until_now(said: Sentence, count: float, unit: str, end: int) -> Reading:
    if unit == "hour":
        return Reading((said.now - timedelta(hours=count), said.now), end)
    if count % 1:
        return _until_now(
            said, round(count * {"day": 1, "week": 7, "month": 30, "year": 365}.get(unit, 91)), "day", end
        )
    return Reading((begin(unit, said.now, int(count)), said.today + timedelta(days=1)), end)


def before_last(said: Sentence, place: int) -> Reading | None:
    """ "the week before last"."""
    if said.words[place + 1 : place + 3] != ["before", "last"]:
        return None
    found = _back_of_kind(said, place, 2)
    return replace(found, end=place + 3) if found is not None else None


def _back_of_kind(said: Sentence, place: int, back: int) -> Reading | None:
    """This (0), the last (1) or the one before last (2) of what stands here."""
    word = said.word(place)
    if word in say.UNITS:
        unit = say.UNITS[word]
        is_odd = word == "day" or unit == "hour" or (unit == "day" and back == 0)  # "the last day", «этот день»
        if is_odd or (said.word(place + 1) == "of" and back == 1):
            return None
        return Reading(unit_at(unit, said.now, back), place + 1, unit)
    if word in say.DAY_PARTS:
        return _part_of_day_back(said, say.DAY_PARTS[word], back, place + 1)
    named = weekday(said, place) or month_named(said, place) or season(said, place) or weekend(said, place)
    if named is None or named.inside is None or not is_surely_month(said, place, is_pointed=True):
        return None
    if back == 0:
        return Reading(named.inside(begin(named.of, said.now)), named.end, named.grain)
    inside = named.inside
    over = [span for number in range(4) if (span := inside(begin(named.of, said.now, number)))[1] <= said.today]
    return Reading(over[back - 1], named.end, named.grain)


def _part_of_day_back(said: Sentence, hours: tuple[int, int], back: int, end: int) -> Reading:
    """ "this morning", "last night", «этой ночью»."""
    first, last = (timedelta(hours=number) for number in hours)
    day = said.today - timedelta(days=back)
    if hours[1] > 24 and day + first > said.now:  # a night to come: the one that is over is meant
        day -= timedelta(days=1)
    return Reading((day + first, day + last), end)
