"""JSON as programs write it: an object a line, objects one after another, a list of them, or columns; whatever the suffix."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from interconnected_ai.data.tables.decoding import LINE_END
from interconnected_ai.data.tables.table import Table, named_columns, place_of, require_columns
from interconnected_ai.errors import DataError

_BLANKS = re.compile(r"[ \t\r\n]*")
_NEEDED = 'needs a list of objects such as {"text": …, "label": …}, or one object a line'


def object_table(path: str, text: str, suffix: str, wanted: Sequence[str] | None) -> Table:
    """The wanted columns of JSON (None: all); a key that an object lacks is None. Raises `DataError` with the faulty line."""
    entries, lines = _entries(path, text, suffix)
    if len(entries) == 1 and (columns := _columns_of(path, entries[0], wanted)):
        return Table(path, columns)
    keys = dict.fromkeys(key for entry in entries for key in entry)
    if wanted is None:
        wanted = named_columns(path, keys)
    require_columns(path, keys, wanted)
    return Table(path, {column: [entry.get(column) for entry in entries] for column in wanted}, lines)


def objects_of(
    path: str, text: str, suffix: str, wanted: Sequence[str]
) -> tuple[list[dict[str, Any]], Sequence[int] | None]:
    """All objects of a text, and their lines where they have some; columns that hold the wanted ones become objects."""
    entries, lines = _entries(path, text, suffix)
    if len(entries) == 1 and _columns_of(path, entries[0], wanted):
        columns = _columns_of(path, entries[0], list(entries[0]))
        if len(columns) < len(entries[0]):
            raise DataError(f"{path} has columns beside values that are none; {_NEEDED}")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], None
    return entries, lines


def objects_by_line(path: str, lines: Iterable[str], suffix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file that has one a line, each with its line, as one goes through its lines."""
    with _told(path, suffix):
        for row, (line, entry) in enumerate(_by_line(lines)):
            yield line, _object(path, row, line, entry)


def values_of(path: str, text: str) -> list[tuple[int | None, Any]]:
    """Every value, object or not, with its line: those of one list, a value a line, or values one after another."""
    with _told(path, ".json"):
        found = list(_by_line(LINE_END.split(text)) if _begins_with_a_whole_line(text) else _objects_in_a_row(text))
    if len(found) == 1 and isinstance(found[0][1], list):
        return [(None, value) for value in found[0][1]]
    return list(found)


def _begins_with_a_whole_line(text: str) -> bool:
    """Whether the first line that is not blank is a value of its own."""
    first = LINE_END.split(text[_after_blanks(text, 0) :], maxsplit=1)[0]
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _entries(path: str, text: str, suffix: str) -> tuple[list[dict[str, Any]], list[int] | None]:
    with _told(path, suffix):
        if text.lstrip()[:1] == "[":
            return _list_of_objects(path, _parsed(text)), None
        found = _objects_in_a_row(text) if suffix == ".json" else _by_line(LINE_END.split(text))
        places, entries = list[int](), list[dict[str, Any]]()
        for line, entry in found:
            places.append(line)
            entries.append(_object(path, len(entries), line, entry))
        return entries, places


@contextmanager
def _told(path: str, suffix: str) -> Iterator[None]:
    """What is no JSON becomes a `DataError` that names the file."""
    try:
        yield
    except (ValueError, RecursionError) as error:  # a JSONDecodeError, or an integer of thousands of digits
        if isinstance(error, DataError | UnicodeDecodeError):
            raise
        raise DataError(f"{path} cannot be read as {suffix[1:]}: {error}; {_NEEDED}") from error


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_twins)


def _by_line(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entry = _parsed(line)
            except (ValueError, RecursionError) as error:
                told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise ValueError(f"line {number} of the file is not JSON ({told})") from error
            yield number, entry


def _objects_in_a_row(text: str) -> Iterator[tuple[int, Any]]:
    """Values one after another, each on as many lines as it likes, as `jq` writes them."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_twins)
    start, line, counted = _after_blanks(text, 0), 1, 0
    while start < len(text):
        line, counted = line + len(LINE_END.findall(text, counted, start)), start
        entry, end = decoder.raw_decode(text, start)
        yield line, entry
        start = _after_blanks(text, end)


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    assert found is not None  # it matches nothing at all, too
    return found.end()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice, and which is meant cannot be known")
    return found


def _list_of_objects(path: str, entries: Any) -> list[dict[str, Any]]:
    return [_object(path, row, None, entry) for row, entry in enumerate(entries)]


def _object(path: str, row: int, line: int | None, entry: Any) -> dict[str, Any]:
    if isinstance(entry, dict):
        return entry
    raise DataError(f"{place_of(path, row, line)} is {_kind(entry)}; {path} {_NEEDED}")


def _kind(entry: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(entry), "a number")


def _columns_of(path: str, entry: dict[str, Any], wanted: Sequence[str] | None) -> dict[str, list[Any]]:
    """The columns of {"text": […], "label": […]}, or of {"text": {"0": …}, …} as pandas writes them; {} where it is a row."""
    wanted = list(entry) if wanted is None else wanted
    if not wanted or not all(isinstance(entry.get(column), list | dict) for column in wanted):
        return {}
    columns = {name: entry[name] for name in wanted}
    keys = [list(column) if isinstance(column, dict) else list(range(len(column))) for column in columns.values()]
    if any(these != keys[0] for these in keys):
        raise DataError(f"{path} has columns of different rows: {', '.join(map(repr, wanted))} need the same ones")
    return {name: list(column.values() if isinstance(column, dict) else column) for name, column in columns.items()}
