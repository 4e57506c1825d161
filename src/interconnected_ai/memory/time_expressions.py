"""When a question speaks of a time ("в прошлый вторник", "last March", "5 мая"), the window it means. Rules, no model."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from interconnected_ai.text import normalize

_MONTHS = {
    1: "january jan|январь января январе янв", 2: "february feb|февраль февраля феврале фев", 3: "march mar|март марта марте",
    4: "april apr|апрель апреля апреле апр", 5: "may|май мая мае", 6: "june jun|июнь июня июне",
    7: "july jul|июль июля июле", 8: "august aug|август августа августе авг",
    9: "september sep sept|сентябрь сентября сентябре сен", 10: "october oct|октябрь октября октябре окт",
    11: "november nov|ноябрь ноября ноябре ноя", 12: "december dec|декабрь декабря декабре дек",
}  # fmt: skip
_WEEKDAYS = {
    0: "monday|понедельник понедельника", 1: "tuesday|вторник вторника", 2: "wednesday|среда среду среды",
    3: "thursday|четверг четверга", 4: "friday|пятница пятницу пятницы", 5: "saturday|суббота субботу субботы",
    6: "sunday|воскресенье воскресенья",
}  # fmt: skip
_SEASONS = {
    3: "spring|весна весной весну", 6: "summer|лето летом", 9: "autumn fall|осень осенью", 12: "winter|зима зимой зиму"
}  # fmt: skip
_UNITS = {
    "day": "day days|день дня дней", "week": "week weeks|неделя неделю недели недель неделе",
    "month": "month months|месяц месяца месяцев месяце", "year": "year years|год года лет году",
}  # fmt: skip
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10, "few": 3,
    "couple": 2, "один": 1, "одну": 1, "два": 2, "две": 2, "три": 3, "четыре": 4, "пять": 5, "шесть": 6, "семь": 7,
    "десять": 10, "пару": 2, "несколько": 3,
}  # fmt: skip


def _by_word(table: dict[int, str] | dict[str, str]) -> dict[str, int | str]:
    return {word: key for key, words in table.items() for word in words.replace("|", " ").split()}


_MONTH, _WEEKDAY, _SEASON, _UNIT = map(_by_word, (_MONTHS, _WEEKDAYS, _SEASONS, _UNITS))  # type: ignore[arg-type]


def _any(words: dict[str, object]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_M, _W, _S, _U, _N = (f"(?:{_any(t)})" for t in (_MONTH, _WEEKDAY, _SEASON, _UNIT, _NUMBERS))  # type: ignore[arg-type]
_LAST = r"(?:last|previous|прошл(?:ый|ая|ую|ое|ой|ом|ого)|предыдущ\w+|минувш\w+)"
_THIS = r"(?:this|эт(?:от|а|у|о|ой|ом)|текущ\w+)"


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to but not including `end`, seconds since 1970 in UTC; `words` are those that said so."""

    start: float
    end: float
    words: str


def time_window(query: str, now: float) -> Window | None:
    """The window a question speaks of, seen from `now`; None when it names no time. The first rule that fits decides."""
    text, today = normalize(query), datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for pattern, rule in _RULES:
        match = pattern.search(text)
        if match is None:
            continue
        try:
            start, end = rule(match, today)
        except (ValueError, OverflowError):  # the 31st of February, the year 0: no time at all
            continue
        return Window(start.timestamp(), end.timestamp(), match.group().strip())
    return None


Span = tuple[datetime, datetime]


def _days(start: datetime, num_days: int = 1) -> Span:
    return start, start + timedelta(days=num_days)


def _month(year: int, month: int) -> Span:
    start = datetime(year, month, 1, tzinfo=UTC)
    return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _year(year: int) -> Span:
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)


def _iso_day(match: re.Match[str], today: datetime) -> Span:
    return _days(datetime(int(match["y"]), int(match["m"]), int(match["d"]), tzinfo=UTC))


def _named_day(match: re.Match[str], today: datetime) -> Span:
    """ "May 5", "5 мая 2023": without a year the last such day."""
    month, day = int(_MONTH[match["month"]]), int(match["day"])
    year = match["year"]
    if year:
        return _days(datetime(int(year), month, day, tzinfo=UTC))
    this_year = datetime(today.year, month, day, tzinfo=UTC)
    return _days(this_year if this_year <= today else this_year.replace(year=today.year - 1))


def _named_month(match: re.Match[str], today: datetime) -> Span:
    month, year = int(_MONTH[match["month"]]), match["year"]
    if year:
        return _month(int(year), month)
    return _month(today.year if month <= today.month else today.year - 1, month)


def _last_month_of_name(match: re.Match[str], today: datetime) -> Span:
    """ "last March": the latest one that is over."""
    month = int(_MONTH[match["month"]])
    return _month(today.year if month < today.month else today.year - 1, month)


def _last_weekday(match: re.Match[str], today: datetime) -> Span:
    back = (today.weekday() - int(_WEEKDAY[match["weekday"]])) % 7 or 7
    return _days(today - timedelta(days=back))


def _weekday(match: re.Match[str], today: datetime) -> Span:
    return _days(today - timedelta(days=(today.weekday() - int(_WEEKDAY[match["weekday"]])) % 7))


def _season(match: re.Match[str], today: datetime) -> Span:
    month, year = int(_SEASON[match["season"]]), match["year"]
    begins = int(year) if year else (today.year if month <= today.month else today.year - 1)
    return datetime(begins, month, 1, tzinfo=UTC), _month(begins + (month + 2 > 12), (month + 1) % 12 + 1)[1]


def _units(unit: str, today: datetime, number: int, *, last: bool) -> Span:
    """The unit `number` units back; with `last`, all of them up to today."""
    if unit == "day":
        start = today - timedelta(days=number)
    elif unit == "week":
        start = today - timedelta(days=today.weekday() + 7 * number)
    elif unit == "month":
        start = _month_back(today, number)
    else:
        start = datetime(today.year - number, 1, 1, tzinfo=UTC)
    if last:
        return start, today + timedelta(days=1)
    ends = {"day": start + timedelta(days=1), "week": start + timedelta(days=7)}
    return start, ends.get(unit) or (_month(start.year, start.month)[1] if unit == "month" else _year(start.year)[1])


def _month_back(today: datetime, number: int) -> datetime:
    months = today.year * 12 + today.month - 1 - number
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _ago(match: re.Match[str], today: datetime) -> Span:
    return _units(str(_UNIT[match["unit"]]), today, _number(match["number"]), last=False)


def _during_the_last(match: re.Match[str], today: datetime) -> Span:
    return _units(str(_UNIT[match["unit"]]), today, _number(match["number"]), last=True)


def _number(word: str | None) -> int:
    return 1 if not word else int(word) if word.isdigit() else _NUMBERS[word]


def _last_unit(match: re.Match[str], today: datetime) -> Span:
    return _units(str(_UNIT[match["unit"]]), today, 1, last=False)


def _this_unit(match: re.Match[str], today: datetime) -> Span:
    return _units(str(_UNIT[match["unit"]]), today, 0, last=False)


def _named_year(match: re.Match[str], today: datetime) -> Span:
    return _year(int(match["year"]))


_Y = r"(?P<year>(?:19|20)\d\d)"
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Span]], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"\b(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)\b", _iso_day),
        (r"\b(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>\d{4})\b", _iso_day),
        (rf"\b(?P<day>\d\d?)(?:st|nd|rd|th)?(?: of)? (?P<month>{_M})\b,?(?: {_Y}\b)?", _named_day),
        (rf"\b(?P<month>{_M}) (?P<day>\d\d?)(?:st|nd|rd|th)?\b(?:,? {_Y}\b)?", _named_day),
        (rf"\b{_LAST} (?P<month>{_M})\b", _last_month_of_name),
        (rf"\b(?:in|during|since|of|early|late|mid|в|во|за|с) (?P<month>{_M})\b(?: (?:of )?{_Y})?", _named_month),
        (rf"\b(?P<month>{_M}),? {_Y}\b", _named_month),
        (rf"\b{_LAST} (?P<weekday>{_W})\b", _last_weekday),
        (rf"\b(?:on|в|во) (?P<weekday>{_W})\b", _weekday),
        (rf"\b(?P<number>\d+|{_N})? ?(?:of )?(?P<unit>{_U}) (?:ago|назад)\b", _ago),
        (
            rf"\b(?:in|over|during|for|за) (?:the )?(?:last|past|последн\w+) (?:(?P<number>\d+|{_N}) )?(?P<unit>{_U})\b",
            _during_the_last,
        ),
        (r"\b(?:day before yesterday|позавчера)\b", lambda _, today: _days(today - timedelta(days=2))),
        (r"\b(?:yesterday|вчера)\b", lambda _, today: _days(today - timedelta(days=1))),
        (r"\b(?:today|сегодня)\b", lambda _, today: _days(today)),
        (rf"\b{_LAST} (?P<season>{_S})\b(?P<year>)", _season),
        (rf"\b{_LAST} (?P<unit>{_U})\b", _last_unit),
        (rf"\b{_THIS} (?P<unit>{_U})\b", _this_unit),
        (rf"\b(?:in|during|that|в|во|за)? ?(?:the )?(?P<season>{_S})\b(?: (?:of )?{_Y})?", _season),
        (rf"\b(?:in|since|during|of|в|во|за|с) {_Y}\b", _named_year),
    )
)  # fmt: skip
