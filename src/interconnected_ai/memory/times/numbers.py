"""How many, and which day of a month: digits and words."""

import re
from dataclasses import dataclass

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.sentence import Sentence

DAY_NUMBER = re.compile(r"(\d\d?)(st|nd|rd|th|-?(?:го|ое|ого|е|й|я|м))?$")
_DAYS_NUMBER = re.compile(r"(\d\d?)[-–](\d\d?)$")


@dataclass(frozen=True, slots=True)
class Count:
    """How many units, "two or three" being 2 to 3."""

    least: float
    most: float
    end: int


def count_at(said: Sentence, place: int) -> Count | None:
    """How many: digits, words, "a couple of", "two or three", "one and a half"."""
    one = _number(said, place)
    if one is None:
        return None
    half, end = half_after(said, one.end)
    least, most = one.least + half, one.most + half
    if said.word(end) in ("or", "to", "или", *say.DASHES):
        other = _number(said, end + 1)
        if other is not None and other.most > most:
            most, end = other.most, other.end
    return Count(least, most, end + (said.word(end) == "of"))


def _number(said: Sentence, place: int) -> Count | None:
    word = said.word(place)
    if word in ("a", "an"):
        inner = _number(said, place + 1) if said.word(place + 1) not in ("a", "an") else None
        return inner or Count(1, 1, place + 1)
    if word == "half":
        return Count(0.5, 0.5, place + 1 + (said.word(place + 1) in ("a", "an")))
    if word in say.ONE_AND_A_HALF:
        return Count(1.5, 1.5, place + 1)
    if word in say.SOME:
        return Count(*say.SOME[word], place + 1)
    if word.isdecimal() and len(word) <= 3 and int(word) > 0:
        return Count(int(word), int(word), place + 1)
    if match := _DAYS_NUMBER.match(word):
        least, most = int(match[1]), int(match[2])
        return Count(least, most, place + 1) if 0 < least < most else None
    number, end = 0, place
    for table in (say.HUNDREDS, say.TENS, say.TEENS, say.ONES):
        after = end + (end > place and said.word(end) in say.DASHES)
        if said.word(after) in table:
            number, end = number + table[said.word(after)], after + 1
            if table is say.TEENS:
                break
    return Count(number, number, end) if number else None


def half_after(said: Sentence, place: int) -> tuple[float, int]:
    """(a half where "and a half" stands here, else 0; the place after it)."""
    for words in say.HALF_AFTER:
        if tuple(said.words[place : place + len(words)]) == words:
            return 0.5, place + len(words)
    return 0.0, place


def days_in_numbers(said: Sentence, place: int) -> tuple[int, int, int] | None:
    """(first day, last day, place after them): "5", "5th", "1-5", "1 – 5", "5 and 6"."""
    if match := _DAYS_NUMBER.match(said.word(place)):
        first, last = int(match[1]), int(match[2])
        return (first, last, place + 1) if 1 <= first < last <= 31 else None
    one = day_number(said, place)
    if one is None:
        return None
    if said.word(one[1]) in say.DASHES | say.AND:
        other = day_number(said, one[1] + 1)
        if other is not None and one[0] < other[0]:
            return one[0], other[0], other[1]
    return one[0], one[0], one[1]


def day_number(said: Sentence, place: int) -> tuple[int, int] | None:
    """(number of a day, place after it): 5, 5th, 5-го, fifth, двадцать пятого."""
    word = said.word(place)
    if match := DAY_NUMBER.match(word):
        day = int(match[1])
        return (day, place + 1) if 1 <= day <= 31 else None
    if word in say.TENS and say.TENS[word] <= 30:
        after = place + 1 + (said.word(place + 1) in say.DASHES)
        ones = say.ORDINALS.get(said.word(after), 10)
        return (say.TENS[word] + ones, after + 1) if ones < 10 else None
    return (say.ORDINALS[word], place + 1) if word in say.ORDINALS else None
