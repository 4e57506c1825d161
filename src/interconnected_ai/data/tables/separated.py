"""CSV and TSV as programs write them: commas, semicolons, tabs or bars, `sep=` in front, quotes, every kind of line end."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from interconnected_ai.data.tables.decoding import LINE_END
from interconnected_ai.data.tables.table import Table, named_columns, place_of, require_columns
from interconnected_ai.errors import DataError

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECLARED = re.compile(r'\s*"?sep=(?P<separator>[^"\r\n])"?[^\S\r\n]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
HEADER_CHARACTERS = 1 << 20


def separated_table(path: str, text: str, suffix: str, wanted: Sequence[str] | None) -> Table:
    """The wanted columns of CSV or TSV. suffix: whose separator is tried first. wanted: None for all; rows may end early then.

    The separator is the first by which the header has all the wanted columns; what `sep=` in the first line names is tried
    first, and no more, since some programs keep that line and change the separator. Rows of blanks are left out, and blank
    cells beyond the header's. Raises `DataError` for other cells there, for a row that ends before a wanted column, and for
    quotes that do not close.
    """
    allow_long_cells()
    separator, begin = separator_of(text, suffix, wanted or ())
    body, above = text[begin:], len(LINE_END.findall(text, 0, begin))
    records = records_of(path, io.StringIO(body, newline=""), separator, above, suffix)
    _, header = next(records, (1, []))
    names = [name.strip() for name in header]
    last = -1
    if wanted is None:
        wanted = named_columns(path, names)
    else:
        require_columns(path, names, wanted)
        last = max(names.index(column) for column in wanted)
    places = [names.index(column) for column in wanted]
    cells: list[list[str]] = [[] for _ in wanted]
    lines: list[int] = []
    for row, (line, record) in enumerate(records):
        if not last < len(record) <= len(names):
            check_width(place_of(path, row, line), record, names, last, separator)
        lines.append(line)
        for column, place in zip(cells, places, strict=True):
            column.append(record[place] if place < len(record) else "")
    return Table(path, dict(zip(wanted, cells, strict=True)), lines, typed=False)


def allow_long_cells() -> None:
    """Let `csv` read cells of any length in this process; Python's 131,072 characters are less than a long text."""
    csv.field_size_limit(sys.maxsize)


def separator_of(start: str, suffix: str, wanted: Sequence[str]) -> tuple[str, int]:
    """The separator of a table that starts so, and where its header begins: behind a line `sep=`.

    The first that finds the wanted columns in the header, else the one that finds the most. wanted: nothing where no column is
    known yet.
    """
    declared = _DECLARED.match(start)
    begin = declared.end() if declared else 0
    ordered = ["\t", ",", ";", "|"] if suffix in (".tsv", ".txt") else list(_SEPARATORS)
    ordered = list(dict.fromkeys([*([declared["separator"]] if declared else []), *ordered]))
    headers = {separator: _header(start[begin : begin + HEADER_CHARACTERS], separator) for separator in ordered}
    fitting = [separator for separator, names in headers.items() if wanted and set(wanted) <= set(names)]
    return (fitting[0] if fitting else max(ordered, key=lambda separator: len(headers[separator]))), begin


def _header(start: str, separator: str) -> list[str]:
    reader = csv.reader(io.StringIO(start, newline=""), delimiter=separator, strict=True)
    try:
        return [name.strip() for name in next((record for record in reader if not _is_blank(record)), [])]
    except csv.Error:
        return []


def records_of(
    path: str, lines: Iterable[str], separator: str, above: int, suffix: str
) -> Iterator[tuple[int, list[str]]]:
    """The line that each record begins on, and its cells; blank ones are left out. above: lines of the file before these."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    begun = 1
    try:
        for record in reader:
            if not _is_blank(record):
                yield above + begun, record
            begun = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read as {suffix[1:]}: {error}, in the row that begins on line {above + begun} of the file; "
            'a text with quotes is written in quotes, its own doubled: "say ""hi"""'
        ) from error


def _is_blank(record: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in record)


def check_width(place: str, record: Sequence[str], names: Sequence[str], last: int, separator: str) -> None:
    """Raise `DataError` for a record with more than blanks beyond the header, or that ends before the column number `last`."""
    kind = _SEPARATORS.get(separator, f"{separator!r}")
    if not _is_blank(beyond := list(islice(record, len(names), None))):
        raise DataError(
            f"{place} has more cells than the header: {beyond!r} is too much; "
            f'put a text with {kind} in quotes: "a{separator} b"'
        )
    if last >= len(record):
        raise DataError(
            f"{place} ends before the column {names[last]!r}: it has {len(record)} of {len(names)} cells, the last is "
            f"{_shortened(record[-1])!r}; put a text with line breaks in quotes, and leave a cell without a label empty"
        )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
