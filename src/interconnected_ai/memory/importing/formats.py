"""The table of formats, and how a file or folder is told to be of one of them: by what stands in it, never by its name."""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing import chatgpt, claude, plain
from interconnected_ai.memory.importing.json_files import elements_of, lines_of
from interconnected_ai.memory.importing.records import BadRow, Item


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of JSON export. recognises: whether a value is of it; read: the items of a value that stands at a place."""

    name: str
    title: str
    recognises: Callable[[Any], bool]
    read: Callable[[str, Any], Iterator[Item]]


# The first that recognises a value reads it; rows of role and content, which the other kinds resemble, come last.
FORMATS = (
    Format("chatgpt", "ChatGPT, conversations.json", chatgpt.recognises, chatgpt.read),
    Format("claude", "Claude, conversations.json", claude.recognises, claude.read),
    Format("plain", "rows of role and content: JSON, JSONL, OpenAI, ShareGPT, LangChain", plain.recognises, plain.read),
)


def items_of(path: Path) -> Iterator[Item]:
    """Everything that stands in a file, in its order.

    Raises `DataError` for what is no known kind of chat, and for a file that cannot be read to its end.
    """
    try:
        for piece in _values(path):
            if isinstance(piece, BadRow):
                yield piece
            else:
                yield from _format_of(piece[1]).read(*piece)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _format_of(value: Any) -> Format:
    return next((one for one in FORMATS if one.recognises(value)), FORMATS[-1])


def _values(path: Path) -> Iterator[tuple[str, Any] | BadRow]:
    if zipfile.is_zipfile(path):
        raise DataError(f"{path} is a ZIP archive; unpack it and import the file or folder inside")
    return lines_of(path) if _is_jsonl(path) else elements_of(path)


def _is_jsonl(path: Path) -> bool:
    """Whether every line stands for itself: not an array's file, nor an object's that goes over lines."""
    with path.open("rb") as file:
        start = next((line for line in file if line.strip()), b"").decode("utf-8-sig", "replace").strip()
    if start.startswith("["):
        return False
    try:
        json.loads(start)
    except json.JSONDecodeError as error:
        return not (start.startswith("{") and error.pos >= len(start))
    except (RecursionError, ValueError):
        pass
    return True
