"""A chat that WhatsApp exported as text, in the date dialects of its languages and telephones."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder
from interconnected_ai.memory.importing.records import BadRow, Item, Row, Unread
from interconnected_ai.memory.importing.roles import first_seen

Order = Literal["dmy", "mdy", "ymd"]
_LOOKED_AT = 10_000  # bytes at the beginning that say whether it is such a chat

_HEAD = re.compile(
    r"^\[?(?P<date>(?P<a>\d{1,4})(?P<mark>[./-])\s?(?P<b>\d{1,2})[./-]\s?(?P<c>\d{2,4}))\.?"
    r",?\s(?:à\s|às\s|klo\s|kl\.\s|um\s|в\s|alle\s)?"
    r"(?:(?P<half_before>[上下]午|午[前後]|오[전후])\s?)?"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?"
    r"(?:\s?(?P<half>[AaPp]\.?\s?[Mm]\.?|[ДдПп][Пп]))?"
    r"(?:\]\s|\s[-–]\s)(?P<rest>.*)$"
)
_MARKS = re.compile(
    "[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)  # directions of writing, all over iPhones' exports
_EDITED = re.compile(r"\s*<(?:This message was edited|Сообщение изменено)\.?>\s*$")
_DELETED = re.compile(
    r"(?:This message was deleted|You deleted this message|(?:Данное с|С)ообщение удалено|Вы удалили данное сообщение)\.?"
)
_LEFT_OUT = re.compile(
    r"^(?:<(?:Media omitted|Без медиафайлов|Медиафайл пропущен|Medien ausgeschlossen|Multimedia omitido|Médias omis)>"
    r"|(?P<kind>image|video|audio|sticker|GIF|document|Contact card) omitted"
    r"|(?:изображение|видео|аудиофайл|стикер|документ) (?:отсутствует|не включ[её]н[оа]?|пропущен[оа]?))$",
    re.MULTILINE,
)
_ATTACHED = re.compile(
    r"^(?:<(?:attached|прикреплено|Anhang|adjunto|pièce jointe)\s?: (?P<phone>[^>]+)>"
    r"|(?P<name>\S.*\.\w{2,5}) \((?:file attached|файл добавлен|Datei angehängt|archivo adjunto|fichier joint)\))"
)
_NAME_OF_FILE = re.compile(
    r"^(?:WhatsApp Chat (?:with|-|mit)|WhatsApp-Chat mit|Chat de WhatsApp con|Чат WhatsApp с(?: контактом)?)\s+"
)


def recognises(path: Path) -> bool:
    """Whether one of a file's first lines begins as WhatsApp's messages do."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT).decode("utf-8-sig", "replace")
    return any(_head(line.rstrip("\r")) for line in start.split("\n")[:20])


def read(path: Path) -> Iterator[Item]:
    """The messages of a chat, in order. Their times are clocks on the wall, without a zone."""
    order = _order_in(path)
    session = f"whatsapp:{_chat_of(path)}"
    head: re.Match[str] | None = None
    begins, lines = 0, list[str]()
    for number, line in enumerate(_lines(path), start=1):
        found = _head(line)
        if found is None:
            if head is not None:
                lines.append(line)
            elif line.strip():
                yield BadRow(f"{path}, line {number}", "stands before the first message of the chat")
            continue
        if head is not None:
            yield _message(f"{path}, line {begins}", head, lines, order, session)
        head, begins, lines = found, number, []
    if head is not None:
        yield _message(f"{path}, line {begins}", head, lines, order, session)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); convert the file first") from error


def _head(line: str) -> re.Match[str] | None:
    return _HEAD.match(_MARKS.sub("", line))


def _message(where: str, head: re.Match[str], more: list[str], order: Order, session: str) -> Item:
    speaker, colon, first = head["rest"].partition(": ")
    if not colon:
        return Unread("WhatsApp notice")
    words = _EDITED.sub("", "\n".join([first, *map(_unmarked, more)])).rstrip()
    if _DELETED.fullmatch(words):
        return Unread("WhatsApp message that was deleted")
    words = _ATTACHED.sub(lambda found: placeholder("file", found["phone"] or found["name"]), words)
    words = _LEFT_OUT.sub(lambda found: placeholder(found["kind"] or "media"), words)
    if not words.strip():
        return Unread("message without words")
    try:
        name = first_seen(speaker.removeprefix("~").strip()) or "unknown"
        return Row(where, name, words, session, None, _time(head, order))
    except ValueError as error:
        return BadRow(where, f"{head['date']} is no date ({error})")


def _unmarked(line: str) -> str:
    return _MARKS.sub("", line)


def _time(head: re.Match[str], order: Order) -> datetime:
    year, month, day = _date(head, order)
    hour = int(head["hour"])
    half = (head["half"] or head["half_before"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half[0] in "pп下" or half in ("午後", "오후") else 0)
    return datetime(year, month, day, hour, int(head["minute"]), int(head["second"] or 0))


def _date(head: re.Match[str], order: Order) -> tuple[int, int, int]:
    a, b, c = int(head["a"]), int(head["b"]), int(head["c"])
    if order == "ymd":
        return a, b, c
    year = c if c > 99 else 2000 + c
    return (year, b, a) if order == "dmy" else (year, a, b)


def _order_in(path: Path) -> Order:
    """Which number is the day. Where no number above 12 says so: the order in which the chat goes forward in time."""
    heads = (head for line in _lines(path) if (head := _head(line)))
    first = next(heads)
    if len(first["a"]) == 4:
        return "ymd"
    dates = [(int(head["a"]), int(head["b"]), int(head["c"])) for head in chain([first], heads)]
    if first["mark"] == "." or any(a > 12 for a, _, _ in dates):
        return "dmy"
    if any(b > 12 for _, b, _ in dates):
        return "mdy"
    back_dmy, back_mdy = _steps_back((c, b, a) for a, b, c in dates), _steps_back((c, a, b) for a, b, c in dates)
    if back_dmy != back_mdy:
        return "dmy" if back_dmy < back_mdy else "mdy"
    return "mdy" if first["half"] and len(first["c"]) == 2 else "dmy"  # the American way has two digits and AM or PM


def _steps_back(dates: Iterable[tuple[int, int, int]]) -> int:
    return sum(later < earlier for earlier, later in pairwise(dates))


def _chat_of(path: Path) -> str:
    """The chat's name, as the file or (iPhones: `_chat.txt`) its folder has it, without the number of a later download."""
    name = path.absolute().parent.name if path.stem.strip("_ ").lower() == "chat" else path.stem
    return _NAME_OF_FILE.sub("", re.sub(r"\s*\(\d+\)$", "", name)).strip() or "chat"
