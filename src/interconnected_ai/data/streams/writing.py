"""The rows of a stream with more columns into a file, whole or not at all: CSV, TSV, JSON or Parquet, by its suffix."""

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, TextIO, cast

from interconnected_ai.arguments import checked
from interconnected_ai.data.streams.rows import ABSENT, Form, RowPiece, RowStream, writable
from interconnected_ai.data.tables import suffix_of
from interconnected_ai.errors import DataError
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file

Added = Mapping[str, str]  # column → "text", "number" or "flag"
RowWriter = Callable[[RowPiece, Sequence[Sequence[Any]]], None]  # a piece, and its rows' cells of the added columns

_WRITABLE = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_PACKED = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")  # those that .gz may follow
_FORM_OF_EXCEL = "utf-8-sig"  # without its mark Excel takes UTF-8 for the encoding of the machine


@contextmanager
@checked
def write_stream(path: Path, stream: RowStream, added: Added) -> Iterator[RowWriter]:
    """What writes pieces of the stream, each row with its cells of the added columns; the file is there when the block ends.

    Separated values into a file of the same kind keep separator, encoding, byte order mark and line ends; a quote stands
    where one is needed. Parquet into Parquet keeps the columns' types. Other kinds are turned into each other: a key that an
    object lacks is an empty cell, a list or an object in a cell is JSON, NaN and infinity are null in JSON. No cell is
    changed to keep a spreadsheet from taking it for a formula. One thread at a time.

    Raises `DataError` for another suffix, and for an added column that the stream has already; `StorageError` where the file
    cannot be written.
    """
    suffix = suffix_of(path)
    packed = path.name.lower().endswith(".gz")
    if suffix not in _WRITABLE or (packed and suffix not in _PACKED):
        raise DataError(
            f"{path}: rows are written as {', '.join(_WRITABLE)} ({', '.join(_PACKED)} also with .gz); choose one of these"
        )
    if taken := [column for column in added if column in stream.columns]:
        raise DataError(
            f"{stream.path} has a column {taken[0]!r} already, and another of that name would be added; choose a prefix for "
            "the new ones (--prefix), or rename it"
        )
    opened = _WRITERS[suffix]
    with atomic_file(path) as scratch, opened(scratch, packed, stream, added, suffix) as write:
        yield write


@contextmanager
def _separated(scratch: Path, packed: bool, stream: RowStream, added: Added, suffix: str) -> Iterator[RowWriter]:
    form = _form_for(stream, suffix)
    with _text_file(scratch, packed, form.encoding) as file:
        file.write(form.begin)
        writer = csv.writer(file, delimiter=form.separator, lineterminator=form.line_end)
        writer.writerow([*stream.columns, *added])

        def write(piece: RowPiece, more: Sequence[Sequence[Any]]) -> None:
            writer.writerows(
                [_spelt(cell) for cell in (*row, *cells)] for row, cells in zip(piece.rows, more, strict=True)
            )

        yield write


def _form_for(stream: RowStream, suffix: str) -> Form:
    if stream.form is not None and suffix_of(Path(stream.path)) == suffix:
        return stream.form
    of_excel = suffix_of(Path(stream.path)) == ".xlsx"
    return Form("\t" if suffix == ".tsv" else ",", _FORM_OF_EXCEL if of_excel else "utf-8", "\n")


def _spelt(cell: Any) -> str:
    if cell is None or cell is ABSENT:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, dict | list | tuple):
        return writable(_json(cell))
    return writable(cell if isinstance(cell, str) else _unknown_kind(cell))


def _unknown_kind(value: Any) -> str:
    """A number, a time or bytes in words."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@contextmanager
def _objects(scratch: Path, packed: bool, stream: RowStream, added: Added, suffix: str) -> Iterator[RowWriter]:
    names = [*_named(stream.columns), *added]
    as_list = suffix == ".json"
    begin, between = ("[\n", ",\n") if as_list else ("", "\n")
    with _text_file(scratch, packed, "utf-8") as file:
        parts = iter([begin])

        def write(piece: RowPiece, more: Sequence[Sequence[Any]]) -> None:
            for row, cells in zip(piece.rows, more, strict=True):
                entry = {name: cell for name, cell in zip(names, (*row, *cells), strict=True) if cell is not ABSENT}
                file.write(next(parts, between))
                file.write(_json(entry))

        yield write
        file.write("\n]\n" if as_list else "\n")


def _named(columns: Sequence[str]) -> list[str]:
    """Columns with a name each: those of a table may have none."""
    return [name or f"column_{number}" for number, name in enumerate(columns, start=1)]


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_unknown_kind)
        text.encode("utf-8")
    except ValueError:  # NaN or infinity somewhere, or half of a character, which JSON can hold as an escape alone
        return json.dumps(_without_nan(value), ensure_ascii=True, default=_unknown_kind)
    return text


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _parquet(scratch: Path, packed: bool, stream: RowStream, added: Added, suffix: str) -> Iterator[RowWriter]:
    pyarrow = require("pyarrow", "training", "writing Parquet")
    parquet = require("pyarrow.parquet", "training", "writing Parquet")
    kinds = {"text": pyarrow.string(), "number": pyarrow.float64(), "flag": pyarrow.bool_()}
    new = [pyarrow.field(name, kinds[kind]) for name, kind in added.items()]
    if stream.schema is not None:
        old, metadata = list(stream.schema), stream.schema.metadata
    else:
        types = [kinds.get(kind) or pyarrow.int64() for kind in _kinds_of(stream)]
        old = [pyarrow.field(*pair) for pair in zip(_named(stream.columns), types, strict=True)]
        metadata = None
    schema = pyarrow.schema([*old, *new], metadata=_with_features(metadata, added))

    def columns_of(piece: RowPiece) -> list[Any]:
        if piece.batch is not None:
            return list(piece.batch.columns)
        cells = zip(*piece.rows, strict=True)
        return [
            pyarrow.array([_as_kind(cell, field.type == kinds["text"]) for cell in column], field.type)
            for field, column in zip(old, cells, strict=True)
        ]

    with parquet.ParquetWriter(scratch, schema) as writer:

        def write(piece: RowPiece, more: Sequence[Sequence[Any]]) -> None:
            answers = [
                pyarrow.array(column, field.type) for field, column in zip(new, zip(*more, strict=True), strict=True)
            ]
            writer.write_batch(pyarrow.RecordBatch.from_arrays([*columns_of(piece), *answers], schema=schema))

        yield write


def _kinds_of(stream: RowStream) -> list[str]:
    """Of each column "text", "number", "flag" or "whole": one kind for all its cells, found by going through them."""
    found: list[set[str]] = [set() for _ in stream.columns]
    if stream.form is None:  # separated values know text alone
        for piece in stream.pieces():
            for row in piece.rows:
                for kinds, cell in zip(found, row, strict=True):
                    kinds.add(_kind_of(cell))
    return [_kind_for(kinds - {"nothing"}) for kinds in found]


def _kind_of(cell: Any) -> str:
    if cell is None or cell is ABSENT:
        return "nothing"
    if isinstance(cell, bool):
        return "flag"
    if isinstance(cell, int):
        return "whole" if -(2**63) <= cell < 2**63 else "text"
    return "number" if isinstance(cell, float) else "text"


def _kind_for(kinds: set[str]) -> str:
    if kinds == {"whole", "number"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "text"


def _as_kind(cell: Any, is_text: bool) -> Any:
    if cell is None or cell is ABSENT:
        return None
    return _spelt(cell) if is_text else cell


def _with_features(metadata: Mapping[bytes, bytes] | None, added: Added) -> dict[bytes, bytes]:
    """A schema's metadata; what `datasets` says there of the columns speaks of the added ones too, or goes."""
    kept = dict(metadata or {})
    if (said := kept.pop(b"huggingface", None)) is None:
        return kept
    kinds = {"text": "string", "number": "float64", "flag": "bool"}
    try:
        content = json.loads(said)
        content["info"]["features"].update({n: {"dtype": kinds[k], "_type": "Value"} for n, k in added.items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return kept
    return {**kept, b"huggingface": json.dumps(content).encode()}


@contextmanager
def _text_file(scratch: Path, packed: bool, encoding: str) -> Iterator[TextIO]:
    with scratch.open("wb") as raw:
        data = cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=raw)) if packed else raw
        with io.TextIOWrapper(data, encoding=encoding, newline="") as text:
            yield text
            text.flush()


_Opened = Callable[[Path, bool, RowStream, Added, str], AbstractContextManager[RowWriter]]
_WRITERS: dict[str, _Opened] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".jsonl": _objects,
    ".ndjson": _objects,
    ".json": _objects,
    ".parquet": _parquet,
}
