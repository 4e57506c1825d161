"""A table opened for reading it row after row: CSV, JSON, Parquet, Excel, datasets, or a text a line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from interconnected_ai.arguments import checked
from interconnected_ai.data.streams.rows import (
    ABSENT,
    MOST_CHARACTERS,
    MOST_ROWS,
    Form,
    RowPiece,
    RowStream,
    checked_text,
    in_pieces,
)
from interconnected_ai.data.tables import LINE_END, allow_long_cells, open_dataset, separator_of, suffix_of
from interconnected_ai.data.tables.decoding import bytes_of, open_text, text_of
from interconnected_ai.data.tables.objects import objects_by_line, objects_of
from interconnected_ai.data.tables.separated import HEADER_CHARACTERS, check_width, records_of
from interconnected_ai.data.tables.sheets import is_blank_row, open_sheet
from interconnected_ai.data.tables.table import place_of, require_columns
from interconnected_ai.errors import DataError
from interconnected_ai.extras import require

Numbered = Iterator[tuple[int | None, Sequence[Any]]]  # rows, each with its line where there are lines


@checked
def open_rows(path: str, text: str = "text") -> RowStream:
    """A file's rows with all their columns. text: the column of the text; a file that is no table has a text a line.

    Read are the kinds that training reads. The file is gone through once before the first row is given, so that what cannot
    be read is found before anything is computed; what is held in memory does not grow with it, but for `.json` and `.xlsx`.
    Raises `DataError` with file, row and remedy, `MissingExtraError` for a kind whose reader is not installed.
    """
    file = Path(path)
    if path.startswith("hf:") or file.is_dir():
        return _dataset(path, text)
    if not file.is_file():
        raise DataError(f"no file at {path}; check the path")
    suffix = suffix_of(file)
    found = _OPENERS.get(suffix, _lines)(file, suffix, text)
    if found.num_rows == 0:
        raise DataError(f"{path} has no rows; nothing is there to be answered")
    return found


def _separated(file: Path, suffix: str, text: str) -> RowStream:
    allow_long_cells()
    with open_text(file) as opened:
        encoding, start = opened.encoding, opened.read(HEADER_CHARACTERS)
    separator, begin = separator_of(start, suffix, [text])
    above, line_end = len(LINE_END.findall(start, 0, begin)), LINE_END.search(start)
    form = Form(separator, encoding, line_end.group() if line_end else "\n", start[:begin])

    def records() -> Iterator[tuple[int, list[str]]]:
        with open_text(file) as opened:
            opened.read(begin)
            lines = (line.removesuffix("\x1a") for line in opened)  # the end of a file as DOS marks it
            yield from records_of(str(file), lines, separator, above, suffix)

    _, header = next(records(), (1, []))
    names = [name.strip() for name in header]
    require_columns(str(file), names, [text])

    def rows() -> Numbered:
        for number, (line, record) in enumerate(islice(records(), 1, None)):
            if not names.index(text) < len(record) <= len(names):
                place = place_of(str(file), number, line)
                check_width(place, record, names, names.index(text), separator)
            yield line, [*record[: len(names)], *[""] * (len(names) - len(record))]

    return _surveyed(file, names, rows, names.index(text), form)


def _objects(file: Path, suffix: str, text: str) -> RowStream:
    """An object a line; `.json` in any of its forms."""

    def entries() -> Iterator[tuple[int | None, dict[str, Any]]]:
        if suffix == ".json":
            found, places = objects_of(str(file), text_of(file), suffix, [text])
            numbers: Sequence[int | None] = places if places is not None else [None] * len(found)
            yield from zip(numbers, found, strict=True)
            return
        with open_text(file) as opened:
            yield from objects_by_line(str(file), opened, suffix)

    if suffix != ".json" and _begins_a_list(file):
        suffix = ".json"
    names: dict[str, None] = {}
    for _, entry in entries():
        names.update(dict.fromkeys(entry))
    require_columns(str(file), names, [text])

    def rows() -> Numbered:
        return ((line, [entry.get(name, ABSENT) for name in names]) for line, entry in entries())

    return _surveyed(file, list(names), rows, list(names).index(text))


def _begins_a_list(file: Path) -> bool:
    with open_text(file) as opened:
        return opened.read(MOST_ROWS).lstrip()[:1] == "["


def _sheet(file: Path, suffix: str, text: str) -> RowStream:
    def rows() -> Numbered:
        with open_sheet(file) as sheet:
            for line, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                if not is_blank_row(row):
                    yield line, row

    _, header = next(rows(), (1, ()))
    names = ["" if name is None else str(name).strip() for name in header]
    require_columns(str(file), names, [text])

    def whole() -> Numbered:
        for number, (line, row) in enumerate(islice(rows(), 1, None)):
            if not is_blank_row(row[len(names) :]):
                place = place_of(str(file), number, line)
                raise DataError(f"{place} has more cells than the header; name every column that is used")
            yield line, [*row[: len(names)], *[None] * (len(names) - len(row))]

    return _surveyed(file, names, whole, names.index(text))


def _lines(file: Path, suffix: str, text: str) -> RowStream:
    """A text a line, blank ones left out; its one column is named as the text's."""

    def rows() -> Numbered:
        with open_text(file) as opened:
            for number, line in enumerate(opened, start=1):
                if line.strip():
                    yield number, [LINE_END.sub("", line).removesuffix("\x1a")]

    return _surveyed(file, [text], rows, 0)


def _parquet(file: Path, suffix: str, text: str) -> RowStream:
    parquet = require("pyarrow.parquet", "training", f"reading {file}")
    pyarrow = require("pyarrow", "training", f"reading {file}")
    packed = file.name.lower().endswith(".gz")

    def opened() -> Any:
        return parquet.ParquetFile(pyarrow.BufferReader(bytes_of(file)) if packed else file)

    def batches() -> Iterator[Any]:
        with opened() as source:
            yield from source.iter_batches(batch_size=MOST_ROWS)

    try:
        with opened() as source:
            schema, num_rows = source.schema_arrow, source.metadata.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's own words, such as "Permission denied"
        raise DataError(f"{file} is not a Parquet file: {error}; write it anew, or restore it from a copy") from error
    return _arrow(str(file), schema, num_rows, batches, text)


def _dataset(name: str, text: str) -> RowStream:
    pyarrow = require("pyarrow", "training", f"reading the dataset {name}")
    dataset = open_dataset(name)

    def batches() -> Iterator[Any]:
        for part in dataset.with_format("arrow").iter(batch_size=MOST_ROWS):
            yield from pyarrow.Table.from_batches(part.to_batches()).combine_chunks().to_batches()

    return _arrow(name, dataset.features.arrow_schema, len(dataset), batches, text)


def _arrow(path: str, schema: Any, num_rows: int, batches: Callable[[], Iterable[Any]], text: str) -> RowStream:
    require_columns(path, schema.names, [text])
    pyarrow = require("pyarrow", "training", f"reading {path}")
    place = schema.names.index(text)
    if not _holds_text(kind := schema.field(place).type):
        raise DataError(f"{path}: the column {text!r} holds {kind}, needed are texts; name another column")

    def pieces() -> Iterator[RowPiece]:
        number = 0
        try:
            for whole in batches():
                for batch in _bounded(whole, place):
                    cells = batch.column(place).to_pylist()
                    texts = [checked_text(path, number + row, None, cell) for row, cell in enumerate(cells)]
                    number += len(texts)
                    yield RowPiece(texts, _ArrowRows(batch), batch)
        except pyarrow.ArrowException as error:
            raise DataError(f"{path} cannot be read: {error}; write it anew, or restore it from a copy") from error

    return RowStream(path, tuple(schema.names), num_rows, pieces, schema=schema)


def _holds_text(kind: Any) -> bool:
    types = require("pyarrow", "training", "reading Parquet").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(holds(kind) for holds in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


def _bounded(batch: Any, place: int) -> Iterator[Any]:
    """The batch in parts whose texts are not too long together."""
    parts = max(1, -(-batch.column(place).nbytes // (4 * MOST_CHARACTERS)))
    size = max(1, -(-batch.num_rows // parts))
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


class _ArrowRows(Sequence[Sequence[Any]]):
    """The rows of a RecordBatch as Python's values, made when the first is asked for. Times are texts, as ISO 8601 has them."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._rows: list[Sequence[Any]] | None = None

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def __getitem__(self, row: Any) -> Any:
        if self._rows is None:
            columns = [_plain(column).to_pylist() for column in self._batch.columns]
            self._rows = list(zip(*columns, strict=True))
        return self._rows[row]


def _plain(column: Any) -> Any:
    types = require("pyarrow", "training", "reading Parquet").types
    if types.is_duration(column.type):
        return column.cast("int64")
    return column.cast("string") if types.is_temporal(column.type) else column


def _surveyed(
    file: Path, names: Sequence[str], rows: Callable[[], Numbered], text: int, form: Form | None = None
) -> RowStream:
    """The stream, after every row was read once: what is wrong far down is told before anything is computed."""
    num_rows = sum(len(piece) for piece in in_pieces(str(file), rows(), text))
    return RowStream(str(file), tuple(names), num_rows, lambda: in_pieces(str(file), rows(), text), form)


_OPENERS = {
    ".csv": _separated,
    ".tsv": _separated,
    ".jsonl": _objects,
    ".ndjson": _objects,
    ".json": _objects,
    ".xlsx": _sheet,
    ".parquet": _parquet,
}
