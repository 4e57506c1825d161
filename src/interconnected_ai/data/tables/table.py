"""A table in memory: the columns that were asked for, and where in the file each row stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interconnected_ai.data.remarks import Remark
from interconnected_ai.errors import DataError, nearest_first


@dataclass(frozen=True)
class Table:
    """The columns asked for, cells as the file has them. Threads may share it.

    lines: the line of the file (or row of the sheet) that each row begins on, where there are lines. typed: False where the
    file knows text alone, as CSV does, so that a number and its spelling are the same. class_names: the names of the
    numbers in a column of classes.
    """

    path: str
    columns: Mapping[str, list[Any]]
    lines: Sequence[int] | None = None
    typed: bool = True
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()

    def place(self, row: int) -> str:
        """Where a row stands, for an error or a remark. row: from 0."""
        return place_of(self.path, row, None if self.lines is None else self.lines[row])


def place_of(path: str, row: int, line: int | None) -> str:
    """The words for a row of a file. row: from 0."""
    return f"{path}, row {row + 1}" if line is None else f"{path}, line {line}, row {row + 1}"


def named_columns(path: str, header: Iterable[Any]) -> list[str]:
    """All names of a header. Raises `DataError` where there is none, and for a name that stands twice."""
    names = [name for name in header if name]
    if not names:
        raise DataError(f"{path} is empty; it needs a header and rows with a text and a label")
    require_columns(path, names, ())
    return names


def require_columns(path: str, header: Iterable[str], wanted: Iterable[str]) -> None:
    """Raises `DataError` for a wanted column that is missing, nearest names first, and for a name that stands twice."""
    names = list(header)
    for column in wanted:
        if column not in names:
            if not any(names):
                raise DataError(f"{path} is empty; it needs a header and rows with the column {column!r}")
            known = ", ".join(repr(c) for c in nearest_first(column, dict.fromkeys(names))[:10])
            raise DataError(f"{path} has no column {column!r}; its columns, nearest first: {known}")
    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise DataError(
            f"{path} has {names.count(twice[0])} columns named {twice[0]!r}; which one is meant cannot be known: rename one"
        )
