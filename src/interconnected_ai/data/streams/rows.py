"""Some rows of a table at a time, with all their cells; where they come from is left to those who open files."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.data.tables.table import place_of
from interconnected_ai.errors import DataError

MOST_ROWS, MOST_CHARACTERS = 1_024, 2**20  # of a piece: its texts


class Absent:
    """What stands in the place of a cell that a row does not have, as an object of JSON may lack a key."""


ABSENT = Absent()


@dataclass(frozen=True, eq=False)
class RowPiece:
    """Neighbouring rows. texts: of each its text, "" where it has none; rows: their cells, in the order of the columns.

    batch: the same rows as an Arrow RecordBatch, where the file has types of its own.
    """

    texts: list[str]
    rows: Sequence[Sequence[Any]]
    batch: Any = None

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Form:
    """How a file of separated values is written. begin: the line `sep=…` in front, if it has one."""

    separator: str
    encoding: str
    line_end: str
    begin: str = ""


@dataclass(frozen=True, eq=False)
class RowStream:
    """A table's columns, and its rows as often as one goes through them; a piece at a time is held in memory.

    num_rows: None where only the end of the file tells. form: of separated values; schema: of Arrow. read: what `pieces` calls.
    """

    path: str
    columns: tuple[str, ...]
    num_rows: int | None
    read: Callable[[], Iterator[RowPiece]]
    form: Form | None = None
    schema: Any = None

    def pieces(self) -> Iterator[RowPiece]:
        """The rows in their order. Every call opens the file anew: any number of threads may read at once."""
        return self.read()


def in_pieces(path: str, numbered: Iterable[tuple[int | None, Sequence[Any]]], text: int) -> Iterator[RowPiece]:
    """Rows, each with its line or None, put together. text: the place of the text's column."""
    texts: list[str] = []
    rows: list[Sequence[Any]] = []
    characters = 0
    for number, (line, row) in enumerate(numbered):
        texts.append(checked_text(path, number, line, row[text]))
        rows.append(row)
        characters += len(texts[-1])
        if len(rows) == MOST_ROWS or characters >= MOST_CHARACTERS:
            yield RowPiece(texts, rows)
            texts, rows, characters = [], [], 0
    if rows:
        yield RowPiece(texts, rows)


def checked_text(path: str, number: int, line: int | None, cell: Any) -> str:
    """The text of a row, "" for none; halves of characters are U+FFFD. Raises `DataError` for a cell that is something else."""
    if cell is None or cell is ABSENT or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if not isinstance(cell, str):
        shown = repr(cell) if len(repr(cell)) <= 60 else f"{repr(cell)[:60]}…"
        raise DataError(
            f"{place_of(path, number, line)}: the text is {shown}; write it as a text, or leave it out, or name another column"
        )
    return writable(cell) if cell.strip() else ""


def writable(text: str) -> str:
    """The text with U+FFFD in the place of halves of characters, which no file in UTF-8 can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
