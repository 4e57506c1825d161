"""Files of rows as people have them: every kind of table becomes a `Table`. What its cells mean is left to others."""

from collections.abc import Sequence
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.data.tables.datasets import dataset_table, open_dataset, parquet_table
from interconnected_ai.data.tables.decoding import LINE_END, decoded, text_of
from interconnected_ai.data.tables.objects import object_table
from interconnected_ai.data.tables.separated import allow_long_cells, separated_table, separator_of
from interconnected_ai.data.tables.sheets import sheet_table
from interconnected_ai.data.tables.table import Table
from interconnected_ai.errors import DataError

__all__ = [
    "LINE_END",
    "Table",
    "allow_long_cells",
    "decoded",
    "is_table",
    "open_dataset",
    "read_table",
    "separator_of",
    "suffix_of",
    "text_of",
]

_SEPARATED = (".csv", ".tsv", ".txt")  # "Unicode Text" of Excel is .txt
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx", ".ndjson", ".txt")


def read_table(path: str, wanted: Sequence[str] | None) -> Table:
    """The wanted columns of a file, a dataset's folder, or `hf:NAME[:CONFIG][#SPLIT]`. The whole file is held in memory.

    wanted: None for every column that has a name.

    Case does not count in suffixes, and `.gz` may follow. May be called from several threads at once. Raises `DataError`
    with file, row and remedy for what cannot be read.
    """
    file = Path(path)
    if path.startswith("hf:") or file.is_dir():
        return dataset_table(path, wanted)
    suffix = suffix_of(file)
    if suffix not in _SUFFIXES:
        raise DataError(
            f"{file} is of a kind that cannot be read; known: {', '.join(_SUFFIXES)}, each also with .gz, a dataset folder, "
            "hf:NAME[:CONFIG][#SPLIT]. Save a spreadsheet as CSV UTF-8"
        )
    if not file.is_file():
        seen_from = "" if file.is_absolute() else f" (seen from {Path.cwd()})"
        raise DataError(f"no file at {file}{seen_from}; check the path")
    if suffix == ".parquet":
        return parquet_table(file, wanted)
    if suffix == ".xlsx":
        return sheet_table(file, wanted)
    reader = separated_table if suffix in _SEPARATED else object_table
    return reader(str(file), text_of(file), suffix, wanted)


@checked
def is_table(path: str) -> bool:
    """Whether a path names a table, by its suffix or as a dataset; .txt is a text a line."""
    suffix = suffix_of(Path(path))
    return path.startswith("hf:") or Path(path).is_dir() or (suffix in _SUFFIXES and suffix != ".txt")


def suffix_of(file: Path) -> str:
    """The suffix that says the kind, in lower case: .csv of ROWS.CSV.GZ."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix
