"""Tables as columns: CSV, TSV, JSONL, JSON, Parquet, a saved Hugging Face dataset, or one from the hub."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interconnected_ai.errors import DataError, nearest_first
from interconnected_ai.extras import require

_FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_table(path: str) -> dict[str, list[Any]]:
    """A file's columns."""
    file = Path(path)
    if path.startswith("hf:") or file.is_dir():
        return _columns_of(open_dataset(path))
    if file.suffix not in _FORMATS:
        raise DataError(
            f"{file} is of a kind that cannot be read; known: {', '.join(_FORMATS)}, a dataset folder, hf:NAME[:CONFIG][#SPLIT]"
        )
    if not file.is_file():
        raise DataError(f"no file at {file}; check the path (relative paths start at the config's folder)")
    try:
        return _read_file(file)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); "
            f"convert it, for instance with: iconv -f CP1251 -t UTF-8 {file.name}"
        ) from error
    except (csv.Error, json.JSONDecodeError) as error:
        raise DataError(f"{file} cannot be read as {file.suffix[1:]}: {error}") from error


def _read_file(file: Path) -> dict[str, list[Any]]:
    if file.suffix in (".csv", ".tsv"):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",", strict=True)
            records: list[dict[str, Any]] = list(reader)
            for row, record in enumerate(records, start=1):
                if None in record:  # where csv puts the cells beyond the header's
                    raise DataError(
                        f"{file}, row {row} has more cells than the header: {record[None]!r} is too much; "  # type: ignore[index]
                        'put a text with commas in quotes: "a, b"'
                    )
            return _by_column(records, reader.fieldnames or ())
    if file.suffix == ".parquet":
        parquet = require("pyarrow.parquet", "training", f"reading {file}")
        pyarrow = require("pyarrow", "training", f"reading {file}")
        try:
            columns: dict[str, list[Any]] = parquet.read_table(file).to_pydict()
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"{file} is not a Parquet file: {error}") from error
        return columns
    text = file.read_text(encoding="utf-8-sig")
    records = (
        json.loads(text or "[]") if file.suffix == ".json" else [json.loads(r) for r in text.split("\n") if r.strip()]
    )
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError(f'{file} needs a list of objects such as {{"text": …, "label": …}}')
    return _by_column(records, dict.fromkeys(key for record in records for key in record))


def _by_column(records: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> dict[str, list[Any]]:
    return {column: [record.get(column) for record in records] for column in columns}


def open_dataset(name: str) -> Any:
    """A Hugging Face dataset: `hf:NAME[:CONFIG][#SPLIT]` (split `train` unless named), or a folder of `save_to_disk`.

    Of a dataset with several splits, the train split. Raises `DataError` when it cannot be had.
    """
    datasets = require("datasets", "training", f"reading the dataset {name}")
    try:
        if not name.startswith("hf:"):
            dataset = datasets.load_from_disk(name)
        else:
            place, _, split = name.removeprefix("hf:").partition("#")
            repository, _, configuration = place.partition(":")
            dataset = datasets.load_dataset(repository, configuration or None, split=split or "train")
    except (OSError, ValueError) as error:  # datasets raises both for unknown names and for a missing network
        if not name.startswith("hf:"):
            raise DataError(f"{name} is not a folder written by datasets.save_to_disk: {error}") from error
        shown = name.removeprefix("hf:")
        raise DataError(f"cannot fetch the dataset {shown!r} from the hub: {str(error).splitlines()[0]}") from error
    table = dataset["train"] if isinstance(dataset, dict) and "train" in dataset else dataset
    if isinstance(table, dict):
        raise DataError(f"the dataset has the splits {', '.join(table)}, needed is one named train")
    return table


def _columns_of(table: Any) -> dict[str, list[Any]]:
    """The columns of a dataset, class numbers turned into names."""
    out = {}
    for column, feature in table.features.items():
        values = list(table[column])
        out[column] = [feature.int2str(v) for v in values] if hasattr(feature, "int2str") else values
    return out


def require_columns(path: str | Path, table: Mapping[str, Any], wanted: Iterable[str]) -> None:
    """Raises `DataError` that names the nearest of the columns where one is missing."""
    for column in wanted:
        if column not in table:
            if not table:
                raise DataError(f"{path} is empty; it needs a header and rows with the column {column!r}")
            known = ", ".join(repr(c) for c in nearest_first(column, table)[:10])
            raise DataError(f"{path} has no column {column!r}; its columns, nearest first: {known}")
