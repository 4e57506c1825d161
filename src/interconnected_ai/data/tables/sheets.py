"""Excel workbooks (.xlsx): the first sheet's cells, as Excel last computed them."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.tables.decoding import bytes_of
from interconnected_ai.data.tables.table import Table, named_columns, require_columns
from interconnected_ai.errors import DataError
from interconnected_ai.extras import require


def sheet_table(file: Path, wanted: Sequence[str] | None) -> Table:
    """The wanted columns (None: all) of a workbook's first sheet. Its first row with content is the header; blank rows go."""
    book = _book(file)
    first, *others = _sheets(book)
    rows = ((line, row) for line, row in enumerate(first.iter_rows(values_only=True), start=1) if not is_blank_row(row))
    _, header = next(rows, (0, ()))
    names = ["" if name is None else str(name).strip() for name in header]
    wanted = named_columns(str(file), names) if wanted is None else wanted
    require_columns(str(file), names, wanted)
    places = [names.index(column) for column in wanted]
    kept = list(rows)
    columns = {
        column: [row[place] if place < len(row) else None for _, row in kept]
        for column, place in zip(wanted, places, strict=True)
    }
    remarks = (_one_sheet_only(file, first.title, len(others)),) if others else ()
    return Table(str(file), columns, [line for line, _ in kept], remarks=remarks)


@contextmanager
def open_sheet(file: Path) -> Iterator[Any]:
    """A workbook's first sheet, to be read row by row; the packed file is in memory, its cells are not."""
    book = _book(file)
    try:
        yield _sheets(book)[0]
    finally:
        book.close()


def _book(file: Path) -> Any:
    openpyxl = require("openpyxl", "excel", f"reading {file} (or save it as CSV UTF-8, which needs nothing): it")
    try:
        return openpyxl.load_workbook(io.BytesIO(bytes_of(file)), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"{file} is no Excel workbook: {error}; save it again as .xlsx, or as CSV UTF-8") from error


def _sheets(book: Any) -> list[Any]:
    sheets = list(book.worksheets)
    sheets[0].reset_dimensions()  # what some programs write there is wrong
    return sheets


def is_blank_row(row: Sequence[Any]) -> bool:
    """Whether no cell of a row has content."""
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in row)


def _one_sheet_only(file: Path, title: str, num_others: int) -> Remark:
    told = f"{file} has {num_others + 1} sheets; the first, {title!r}, was read"
    return Remark("rows as written", told, "Move the rows there, or save the sheet that is meant as CSV")
