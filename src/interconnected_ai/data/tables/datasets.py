"""Tables with types: Parquet, and Hugging Face datasets in a folder or on the hub. Class numbers come with their names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interconnected_ai.data.tables.decoding import bytes_of
from interconnected_ai.data.tables.table import Table, named_columns, require_columns
from interconnected_ai.errors import DataError
from interconnected_ai.extras import require


def parquet_table(file: Path, wanted: Sequence[str] | None) -> Table:
    """The wanted columns (None: all) of a Parquet file, with the class names that `datasets` writes into its schema."""
    parquet = require("pyarrow.parquet", "training", f"reading {file}")
    pyarrow = require("pyarrow", "training", f"reading {file}")
    try:
        with parquet.ParquetFile(pyarrow.BufferReader(bytes_of(file))) as opened:
            schema = opened.schema_arrow
            wanted = named_columns(str(file), schema.names) if wanted is None else wanted
            require_columns(str(file), schema.names, wanted)
            columns: dict[str, list[Any]] = opened.read(columns=list(dict.fromkeys(wanted))).to_pydict()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's own words, such as "Permission denied"
        raise DataError(f"{file} is not a Parquet file: {error}; write it anew, or restore it from a copy") from error
    return Table(str(file), columns, class_names=_class_names((schema.metadata or {}).get(b"huggingface", b"{}")))


def _class_names(metadata: bytes) -> dict[str, list[str]]:
    """The names of every column of classes in what `datasets` leaves in a schema; nothing where it says something else."""
    try:
        features = json.loads(metadata)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {
        column: [str(name) for name in feature["names"]]
        for column, feature in (features.items() if isinstance(features, dict) else ())
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }


def dataset_table(name: str, wanted: Sequence[str] | None) -> Table:
    """The wanted columns of a Hugging Face dataset (`open_dataset`); None: all that hold values, no pictures or sounds."""
    dataset = open_dataset(name)
    if wanted is None:
        plain = (column for column, kind in dataset.features.items() if type(kind).__name__ in ("Value", "ClassLabel"))
        wanted = named_columns(name, plain)
    require_columns(name, dataset.features, wanted)
    names: Mapping[str, Sequence[str]] = {
        column: list(feature.names) for column, feature in dataset.features.items() if hasattr(feature, "int2str")
    }
    return Table(name, {column: list(dataset[column]) for column in wanted}, class_names=names)


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
