"""So many units ago."""

from datetime import timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import begin, days
from interconnected_ai.memory.times.numbers import count_at, half_after
from interconnected_ai.memory.times.sentence import Reading, Sentence


def ago(said: Sentence, place: int) -> Reading | None:
    """ "eleven days ago", «полтора года назад», «лет пять назад»; "more than a year ago" says no time."""
    if said.word(place - 1) in say.MORE_OR_LESS:
        return None
    word = said.word(place)
    if word in say.HALVES and (end := _after_ago(said, place + 1)):
        return _back(said, 0.5, 0.5, say.HALVES[word], end)
    if word in say.UNITS and (word in say.BARE_UNITS or said.word(place - 1) in say.ABOUT):
        half = 0.5 * (said.words[place + 1 : place + 3] == ["с", "половиной"])
        if end := _after_ago(said, place + 1 + 2 * bool(half)):
            return _back(said, 1 + half, 1 + half, say.UNITS[word], end)
    unit = say.UNITS.get(word) or say.PLURAL_UNITS.get(word)
    if unit is not None and (count := count_at(said, place + 1)) and (end := _after_ago(said, count.end)):
        return _back(said, count.least, count.most, unit, end)
    count = count_at(said, place)
    if count is None:
        return None
    unit = say.UNITS.get(said.word(count.end)) or say.PLURAL_UNITS.get(said.word(count.end))
    times, after = 1, count.end + 1
    if said.word(count.end) in ("fortnight", "fortnights"):
        unit, times = "week", 2
    if unit is None:
        return None
    half, after = half_after(said, after)
    if not (end := _after_ago(said, after)):
        return None
    return _back(said, (count.least + half) * times, (count.most + half) * times, unit, end)


def _back(said: Sentence, least: float, most: float, unit: say.Unit, end: int) -> Reading:
    """From `most` units back to `least` units back, both whole."""
    if least % 1 and unit in ("year", "quarter"):
        least, most, unit = (12 * least, 12 * most, "month") if unit == "year" else (3 * least, 3 * most, "month")
    if unit == "hour":
        first, last = (said.now - timedelta(hours=number) for number in (most, least))
        return Reading((begin("hour", first), begin("hour", last, -1)), end)
    if least % 1 and unit == "day":
        return _back(said, 24 * least, 24 * most, "hour", end)
    if least % 1:  # so many weeks or months and a half: some days around
        num_days, around = (round(7 * least), 1) if unit == "week" else (round(30.4 * least), 3)
        return Reading(days(said.today - timedelta(days=num_days + around), 2 * around + 1), end)
    span = begin(unit, said.now, int(most)), begin(unit, said.now, int(least) - 1)
    return Reading(span, end, unit if least == most else "")


def _after_ago(said: Sentence, place: int) -> int:
    """The place after "ago", 0 where it does not stand here."""
    if said.word(place) == "тому":
        place += 1
    if said.word(place) in say.AGO:
        return place + 1
    # "three weeks back", yet not "the whole year back to back"
    is_back = said.word(place) == "back" and said.word(place - 1) in {**say.UNITS, **say.PLURAL_UNITS}
    return place + 1 if is_back and said.word(place + 1) not in ("to", "pain") else 0
