"""Russian values that run on or say nothing: where they are cut, and which are refused (see `fact_guards_en`)."""

import re
from collections.abc import Callable, Mapping

from interconnected_ai.memory.fact_words import KIN_RU, PETS
from interconnected_ai.text import is_place_name

_GOES_ON = re.compile(
    r"\s+(?:где-то|почти (?:весь|всю|вс[её])|большую часть|круглый год|весь год|без окон|без выходных|по (?:будням|выходным|утрам|вечерам|ночам|\w+ам)(?= |$))(?!\w).*$",
    re.IGNORECASE,
)
_PLACED = frozenset({"lives in", "works at", "comes from", "studies at"})
_RELATIVES = frozenset(
    form for form, who in KIN_RU.items() if who not in PETS and who not in ("дети", "команда", "компания", "проект")
)
_VAGUE = re.compile(r"(?<!\w)(?:что-то|кто-то|кое-что|что угодно|всего|всему|всех|этого|этому|ничего|никого)(?!\w)")
_IDLE_TASTE = re.compile(
    r"^(?:хорош|люб(?:ую|ой|ые) |кажд|нов(?:ый|ую|ое|ые) (?:интерфейс|дизайн|верси|обновлени|формат))|(?:интерфейс|обновлени)"
)
_IDLE_PLAN = re.compile(
    r"^(?:съесть|поесть|доесть|выпить|допить|поспать|спать|лечь|выспаться|посмотреть|отдохнуть|игнорировать|позвонить|написать|ответить|сказать|спросить|попробовать|проверить|сделать|сходить|зайти|"
    r"посидеть|полежать|остаться|подождать)(?!\w)|удал[её]нк|план б(?!\w)"
)
_IDLE_DECIDED = re.compile(
    r"^(?:не (?:ехать|идти|ходить|париться|спорить|звонить|писать|отвечать)|остаться|подождать|пропустить|спросить|позвонить|написать|зайти|заглянуть|попробовать|уточнить|проверить)|(?<!\w)(?:сегодня|завтра|вам|тебе|его|её|ему|ей|их)(?!\w)"
)
_NO_HOME_ON = re.compile(
    r"пенси|зарплат|вулкан|этаж|стипенди|пособи|доход|ног[уе]|чемодан|подножн|кофе|деньги|процент|алимент|вокзале|нервах|таблетк|диет"
)
_NOT_COLLECTED = re.compile(
    r"(?<!\w)(?:детей|реб[её]нка|вещи|чемодан|документы|деньги|подписи|волосы|сумк|рюкзак|данные|информаци|отзывы|справки)"
)


def russian_value(said: str, relation: str, matched: str) -> str:
    """A value up to where a circumstance begins; "" where it is a turn of speech. matched: the words that a rule met."""
    if relation in _PLACED:
        said = _GOES_ON.sub("", said)
    low = said.lower()
    doubt = _DOUBTS.get(relation)
    return "" if not said or (doubt is not None and doubt(low, matched.lower())) else said


def _is_idle_taste(value: str, _matched: str) -> bool:
    words = value.split()
    of_relative = words[-1] in _RELATIVES and (len(words) == 1 or words[0].startswith(("сво", "мо", "наш")))
    return of_relative or _VAGUE.search(value) is not None or _IDLE_TASTE.search(value) is not None


_DOUBTS: Mapping[str, Callable[[str, str], bool]] = {
    "likes": _is_idle_taste,
    "dislikes": _is_idle_taste,
    "allergic to": lambda value, _matched: _VAGUE.search(value) is not None,
    "works as": lambda value, _matched: _VAGUE.search(value) is not None,
    "works at": lambda value, _matched: (
        value.split()[0] in _RELATIVES or value in ("еду", "себя", "идею", "износ", "результат")
    ),
    "lives in": lambda value, matched: matched.lstrip().startswith("на ") and _NO_HOME_ON.search(value) is not None,
    "comes from": lambda value, matched: (
        matched.lstrip().startswith("на ") and not any(map(is_place_name, value.split()))
    ),
    "plans": lambda value, _matched: _IDLE_PLAN.search(value) is not None,
    "decided": lambda value, _matched: _IDLE_DECIDED.search(value) is not None,
    "hobby": lambda value, _matched: _NOT_COLLECTED.search(value) is not None,
}
