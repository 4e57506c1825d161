"""Tables that belong together: files and folders become branches, each with its validation and test rows if there are any."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.config import BranchSpec
from interconnected_ai.data.tables import is_table
from interconnected_ai.errors import ConfigError, DataError

_SIDES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
          "test": "test"}  # fmt: skip
_SIDE = re.compile(rf"(?P<name>.*?)[-_. ]*(?P<side>{'|'.join(_SIDES)})", re.IGNORECASE)
_MARKS_OF_A_DATASET = ("dataset_info.json", "dataset_dict.json")


@dataclass(frozen=True)
class TableSet:
    """One branch's tables. name: safe for a branch. path: rows to learn from; validation, test: None holds rows out of them."""

    name: str
    path: str
    validation: str | None = None
    test: str | None = None


@checked
def table_sets(paths: Sequence[str]) -> list[TableSet]:
    """The tables at these paths, a branch each: files, folders of files, folders of `datasets.save_to_disk`, `hf:NAME`.

    Of files in one folder, `intents_train.csv` (or `intents.csv`), `intents_test.csv` and `intents_validation.csv` are one
    branch, `intents`; `train.csv` and `test.csv` are one that is named after the folder. Raises `DataError` for a folder
    without a table.
    """
    tables = list(dict.fromkeys(table for path in paths for table in _tables_at(path)))
    together: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for table in tables:
        name, side = _name_and_side(table)
        together[str(Path(table).parent), name].setdefault(side, table)
    taken: set[str] = set()
    found = []
    for table in tables:
        name, side = _name_and_side(table)
        sides = together[str(Path(table).parent), name]
        learnt = sides.get("train") or sides.get("")
        if learnt is None or (side == "" and learnt != table):
            found.append(TableSet(_branch_name(_stem(table), taken), table))
        elif learnt == table:
            alone = len(sides) == 1
            found.append(
                TableSet(
                    _branch_name(_stem(table) if alone else name, taken),
                    table,
                    sides.get("validation"),
                    sides.get("test"),
                )
            )
    return found


@checked
def safe_names(names: Sequence[str]) -> list[str]:
    """Names of branches for these names, in their order: letters, digits, `_` and `-`, each once."""
    taken: set[str] = set()
    return [_branch_name(name, taken) for name in names]


def _tables_at(path: str) -> Iterable[str]:
    place = Path(path)
    if path.startswith("hf:") or not place.is_dir() or any((place / mark).is_file() for mark in _MARKS_OF_A_DATASET):
        return [path]
    if (place / "run.yaml").is_file():
        raise DataError(
            f"{path} is a run, not a folder of tables; give its config, {place / 'run.yaml'}, or the tables"
        )
    inside = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith((".", "~$")))
    if not (tables := [str(file) for file in inside if is_table(str(file))]):
        raise DataError(f"{path} is a folder without a table (.csv .tsv .xlsx .parquet .jsonl .json); name the files")
    return tables


def _stem(table: str) -> str:
    """The name without folder and suffix; of a dataset on the hub without owner, configuration and split."""
    if table.startswith("hf:"):
        return re.split(r"[:#]", table.removeprefix("hf:"))[0].rpartition("/")[2]
    name = Path(table).name
    name = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    return Path(name).stem if not Path(table).is_dir() else name


def _name_and_side(table: str) -> tuple[str, str]:
    """(intents, test) of intents_test.csv; (name, "") where the name tells no side."""
    stem = _stem(table)
    found = None if table.startswith("hf:") else _SIDE.fullmatch(stem)
    if found is None:
        return stem, ""
    return found["name"] or Path(table).resolve().parent.name, _SIDES[found["side"].lower()]


def _branch_name(name: str, taken: set[str]) -> str:
    """A safe name for a branch, that none of the taken ones is; it is taken then."""
    plain = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", name)).strip("-")[:50].strip("-") or "branch"
    try:
        BranchSpec.from_mapping({"name": plain, "num_classes": 2})
    except ConfigError:
        plain = f"branch-{plain}"
    free = plain
    while free.casefold() in taken:
        number = int(free.rpartition("-")[2]) + 1 if free != plain else 2
        free = f"{plain}-{number}"
    taken.add(free.casefold())
    return free
