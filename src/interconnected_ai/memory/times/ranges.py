"""A time where it stands in a sentence: by itself after its "in" or "on", from one to another, since one."""

from datetime import timedelta

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, begin
from interconnected_ai.memory.times.numbers import day_number
from interconnected_ai.memory.times.sentence import WITHIN_ONLY, Reading, Sentence


def expression(said: Sentence, place: int) -> tuple[Span | None, int]:
    """(the time that begins at a place, the place to go on from); no time where none is understood there."""
    word = said.word(place)
    if word not in say.BEGINNINGS and not word[0].isdigit():
        return None, place + 1
    try:
        if word in say.PASSED_OVER:
            passed = said.reading(said.after_article(place + 1))
            return None, passed.end if passed is not None else place + 1
        return _range(said, place) or _point(said, place) or (None, place + 1)
    except (ValueError, OverflowError):  # the 31st of February, the year 0: no time at all
        return None, place + 1


def _range(said: Sentence, place: int) -> tuple[Span, int] | None:
    """ "from A to B", "between A and B", "A – B", "since A", "after A"."""
    word = said.word(place)
    if word in say.FROM or word in say.BETWEEN:
        links = (say.TO if word in say.FROM else say.AND) | say.DASHES
        found = _joined(said, said.after_article(place + 1), links)
        if found is not None:
            return found
    if word in say.SINCE or word in say.AFTER or (word == "from" and said.word(place - 1) == "starting"):
        one = said.reading(said.after_article(place + 1))
        if one is not None and one.follows("since" if word == "from" else word):
            start = one.span[word in say.AFTER]
            return ((start, said.today + timedelta(days=1)), one.end) if start <= said.now else None
        return None
    return _dashed(said, said.after_article(place + 1), word) if word in say.LEADS else _dashed(said, place, "")


def _joined(said: Sentence, place: int, links: frozenset[str]) -> tuple[Span, int] | None:
    first = said.reading(place)
    if first is None:
        return _days_joined(said, place, links)
    if said.word(first.end) not in links:
        return None
    after = said.after_article(first.end + 1)
    second = said.reading(after)
    if second is None:
        return _same_month(said, first, after)
    if WITHIN_ONLY in (first.needs, second.needs):
        return None
    span = _between(first, second)
    return (span, second.end) if span is not None else None


def _dashed(said: Sentence, place: int, lead: str) -> tuple[Span, int] | None:
    """ "in March–May", "март – май 2023": two of a kind."""
    first = said.reading(place)
    if first is None or first.inside is None or said.word(first.end) not in say.DASHES:
        return None
    second = said.reading(first.end + 1)
    if second is None or not first.grain or first.grain != second.grain:
        return None
    if second.needs and not first.follows(lead):
        return None
    span = _between(first, second)
    return (span, second.end) if span is not None else None


def _days_joined(said: Sentence, place: int, links: frozenset[str]) -> tuple[Span, int] | None:
    """ "1 to 5 March": the first has the month of the second."""
    first = day_number(said, place)
    if first is None or said.word(first[1]) not in links:
        return None
    second = said.reading(said.after_article(first[1] + 1))
    if second is None or second.grain != "day" or first[0] >= second.span[0].day:
        return None
    day, inside = first[0], second.inside
    if inside is None:
        return (second.span[0].replace(day=day), second.span[1]), second.end
    widened = said.floating(lambda year: (inside(year)[0].replace(day=day), inside(year)[1]), second.of, second.end)
    return widened.span, second.end


def _same_month(said: Sentence, first: Reading, place: int) -> tuple[Span, int] | None:
    """ "March 1 to 5": the second has the month of the first."""
    second = day_number(said, place)
    if second is None or first.grain != "day" or first.of != "year" or second[0] <= first.span[0].day:
        return None
    if said.is_measure(second[1]) or said.word(second[1]) in {**say.UNITS, **say.PLURAL_UNITS}:
        return None
    return (first.span[0], first.span[0].replace(day=second[0]) + timedelta(days=1)), second[1]


def _point(said: Sentence, place: int) -> tuple[Span, int] | None:
    word = said.word(place)
    if word in say.LEADS:
        one = said.reading(said.after_article(place + 1))
        if one is not None and one.follows(word):
            return one.span, one.end
    one = said.reading(place)
    return (one.span, one.end) if one is not None and not one.needs else None


def _between(first: Reading, second: Reading) -> Span | None:
    """From the one to the other, each in the year (or week) that the other tells, where it tells none itself."""
    start, end = first.span[0], second.span[1]
    if second.inside is not None:
        ends = [second.inside(begin(second.of, start, back))[1] for back in (0, -1)]
        end = next((one for one in ends if one > start), start)
    elif first.inside is not None:
        starts = [first.inside(begin(first.of, second.span[0], back))[0] for back in (0, 1)]
        start = next((one for one in starts if one <= second.span[0]), end)
    return (start, end) if start < end else None
