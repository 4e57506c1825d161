"""When a question speaks of a time ("в прошлый вторник", "from 1 to 5 March", "5 мая"), the window it means. No model."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import tzinfo

from interconnected_ai.memory.times import words as say
from interconnected_ai.memory.times.ago import ago
from interconnected_ai.memory.times.calendar import Span
from interconnected_ai.memory.times.days import date, day_back, day_of_month, named_day
from interconnected_ai.memory.times.names import day_part, month, quarter, season, weekday, weekend, year
from interconnected_ai.memory.times.parts import part
from interconnected_ai.memory.times.pointed import before_last, pointed
from interconnected_ai.memory.times.ranges import expression
from interconnected_ai.memory.times.relative import relative
from interconnected_ai.memory.times.sentence import Rule, Sentence
from interconnected_ai.memory.times.zones import clock_at, seconds_at

_LONGEST = 4_000  # characters of a question that are read; what comes after is pasted text
_TOKEN = re.compile(
    r"\d+(?:st|nd|rd|th)\b"
    r"|\d+-?(?:го|ое|ого|ому|му|ом|е|й|я|м|х)\b"
    r"|\d{4}-\d\d-\d\d(?=T\d)"
    r"|\d+(?:[.,:/\-–]\d+)+(?!\w)"
    r"|\w+(?:['’]\w+)?"
    r"|[^\w\s]",
    re.IGNORECASE,
)

_RULES: tuple[Rule, ...] = (
    day_back, date, named_day, before_last, relative, ago, part, pointed, month, weekday, season, quarter, weekend, day_part,
    day_of_month, year,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to but not including `end`, seconds since 1970 in UTC; `words` are those that said so."""

    start: float
    end: float
    words: str


def time_window(query: str, now: float, zone: tzinfo | None = None) -> Window | None:
    """The window that a question speaks of, seen from `now` in a time zone (None: this machine's).

    The first time in it that is understood decides; None where there is none, and for times to come: nothing was said in them.
    """
    text = unicodedata.normalize("NFC", query[:_LONGEST])
    tokens = list(_TOKEN.finditer(text))
    words = [_plain(token.group()) for token in tokens]
    if say.KNOWN.isdisjoint(words) and not any(word[0].isdigit() for word in words):
        return None
    try:
        clock = clock_at(now, zone)
    except (ValueError, OverflowError, OSError):  # a moment that no calendar holds
        return None
    sentence = Sentence(words, [token.group() for token in tokens], clock, _RULES)
    place = 0
    while place < len(words):
        span, end = expression(sentence, place)
        if span is not None and span[0] <= clock:
            window = _window(span, text[tokens[place].start() : tokens[end - 1].end()], zone)
            if window is not None:
                return window
        place = max(end, place + 1)
    return None


def _plain(token: str) -> str:
    word = token.lower().replace("ё", "е").replace("’", "'")
    return word[:-2] if word.endswith("'s") and len(word) > 2 else word


def _window(span: Span, words: str, zone: tzinfo | None) -> Window | None:
    try:
        start, end = (seconds_at(clock, zone) for clock in span)
    except (ValueError, OverflowError, OSError):
        return None
    return Window(start, end, words) if start < end else None  # a day that a zone skipped has no length
