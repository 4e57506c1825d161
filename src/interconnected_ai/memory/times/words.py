"""The words of time in English and Russian, with what they mean. How they go together is left to the other files."""

from collections.abc import Iterable, Mapping
from typing import Literal

Unit = Literal["hour", "day", "week", "month", "quarter", "year"]
Case = Literal[
    "of", "in", "with", "to", "as it is"
]  # genitive, prepositional, instrumental, dative, nominative and accusative


def _units(table: Mapping[Unit, str]) -> dict[str, Unit]:
    return {word: unit for unit, words in table.items() for word in words.split()}


def _numbers(table: Mapping[int, str]) -> dict[str, int]:
    return {word: number for number, words in table.items() for word in words.split()}


# Months. In Russian the form says what may stand before it: «в мае» is a time, «мая» alone may be somebody's name.

ENGLISH_MONTHS = _numbers({
    1: "january", 2: "february", 3: "march", 4: "april", 5: "may", 6: "june", 7: "july", 8: "august", 9: "september",
    10: "october", 11: "november", 12: "december",
})  # fmt: skip
MONTH_ABBREVIATIONS = _numbers({
    1: "jan янв", 2: "feb фев февр", 3: "mar мар", 4: "apr апр", 6: "jun июн", 7: "jul июл", 8: "aug авг",
    9: "sep sept сен сент", 10: "oct окт", 11: "nov ноя нояб", 12: "dec дек",
})  # fmt: skip
_STEMS = {
    1: "январ", 2: "феврал", 3: "март", 4: "апрел", 5: "ма", 6: "июн", 7: "июл", 8: "август", 9: "сентябр", 10: "октябр",
    11: "ноябр", 12: "декабр",
}  # fmt: skip
_ENDINGS: dict[str, dict[Case, str]] = {
    "hard": {"as it is": "", "of": "а", "in": "е", "with": "ом", "to": "у"},
    "soft": {"as it is": "ь", "of": "я", "in": "е", "with": "ем", "to": "ю"},
    "may": {"as it is": "й", "of": "я", "in": "е", "with": "ем", "to": "ю"},
}
RUSSIAN_MONTHS: dict[str, tuple[int, Case]] = {
    stem + ending: (month, case)
    for month, stem in _STEMS.items()
    for case, ending in _ENDINGS["hard" if month in (3, 8) else "may" if month == 5 else "soft"].items()
}
NAMES_OF_PEOPLE = frozenset("april may june august".split())

# Weekdays. The genitive (среды) and instrumental (средой) stand only in ranges.

ENGLISH_WEEKDAYS = _numbers({
    0: "monday mon", 1: "tuesday tue tues", 2: "wednesday wed", 3: "thursday thu thur thurs", 4: "friday fri", 5: "saturday",
    6: "sunday",
})  # fmt: skip
_WEEKDAY_CASES: tuple[Case, ...] = ("as it is", "of", "to", "with", "to")
RUSSIAN_WEEKDAYS: dict[str, tuple[int, Case]] = {
    word: (number, case)
    for number, words in {
        0: "понедельник понедельника понедельнике понедельником понедельнику",
        1: "вторник вторника вторнике вторником вторнику",
        2: "среду среды среде средой среде",
        3: "четверг четверга четверге четвергом четвергу",
        4: "пятницу пятницы пятнице пятницей пятнице",
        5: "субботу субботы субботе субботой субботе",
        6: "воскресенье воскресенья воскресенье воскресеньем воскресенью",
    }.items()
    for case, word in zip(_WEEKDAY_CASES, words.split(), strict=True)
}
RUSSIAN_WEEKDAYS["воскресенье"] = (6, "as it is")
RUSSIAN_WEEKDAYS.update({word: (number, "as it is") for number, word in enumerate("пн вт ср чт пт сб вс".split())})

# Seasons, by their first month. «летом» is a time by itself, "лето" and "summer" need a word before them.

SEASONS = _numbers({
    3: "spring весна весну весны весне", 6: "summer лето лета лете", 9: "autumn fall осень осени",
    12: "winter зима зиму зимы зиме",
})  # fmt: skip
SEASON_ADVERBS = _numbers({3: "весной", 6: "летом", 9: "осенью", 12: "зимой"})

# Units

UNITS = _units({
    "hour": "hour час часу часа", "day": "day день дня дне сутки", "week": "week неделя неделю недели неделе",
    "month": "month месяц месяца месяце", "quarter": "quarter квартал квартала квартале",
    "year": "year год года году годом",
})  # fmt: skip
PLURAL_UNITS = _units({
    "hour": "hours часов часы", "day": "days дней дни суток", "week": "weeks недель", "month": "months месяцев месяцы",
    "quarter": "quarters кварталов кварталы", "year": "years лет годы годов",
})  # fmt: skip
BARE_UNITS = frozenset("день неделю месяц год сутки час квартал".split())  # «неделю назад» without a number
HALVES: dict[str, Unit] = {
    "полгода": "year",
    "полмесяца": "month",
    "полнедели": "week",
    "полчаса": "hour",
    "полдня": "day",
}
HALF_AFTER = frozenset({("and", "a", "half"), ("с", "половиной")})

# Numbers

ONES = _numbers({
    1: "one один одну одна одни", 2: "two два две", 3: "three три", 4: "four четыре", 5: "five пять", 6: "six шесть",
    7: "seven семь", 8: "eight восемь", 9: "nine девять",
})  # fmt: skip
TEENS = _numbers({
    10: "ten десять десяток", 11: "eleven одиннадцать", 12: "twelve dozen двенадцать дюжину", 13: "thirteen тринадцать",
    14: "fourteen четырнадцать", 15: "fifteen пятнадцать", 16: "sixteen шестнадцать", 17: "seventeen семнадцать",
    18: "eighteen восемнадцать", 19: "nineteen девятнадцать",
})  # fmt: skip
TENS = _numbers({
    20: "twenty двадцать", 30: "thirty тридцать", 40: "forty сорок", 50: "fifty пятьдесят", 60: "sixty шестьдесят",
    70: "seventy семьдесят", 80: "eighty восемьдесят", 90: "ninety девяносто",
})  # fmt: skip
HUNDREDS = _numbers({100: "hundred сто"})
SOME = {"few": (2, 5), "several": (2, 6), "несколько": (2, 5), "couple": (2, 2), "пару": (2, 2), "пара": (2, 2)}
ONE_AND_A_HALF = frozenset("полтора полторы".split())

_ORDINAL_STEMS = {
    1: "перв", 2: "втор", 3: "треть", 4: "четверт", 5: "пят", 6: "шест", 7: "седьм", 8: "восьм", 9: "девят", 10: "десят",
    11: "одиннадцат", 12: "двенадцат", 13: "тринадцат", 14: "четырнадцат", 15: "пятнадцат", 16: "шестнадцат",
    17: "семнадцат", 18: "восемнадцат", 19: "девятнадцат", 20: "двадцат", 30: "тридцат",
}  # fmt: skip
_ORDINAL_ENDINGS = "ый ого ое ом ой ая ую ым"
_THIRD_ENDINGS = "третий третьего третье третьем третьей третья третью третьим"


def _ordinals() -> dict[str, int]:
    english = (
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
        "sixteenth seventeenth eighteenth nineteenth twentieth"
    )
    found = {word: number for number, word in enumerate(english.split(), start=1)} | {"thirtieth": 30}
    for number, stem in _ORDINAL_STEMS.items():
        forms = _THIRD_ENDINGS.split() if number == 3 else [stem + ending for ending in _ORDINAL_ENDINGS.split()]
        found.update(dict.fromkeys(forms, number))
    return found


ORDINALS = _ordinals()

# Words that point


def _forms(stems: Iterable[str], endings: str) -> frozenset[str]:
    return frozenset(stem + ending for stem in stems for ending in endings.split())


_HARD, _SOFT = "ый ая ое ую ой ого ому ым ом ые ых", "ий яя ее юю ей его ему им ем ие их"
LAST = _forms(["прошл", "минувш", "истекш"], f"{_HARD} ий ее ую ей его ем им ие их") | _forms(
    ["предыдущ"], "ий ая ее ую ей его ем им ие их"
) | {"last", "previous"}  # fmt: skip
BEFORE_LAST = _forms(["позапрошл"], _HARD)
LATEST = _forms(["последн"], _SOFT) | {"past"}
THIS = frozenset("this current этот эта эту это этой этого этом эти этих этим".split()) | _forms(
    ["текущ"], "ий ая ее ую ей его ем им"
)
NEXT = (
    frozenset("next coming following upcoming".split())
    | _forms(["следующ", "будущ"], "ий ая ее ую ей его ем им ие их")
    | _forms(["ближайш"], "ий ая ее ую ей его ем им ие их")
)
EVERY = frozenset("every each any".split()) | _forms(["кажд", "люб"], _HARD)

DAYS_BACK = {
    "today": 0, "today's": 0, "сегодня": 0, "yesterday": 1, "yesterday's": 1, "вчера": 1, "позавчера": 2, "позапозавчера": 3,
    **dict.fromkeys(_forms(["сегодняшн"], _SOFT), 0), **dict.fromkeys(_forms(["вчерашн"], _SOFT), 1),
    **dict.fromkeys(_forms(["позавчерашн"], _SOFT), 2),
}  # fmt: skip
YEARS_BACK = {**dict.fromkeys(_forms(["прошлогодн"], _SOFT), 1), **dict.fromkeys(_forms(["позапрошлогодн"], _SOFT), 2)}
WEEKEND = frozenset("weekend выходные выходных".split())

# Parts of a day, in hours from its beginning; a night reaches into the next day.
DAY_PARTS = {
    **dict.fromkeys("morning утром утра утро".split(), (4, 12)), **dict.fromkeys("afternoon днем".split(), (12, 18)),
    **dict.fromkeys("evening вечером вечер вечера".split(), (17, 24)),
    **dict.fromkeys("night ночью ночь".split(), (20, 30)),
}  # fmt: skip
# Parts of anything longer: which of how many.
PARTS: dict[str, tuple[int, int]] = {
    **dict.fromkeys("early beginning start начале начала начало началом".split(), (0, 3)),
    **dict.fromkeys("mid middle середине середины середину серединой".split(), (1, 3)),
    **dict.fromkeys("late end конце конца конец концом".split(), (2, 3)),
}
HALF = frozenset("half половине половина половины половину".split())

# Words before a time. What they may stand before: see the end.
IN = frozenset("in during throughout within over at on for в во на за".split())
ARTICLES = frozenset({"the", "a"})
SINCE = frozenset("since с со".split())
AFTER = frozenset("after после".split())
UNTIL = frozenset("before until till by до перед к ко".split())
FROM, TO = frozenset("from с со от".split()), frozenset("to till until through thru по до".split())
BETWEEN, AND = frozenset("between между".split()), frozenset("and и".split())
DASHES = frozenset("-–—")
AGO = frozenset("ago назад".split())
MORE_OR_LESS = frozenset(
    "than over under больше более менее меньше свыше".split()
)  # "more than a year ago" is no window
ABOUT = frozenset("около порядка".split())

# After a number of four digits these say that it is no year.
MEASURES = frozenset(
    "dollars dollar usd euros euro eur pounds pound rub yen bucks cents people persons users rows lines words tokens items "
    "pieces pages files messages members votes points steps times meters metres miles km kilometers kg grams mb gb kb bytes "
    "mhz rpm calories kcal px pixels ms seconds minutes hours days weeks months volts watts hz rubles roubles р шт кг км мб гб "
    "кб ккал раз дней недель месяцев лет $ € £ ₽ % °".split()
)
MEASURE_STEMS = tuple(
    "руб долл евро копе человек люд строк строч слов токен штук страниц файл сообщен голос очк шаг метр килом грам байт калор "
    "пиксел секунд минут час экземпляр участник пользовател квартир единиц".split()
)
VERSIONS = frozenset(
    "version versions ver v release build python ip host port версия версии версию версией сборка сборки сборку релиз".split()
)
# "the option 5 may fail", "the last march on Rome": a verb or a noun where one of these follows, or nothing says a month.
DOUBTFUL_MONTHS = frozenset({"may", "march"})
# "spring boot" is no time of the year
AFTER_SPRING = frozenset(
    "boot framework mvc security data cloud batch bean beans roll rolls onion onions water".split()
)

QUARTERS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "q1": 1, "q2": 2, "q3": 3, "q4": 4}
# What may stand before a time that does not stand by itself.
ENGLISH_PERIOD = frozenset(
    "in during throughout within over since after between and to till until through thru".split()
)
LEADS_OF_MONTHS = ENGLISH_PERIOD | {"of", "on", "from", "early", "late", "mid"}
ENGLISH_DAY = frozenset("on during since after from between and to till until through thru over".split())
RUSSIAN_PERIOD = {
    "in": frozenset({"в", "во"}), "as it is": frozenset({"за", "по"}), "of": frozenset("с со до после".split()),
    "with": frozenset({"между", "и"}), "to": frozenset({"к", "ко"}),
}  # fmt: skip
RUSSIAN_DAY = {
    **RUSSIAN_PERIOD,
    "as it is": frozenset("в во за по".split()),
    "of": frozenset("с со от до после".split()),
}
RUSSIAN_SEASON = frozenset("за с со от до по после между и".split())
YEAR_WORDS = frozenset("год года году годом г гг годы годах годов".split())
BEFORE_YEAR = frozenset("in during throughout since after between and to till until through в во с со по и до".split())
WEEKEND_WORDS = frozenset("on over at during since after на в во за с после".split())
LEADS = IN | {"from", "от"}
JOINS = frozenset("of in on at во в на".split())
KNOWN = frozenset().union(
    ENGLISH_MONTHS, MONTH_ABBREVIATIONS, RUSSIAN_MONTHS, ENGLISH_WEEKDAYS, RUSSIAN_WEEKDAYS, SEASONS,
    SEASON_ADVERBS, UNITS, PLURAL_UNITS, HALVES, DAYS_BACK, YEARS_BACK, WEEKEND, DAY_PARTS,
    {"fortnight", "fortnights"}, QUARTERS,
) - {"i"}  # fmt: skip
# Words at which a time may begin, and those that may stand before one.
FIRST = KNOWN.union(
    ORDINALS, ONES, TEENS, TENS, HUNDREDS, SOME, ONE_AND_A_HALF, LAST, BEFORE_LAST,
    LATEST, THIS, PARTS, {"half", "a", "an", "i"},
)  # fmt: skip
PASSED_OVER = UNTIL | NEXT | EVERY
BEGINNINGS = FIRST | PASSED_OVER | LEADS | SINCE | AFTER | FROM | BETWEEN
# What may go on after a month, where a capital or nothing else says that it is one: "last march we …".
GOES_ON = frozenset("i we you he she they it was were did is in at on and or with about for when that meeting".split())
