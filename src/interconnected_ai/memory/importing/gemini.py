"""Gemini's activity from Google Takeout, `MyActivity.json`: a prompt and its answer an element, the newest first."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.times import seconds_of

_SESSION = "gemini"  # Takeout does not say which conversation a prompt belongs to
_PRODUCT = re.compile(r"\b(?:Gemini|Bard)\b")
_ASKED = re.compile(r"^(?:Prompted|Asked|Said|Запрос:|Вы спросили:)\s+")
_BLOCKS = frozenset({"p", "br", "li", "div", "tr", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table"})


def recognises(value: Any) -> bool:
    """Whether a value is an activity of Gemini."""
    if not isinstance(value, dict) or "title" not in value or "time" not in value:
        return False
    products = value.get("products")
    return any(
        _PRODUCT.search(str(one)) for one in (value.get("header"), *(products if isinstance(products, list) else ()))
    )


def read(where: str, activity: Any) -> Iterator[Item]:
    """The prompt and the answer of one activity."""
    title, answer = str(activity["title"]), "\n\n".join(_answers(activity))
    if not answer and not _ASKED.match(title):
        yield Unread("Gemini activity without a prompt")
        return
    try:
        time = seconds_of(activity["time"])
    except DataError as error:
        yield BadRow(where, str(error))
        return
    yield Row(where, "user", "\n".join((_ASKED.sub("", title), *_files(activity))), _SESSION, None, time)
    if answer:
        yield Row(where, "assistant", answer, _SESSION, None, time)


def _answers(activity: Json) -> Iterator[str]:
    for item in activity.get("safeHtmlItem") or ():
        if isinstance(item, dict) and isinstance(item.get("html"), str) and (text := _text_in(item["html"])):
            yield text


def _files(activity: Json) -> Iterator[str]:
    for name in activity.get("attachedFiles") or ():
        yield placeholder("file", name)
    if isinstance(activity.get("imageFile"), str):
        yield placeholder("image", activity["imageFile"])


def _text_in(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    reader.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(reader.parts)).strip()


class _Text(HTMLParser):
    """The words of a page, with a line break where a block begins or ends."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")
        if tag == "li":
            self.parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS and tag != "br":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
