"""Reading labelled text: CSV, TSV, JSONL, JSON, Parquet, a saved Hugging Face dataset, or one from the hub."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from interconnected_ai.config import BranchData, BranchSpec, DataConfig, TableData
from interconnected_ai.errors import DataError, UnknownNameError, nearest_first
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file

_FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Rows:
    """Texts, and for each branch a label or None per text. All lists have the same length."""

    texts: list[str]
    labels: dict[str, list[str | None]]

    @classmethod
    def of_branch(cls, name: str, texts: Sequence[str], labels: Sequence[str]) -> Self:
        """Rows that belong to one branch."""
        if len(texts) != len(labels):
            raise DataError(f"{len(texts)} texts and {len(labels)} labels: every text needs one label")
        return cls(list(texts), {name: list(labels)})

    @classmethod
    def joined(cls, parts: Iterable["Rows"]) -> Self:
        """Rows of several sources one after another; where a source knows nothing of a branch, labels are None."""
        parts = list(parts)
        names = dict.fromkeys(name for part in parts for name in part.labels)
        texts = [text for part in parts for text in part.texts]
        labels = {
            name: [label for part in parts for label in part.labels.get(name, [None] * len(part))] for name in names
        }
        return cls(texts, labels)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def branch_names(self) -> list[str]:
        """The branches these rows speak of."""
        return list(self.labels)

    def select(self, rows: Iterable[int]) -> "Rows":
        """The rows with these numbers, in this order."""
        chosen = list(rows)
        return Rows([self.texts[r] for r in chosen], {n: [c[r] for r in chosen] for n, c in self.labels.items()})

    def of(self, name: str) -> tuple[list[str], list[str]]:
        """Texts and labels of one branch, rows without a label left out."""
        pairs = [(t, label) for t, label in zip(self.texts, self.labels[name], strict=True) if label is not None]
        return [text for text, _ in pairs], [label for _, label in pairs]

    def home(self) -> list[str | None]:
        """For each row the first branch that labels it."""
        return [next((n for n, c in self.labels.items() if c[row] is not None), None) for row in range(len(self))]

    def targets(self, specs: Iterable[BranchSpec]) -> dict[str, np.ndarray]:
        """For each branch (num_rows,) class numbers, -1 where a row has no label.

        Raises `UnknownNameError` for a label that the branch does not have.
        """
        out = {}
        for spec in specs:
            number: dict[str | None, int] = {label: i for i, label in enumerate(spec.labels)}
            number[None] = -1
            column = self.labels.get(spec.name, [None] * len(self))
            for label in column:
                if label not in number:
                    raise UnknownNameError(f"label of branch {spec.name!r}", label, spec.labels)
            out[spec.name] = np.array([number[label] for label in column], dtype=np.int64)
        return out


@dataclass(frozen=True)
class Splits:
    """What is learnt from, what decides when to stop and calibrates, and what is only measured on."""

    train: Rows
    validation: Rows
    test: Rows

    def specs(self) -> tuple[BranchSpec, ...]:
        """A spec for each branch, with the labels of the training rows in alphabetical order."""
        out = []
        for name in self.train.branch_names:
            labels = sorted(set(self.train.of(name)[1]))
            if len(labels) < 2:
                raise DataError(f"branch {name!r} has the one class {labels[:1]}; a classifier needs two or more")
            out.append(BranchSpec.from_mapping({"name": name, "labels": tuple(labels)}, source=f"branch {name!r}"))
        return tuple(out)


def load_splits(config: DataConfig, *, relative_to: Path | None = None) -> Splits:
    """The rows a config names, split. Paths are relative to `relative_to` (the config's folder)."""
    sources = [config.table] if config.table is not None else config.branches
    parts = [_load_source(source, config, relative_to or Path()) for source in sources]
    return Splits(
        train=Rows.joined(part.train for part in parts),
        validation=Rows.joined(part.validation for part in parts),
        test=Rows.joined(part.test for part in parts),
    )


def read_rows(path: str | Path, text: str, labels: Mapping[str, str]) -> Rows:
    """The rows of one file. text: column of the text; labels: for each branch its column of labels.

    Raises `DataError` naming file, row and remedy for a missing column, an empty file, an empty text, or bytes that
    are not UTF-8.
    """
    table = _read_table(str(path))
    _require_columns(path, table, [text, *labels.values()])
    texts = [_checked_text(path, row, value) for row, value in enumerate(table[text], start=1)]
    if not texts:
        raise DataError(f"{path} has no rows; a branch needs at least two classes with two rows each")
    return Rows(texts, {branch: [_as_label(v) for v in table[column]] for branch, column in labels.items()})


def split_rows(rows: Rows, fractions: Sequence[float], seed: int) -> list[Rows]:
    """Hold out rows: one `Rows` per fraction and the remainder last, stratified by branch and class.

    Rows with the same text (case and spacing aside) go to the same side, so no text is both learnt and measured. Every
    class keeps at least one row to learn from; raises `DataError` for a class with one distinct text.
    """
    random = np.random.default_rng(seed)
    texts_of, home_of = _texts_by_class(rows)
    side_of: dict[str, int] = {}
    for group in sorted(set(home_of.values()), key=str):
        texts = [text for text, home in home_of.items() if home == group]
        random.shuffle(texts)
        side_of.update(zip(texts, _sides(len(texts), fractions), strict=True))
    learnt = len(fractions)
    for (
        with_label
    ) in texts_of.values():  # where rows have several labels, the split by the first may leave another unlearnt
        if all(side_of[text] != learnt for text in with_label):
            side_of[next(iter(with_label))] = learnt
    sides = [side_of[_folded(text)] for text in rows.texts]
    return [rows.select(row for row, at in enumerate(sides) if at == side) for side in range(learnt + 1)]


def _texts_by_class(rows: Rows) -> tuple[dict[tuple[str, str], dict[str, None]], dict[str, tuple[str, str] | None]]:
    """The distinct texts of each (branch, label), and for each text the first (branch, label) it has."""
    texts_of: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    home_of: dict[str, tuple[str, str] | None] = {}
    for row, text in enumerate(map(_folded, rows.texts)):
        for name, column in rows.labels.items():
            label = column[row]
            if label is not None:
                texts_of[name, label][text] = None
                if home_of.get(text) is None:
                    home_of[text] = (name, label)
        home_of.setdefault(text, None)
    for (name, label), texts in texts_of.items():
        if len(texts) < 2:
            raise DataError(
                f"class {label!r} of branch {name!r} has one distinct text; it needs at least two, one to learn from and "
                "one to measure on. Add rows, merge it with another class, or remove it"
            )
    return texts_of, home_of


@dataclass(frozen=True)
class BranchReport:
    """What was read for one branch. Lengths are in characters; languages are shares of rows by alphabet."""

    name: str
    num_train: int
    num_validation: int
    num_test: int
    num_classes: int
    smallest_class: tuple[str, int]
    largest_class: tuple[str, int]
    duplicates: int
    leaked: int
    length_median: int
    length_p95: int
    languages: dict[str, float] = field(default_factory=dict)


def report_on(splits: Splits) -> list[BranchReport]:
    """What was read, branch by branch: `leaked` counts held-out rows whose text is also learnt from."""
    return [_report_branch(splits, name) for name in splits.train.branch_names]


def _report_branch(splits: Splits, name: str) -> BranchReport:
    texts, labels = splits.train.of(name)
    held_out = [text for part in (splits.validation, splits.test) if name in part.labels for text in part.of(name)[0]]
    learnt = {_folded(text) for text in texts}
    counts = Counter(labels).most_common()
    lengths = [len(text) for text in texts]
    alphabets = Counter(_alphabet(text) for text in texts)
    return BranchReport(
        name=name,
        num_train=len(texts),
        num_validation=len(splits.validation.of(name)[0]) if name in splits.validation.labels else 0,
        num_test=len(splits.test.of(name)[0]) if name in splits.test.labels else 0,
        num_classes=len(counts),
        smallest_class=counts[-1],
        largest_class=counts[0],
        duplicates=len(texts) - len(learnt),
        leaked=sum(_folded(text) in learnt for text in held_out),
        length_median=int(np.median(lengths)),
        length_p95=int(np.percentile(lengths, 95)),
        languages={alphabet: count / len(texts) for alphabet, count in alphabets.most_common()},
    )


def _load_source(source: BranchData | TableData, config: DataConfig, folder: Path) -> Splits:
    if isinstance(source, BranchData):
        BranchSpec.from_mapping({"name": source.name, "num_classes": 2}, source="data")  # refuses unsafe names early
    columns = {source.name: source.label} if isinstance(source, BranchData) else source.labels

    def read(path: str) -> Rows:
        return read_rows(_located(path, folder), source.text, columns)

    everything = read(source.path)
    validation = None if source.validation is None else read(source.validation)
    test = None if source.test is None else read(source.test)
    fractions = [
        config.validation_fraction if validation is None else 0.0,
        config.test_fraction if test is None else 0.0,
    ]
    if not any(fractions):
        train, held = everything, [everything.select([]), everything.select([])]
    else:
        *held, train = split_rows(everything, fractions, config.split_seed)
    return Splits(train, validation or held[0], test or held[1])


def _sides(count: int, fractions: Sequence[float]) -> list[int]:
    """For `count` texts of one class, the side each goes to: at least one to learn from, then one held out per side."""
    out: list[int] = []
    for side, fraction in enumerate(fractions):
        wanted = max(1, round(fraction * count)) if fraction > 0 else 0
        out += [side] * min(wanted, count - 1 - len(out))
    return out + [len(fractions)] * (count - len(out))


def _located(path: str, folder: Path) -> str:
    return path if path.startswith("hf:") or Path(path).is_absolute() else str(folder / path)


def _read_table(path: str) -> dict[str, list[Any]]:
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


def _require_columns(path: str | Path, table: Mapping[str, Any], wanted: Iterable[str]) -> None:
    for column in wanted:
        if column not in table:
            if not table:
                raise DataError(f"{path} is empty; it needs a header and rows with the column {column!r}")
            known = ", ".join(repr(c) for c in nearest_first(column, table)[:10])
            raise DataError(f"{path} has no column {column!r}; its columns, nearest first: {known}")


def _checked_text(path: str | Path, row: int, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{path}, row {row}: the text is {value!r}; every row needs a text, remove it or write one")
    return value


def _as_label(value: Any) -> str | None:
    """A label as a string; nothing and the empty string mean: not labelled."""
    return None if value is None or str(value).strip() == "" else str(value).strip()


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _alphabet(text: str) -> str:
    cyrillic = sum("\u0400" <= c <= "\u04ff" for c in text)
    latin = sum(c.isascii() and c.isalpha() for c in text)
    letters = sum(c.isalpha() for c in text)
    if letters == 0:
        return "none"
    return "cyrillic" if cyrillic * 2 > letters else "latin" if latin * 2 > letters else "other"


def write_rows(path: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    """Write one branch's rows as JSONL with the columns text and label, whole or not at all."""
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        for text, label in zip(texts, labels, strict=True):
            file.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
