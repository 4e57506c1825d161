"""The words of a question from left to right, and the readings of a time that begin at each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.calendar import Span, begin

Placed = Callable[[datetime], Span]
WITHIN_ONLY = frozenset({"\0"})  # what no word allows: only a longer time beside it does
_DEEPEST = 4  # times within times: "on the morning of the last Friday of May 2024"


@dataclass(frozen=True, slots=True)
class Reading:
    """Words that were understood as a time.

    end: the place after its last word. grain: the unit that it is one of, "" for others. inside, of: for a time that is told
    without the longer one that it lies in (a year, month, week or day, as `of` says): where in that it lies, by its beginning;
    `span` is then the latest. needs: words of which one must stand before it; without, it stands by itself.
    """

    span: Span
    end: int
    grain: str = ""
    inside: Placed | None = None
    of: str = ""
    needs: frozenset[str] = frozenset()

    def follows(self, word: str) -> bool:
        """Whether it may stand after this word."""
        return not self.needs or word in self.needs


class Sentence:
    """What a question says, word by word. words: in lower case. raw: as they stand. now: what the clock shows.

    rules: each says which time it reads at a place, if any; the first that does decides. Threads: one at a time.
    """

    def __init__(self, words: list[str], raw: list[str], now: datetime, rules: Sequence["Rule"]) -> None:
        self.words, self.raw, self.now, self._rules = words, raw, now, rules
        self.today = begin("day", now)
        self._depth = 0

    def word(self, place: int) -> str:
        """The word at a place, "" beyond the ends."""
        return self.words[place] if 0 <= place < len(self.words) else ""

    def reading(self, place: int) -> Reading | None:
        """The time that stands here, with a longer or shorter one that stands beside it: "in March" "last year"."""
        if self._depth == _DEEPEST:
            return None
        self._depth += 1
        try:
            one = self.single(place)
            other = self.reading(self.after_join(one.end)) if one is not None else None
        finally:
            self._depth -= 1
        if one is None or other is None:
            return one
        if one.inside is not None and one.of == other.grain:
            is_led = other.follows(self.join_before(one.end))
            return self.within(one, other, other.end, frozenset() if is_led else other.needs)
        if other.inside is not None and other.of == one.grain:
            return self.within(other, one, other.end, one.needs)
        if one.grain == other.grain == "day" and other.inside is None and not other.needs:
            return other  # "last Friday, 23 January 2022": the date is the surer one
        return one

    def within(self, short: Reading, long: Reading, end: int, needs: frozenset[str]) -> Reading:
        """A time that lies in a longer one, which may itself lie in one that is not told."""
        place, place_long = short.inside, long.inside
        assert place is not None, "asked only of times that lie in others"
        if place_long is None:
            return Reading(place(long.span[0]), end, short.grain)
        return self.floating(lambda begin: place(place_long(begin)[0]), long.of, end, short.grain, needs)

    def floating(
        self, inside: Placed, of: str, end: int, grain: str = "", needs: frozenset[str] = frozenset()
    ) -> Reading:
        """A time that lies in a longer one which is not told: the latest that has begun."""
        for back in range(9):  # the 29th of February comes after eight years at most
            try:
                span = inside(begin(of, self.now, back))
            except ValueError:
                continue
            if span[0] <= self.now:
                return Reading(span, end, grain, inside, of, needs)
        raise ValueError("there is no such day")

    def single(self, place: int) -> Reading | None:
        """The time that stands here, whatever stands beside it."""
        word = self.word(place)
        if word not in say.FIRST and not word[:1].isdigit():
            return None
        for rule in self._rules:
            found = rule(self, place)
            if found is not None:
                return found
        return None

    def is_measure(self, place: int) -> bool:
        """Whether here stands what numbers count: no year comes before it."""
        return self.word(place) in say.MEASURES or self.word(place).startswith(say.MEASURE_STEMS)

    def after_article(self, place: int) -> int:
        """The place after "the", where it stands here."""
        return place + (self.word(place) == "the")

    def after_dot(self, place: int) -> int:
        """The place after a word and the point that shortens it; a point at the end of a sentence does no harm."""
        return place + 1 + (self.word(place + 1) == ".")

    def after_join(self, place: int) -> int:
        """The place after what may stand between a time and the one that it lies in: ", in the"."""
        place += self.word(place) == ","
        return self.after_article(place + (self.word(place) in say.JOINS))

    def join_before(self, place: int) -> str:
        """The "in" of that, "" where there is none."""
        word = self.word(place + (self.word(place) == ","))
        return word if word in say.JOINS else ""


Rule = Callable[[Sentence, int], Reading | None]
