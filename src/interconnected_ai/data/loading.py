"""Labelled rows out of tables: those of one file, and all that a config names, split; and rows into a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.config import BranchData, BranchSpec, DataConfig, TableData
from interconnected_ai.data.corpus import TEST, TRAIN, VALIDATION
from interconnected_ai.data.labels import read_labels
from interconnected_ai.data.record import RowRecord
from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.rows import Rows, Splits
from interconnected_ai.data.splitting import split_rows
from interconnected_ai.data.tables import LINE_END, Table, is_table, read_table, text_of
from interconnected_ai.data.unrecorded import shuffled_rows
from interconnected_ai.errors import DataError
from interconnected_ai.storage import atomic_file


@checked
def load_splits(
    config: DataConfig,
    *,
    relative_to: Path | None = None,
    record: RowRecord | None = None,
    unrecorded: bool = False,
) -> Splits:
    """The rows a config names, split. Paths are relative to `relative_to` (the config's folder).

    record: of rows dealt out before; they keep their sides. unrecorded: deal out as runs did that kept no record.
    """
    sources = [config.table] if config.table is not None else config.branches
    deal_out = _dealer(config.split_seed, record, unrecorded=unrecorded)
    parts = [_load_source(source, config, relative_to or Path(), deal_out) for source in sources]
    return Splits(
        train=Rows.joined(part.train for part in parts),
        validation=Rows.joined(part.validation for part in parts),
        test=Rows.joined(part.test for part in parts),
    )


@checked
def read_rows(path: str | Path, text: str, labels: Mapping[str, str]) -> Rows:
    """The rows of one file. text: column of the text; labels: for each branch its column of labels, none for texts alone.

    What is odd and no error stands in the rows' `remarks`. May be called from several threads at once. Raises `DataError`
    naming file, row and remedy for a missing column, an empty file, an empty text, an encoding that is not known, or a
    label that is none (`labels.read_labels`).
    """
    if same := [branch for branch, column in labels.items() if column == text]:
        raise DataError(
            f"{path}: the text and the labels of {same[0]!r} would both be read from the column {text!r}; "
            "name the column of the labels"
        )
    table = read_table(str(path), list(dict.fromkeys([text, *labels.values()])))
    texts, remarks = _texts(table, text)
    if not texts:
        raise DataError(f"{path} has no rows; a branch needs at least two classes with two rows each")
    columns = {}
    for branch, column in labels.items():
        columns[branch], found = read_labels(table, column)
        remarks += found
    return Rows(texts, columns, tuple(dict.fromkeys([*table.remarks, *remarks])))


@checked
def read_texts(path: str | Path, text: str) -> Rows:
    """The texts of one file: of a table its column `text`, of any other file its lines, blank ones left out.

    Raises `DataError` as `read_rows` does, and for a file without a text.
    """
    if is_table(str(path)):
        return read_rows(path, text, {})
    if not Path(path).is_file():
        raise DataError(f"no file at {path}; check the path")
    return texts_by_line(text_of(Path(path)), str(path))


@checked
def texts_by_line(text: str, name: str) -> Rows:
    """A text a line, whatever the line ends, blank ones left out. Raises `DataError` where there is none."""
    numbered = enumerate(LINE_END.split(text), start=1)
    kept = [(number, line) for number, line in numbered if line.strip()]
    if not kept:
        raise DataError(f"{name} holds no text; write one on each line")
    table = Table(name, {"text": [line for _, line in kept]}, [number for number, _ in kept], typed=False)
    texts, remarks = _texts(table, "text")
    return Rows(texts, {}, tuple(remarks))


@checked
def write_rows(path: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    """Write one branch's rows as JSONL with the columns text and label, whole or not at all."""
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        for text, label in zip(texts, labels, strict=True):
            file.write(json.dumps({"text": text, "label": label}, ensure_ascii=not _is_writable(text)) + "\n")


_DealOut = Callable[
    [Rows, tuple[float, float]], list[Rows]
]  # rows, shares of validation and test → those two, and the rest


def _dealer(seed: int, record: RowRecord | None, *, unrecorded: bool) -> _DealOut:
    if unrecorded:
        return lambda rows, fractions: shuffled_rows(rows, fractions, seed)
    if record is None:
        return lambda rows, fractions: split_rows(rows, fractions, seed)

    def as_before(rows: Rows, fractions: tuple[float, float]) -> list[Rows]:
        dealt = [side for side, share in ((VALIDATION, fractions[0]), (TEST, fractions[1])) if share]
        sides = record.sides_of(rows.texts, rows.branch_names, [TRAIN, *dealt])
        places = np.array([2, 0, 1, -1])  # of TRAIN, VALIDATION, TEST and a new text among the parts
        return split_rows(rows, fractions, seed, recorded=places[sides])

    return as_before


def _load_source(source: BranchData | TableData, config: DataConfig, folder: Path, deal_out: _DealOut) -> Splits:
    if isinstance(source, BranchData):
        BranchSpec.from_mapping({"name": source.name, "num_classes": 2}, source="data")  # refuses unsafe names early
    columns = {source.name: source.label} if isinstance(source, BranchData) else source.labels

    def read(path: str) -> Rows:
        return read_rows(_located(path, folder), source.text, columns)

    everything = read(source.path)
    validation = None if source.validation is None else read(source.validation)
    test = None if source.test is None else read(source.test)
    fractions = (
        config.validation_fraction if validation is None else 0.0,
        config.test_fraction if test is None else 0.0,
    )
    if not any(fractions):
        train, held = everything, [everything.select([]), everything.select([])]
    else:
        *held, train = deal_out(everything, fractions)
    return Splits(train, validation or held[0], test or held[1])


def _located(path: str, folder: Path) -> str:
    return path if path.startswith("hf:") else str(folder / Path(path).expanduser())


def _texts(table: Table, column: str) -> tuple[list[str], list[Remark]]:
    """The texts; halves of characters, as programs leave them that cut a text in UTF-16, become U+FFFD and are told."""
    texts = [_checked_text(table, column, row, value) for row, value in enumerate(table.columns[column])]
    broken = [row for row, text in enumerate(texts) if not _is_writable(text)]
    if not broken:
        return texts, []
    for row in broken:
        texts[row] = texts[row].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    told = f"{len(broken)} texts have half of a character (a lone surrogate), the first: {table.place(broken[0])}"
    return texts, [Remark("rows as written", told, "It is read as \ufffd; cut texts between characters")]


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _checked_text(table: Table, column: str, row: int, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
        raise DataError(
            f"{table.place(row)}: the text is {shown}; every row needs a text in column {column!r}, remove it or write one"
        )
    return value
