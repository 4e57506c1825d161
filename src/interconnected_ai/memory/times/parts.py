"""Parts of longer times: their beginning, middle, end and halves, the weeks of a month."""

from datetime import timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, part_of, unit_at
from interconnected_ai.memory.times.sentence import Reading, Sentence


def part(said: Sentence, place: int) -> Reading | None:
    """ "late May", «в начале недели», "the first half of 2024", "the last week of March"."""
    word, after = said.word(place), said.word(place + 1)
    number = say.ORDINALS.get(word, 0)
    if number in (1, 2) and after in say.HALF:
        return _part_read(said, place + 2, (number - 1, 2))
    if (0 < number <= 5 or word == "last" or word in say.LATEST) and say.UNITS.get(after) == "week":
        return _week_of_month(said, place + 2, number)
    return _part_read(said, place + 1, say.PARTS[word]) if word in say.PARTS else None


def _part_read(said: Sentence, place: int, part: tuple[int, int]) -> Reading | None:
    joins = ("of", "in") if said.word(place - 1) in ("early", "late") else ("of",)  # "it did not end in 2023"
    place += said.word(place) in say.DASHES
    place = said.after_article(place + (said.word(place) in joins))
    whole = said.reading(place) if said.word(place) not in say.PARTS else None
    if whole is None:
        unit = say.UNITS.get(said.word(place), "day")
        if unit in ("day", "hour"):
            return None
        return said.floating(lambda begin: part_of(unit_at(unit, begin), *part), unit, place + 1)
    if whole.grain not in ("week", "month", "season", "quarter", "year"):
        return None
    inside = whole.inside
    if inside is None:
        return Reading(part_of(whole.span, *part), whole.end)
    return said.floating(lambda begin: part_of(inside(begin), *part), whole.of, whole.end)


def _week_of_month(said: Sentence, place: int, number: int) -> Reading | None:
    """Days 1 to 7 of a month are its first week; number 0 is the last."""
    place += said.word(place) == "of"
    month = said.reading(said.after_article(place))
    if month is None or month.grain != "month":
        return None

    def week(whole: Span) -> Span:
        if number == 0:
            return whole[1] - timedelta(days=7), whole[1]
        start = whole[0] + timedelta(days=7 * (number - 1))
        return start, min(start + timedelta(days=7), whole[1])

    inside = month.inside
    if inside is None:
        return Reading(week(month.span), month.end)
    return said.floating(lambda begin: week(inside(begin)), month.of, month.end)
