"""Cells read as labels: what is a class, what means "not labelled", what is refused; and labels that look like others."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from interconnected_ai.arguments import checked
from interconnected_ai.config import UNKNOWN, refusal_for
from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.tables import Table
from interconnected_ai.errors import DataError

NOT_LABELLED = -1  # as `datasets`, scikit-learn and PyTorch's users write it
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.0+)?")  # 007 is none: its zeros mean something
_NAN = ("nan", "NaN")  # how programs spell it into a file that knows text alone
# What programs write for a missing value when they turn it into text. "none" in small letters is a word, and may be a class.
_WORDS_FOR_NOTHING = frozenset(("nan", "NaN", "NA", "N/A", "#N/A", "<NA>", "NaT", "None", "NULL", "null"))

# Cyrillic letters, folded, whose capital or small form looks like a Latin one: (Cyrillic, Latin).
_TWINS = str.maketrans(
    "\u0430\u0432\u0441\u0435\u04bb\u0456\u0458\u043e\u0440\u0455\u0442\u0443\u0445\u043a\u043c\u043d",
    "abcehijopstyxkmh",
)
_UNSEEN = frozenset("\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")


def read_labels(table: Table, column: str) -> tuple[list[str | None], list[Remark]]:
    """A column's labels, None where a row has none, and what a person should know of the reading.

    Texts are labels without the blanks around them; whole numbers are written without a fraction (3.0 is "3"), true and
    false are "True" and "False", numbers of classes become their names. Nothing, NaN, blanks and the number -1 mean: not
    labelled. In a file that knows text alone, "nan" is NaN, and where all labels are whole numbers they are read as such.
    Raises `DataError` naming the row for lists, objects, dates, infinity and characters that cannot be written.
    """
    cells = table.columns[column]
    if names := table.class_names.get(column):
        labels = [_class_name(table, row, cell, names) for row, cell in enumerate(cells)]
        return labels, []
    if not table.typed:
        return _spelt_labels(table, column, cells)
    labels = [_label(table, row, cell) for row, cell in enumerate(cells)]
    negative = sum(_is_number(cell) and cell == NOT_LABELLED for cell in cells)
    return labels, [_minus_one_remark(table, column, negative)] if negative else []


def _spelt_labels(table: Table, column: str, cells: Sequence[Any]) -> tuple[list[str | None], list[Remark]]:
    labels = [_written(table, row, cell) for row, cell in enumerate(cells)]
    remarks = []
    if unspelt := sum(label in _NAN for label in labels):
        labels = [None if label in _NAN else label for label in labels]
        told = f'{unspelt} rows of {table.path} have "nan" in the column {column!r}, and count as not labelled'
        remarks.append(Remark("labels there", told, "Leave such cells empty; give a class of that name another one"))
    spelt = {label for label in labels if label is not None}
    if not all(map(_WHOLE_NUMBER.fullmatch, spelt)):
        return labels, remarks
    number_of = {label: label.partition(".")[0] for label in spelt}
    if fractions := sorted(label for label, number in number_of.items() if label != number):
        told = f"all labels in the column {column!r} of {table.path} are whole numbers, and {fractions[0]} is read as"
        remedy = "Tables with gaps are written so; if they are no numbers, such as versions, put a letter before them"
        remarks.append(Remark("rows as written", f"{told} {number_of[fractions[0]]}", remedy))
    numbers = [None if label is None else number_of[label] for label in labels]
    if missing := numbers.count(str(NOT_LABELLED)):
        remarks.append(_minus_one_remark(table, column, missing))
    return [None if number == str(NOT_LABELLED) else number for number in numbers], remarks


def _minus_one_remark(table: Table, column: str, count: int) -> Remark:
    told = f"{count} rows of {table.path} have the number -1 in the column {column!r}, and count as not labelled"
    return Remark("labels there", told, 'If it is a class, give it a name, such as "negative"')


def _class_name(table: Table, row: int, cell: Any, names: Sequence[str]) -> str | None:
    if cell is None or cell == NOT_LABELLED or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, str):
        return _written(table, row, cell)
    if isinstance(cell, int | float) and cell in range(len(names)):
        return _written(table, row, names[int(cell)])
    raise DataError(
        f"{table.place(row)}: the label is the class number {cell!r} and the column has {len(names)} classes, from 0; "
        "put the number right, or write names"
    )


def _label(table: Table, row: int, cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        return _written(table, row, cell)
    if isinstance(cell, bool):
        return str(cell)
    if _is_number(cell) and math.isnan(cell):
        return None
    if _is_number(cell) and math.isfinite(cell):
        if cell == NOT_LABELLED:
            return None
        return str(int(cell)) if cell == int(cell) else str(cell)
    raise DataError(
        f"{table.place(row)}: the label is {_shortened(repr(cell))}, {_KINDS.get(type(cell).__name__, 'no word')}; a label is "
        "one word or number: write one, or give each label a column and a branch of its own"
    )


_KINDS = {"list": "a list", "dict": "an object", "float": "no finite number", "bytes": "bytes", "datetime": "a date"}


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)


def _written(table: Table, row: int, text: str) -> str | None:
    label = text.strip()
    try:
        label.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{table.place(row)}: the label is {label!r}, which has half of a character; write it anew"
        ) from error
    return label or None


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


# Labels that look like others


@checked
def label_remarks(labels: Mapping[str, Iterable[str]]) -> list[Remark]:
    """What is odd about the labels of each branch: look-alikes, unseen characters, words for nothing, the word "unknown".

    labels: of every labelled row, by branch.
    """
    counts = {branch: Counter(given) for branch, given in labels.items()}
    parts = (_alike, _unseen, _nothings, _called_unknown)
    return [remark for branch, found in counts.items() for part in parts for remark in part(branch, found)]


def _alike(branch: str, counts: Mapping[str, int]) -> list[Remark]:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[skeleton(label)].append(label)
    twins = [sorted(group, key=lambda label: (-counts[label], label)) for group in groups.values() if len(group) > 1]
    if not twins:
        return []
    told = "; ".join(", ".join(f"{_shown(label)} ({counts[label]} rows)" for label in group) for group in twins[:3])
    more = f"; and {len(twins) - 3} more such groups" if len(twins) > 3 else ""
    return [
        Remark(
            "labels distinct", f"classes of {branch!r} look alike: {told}{more}", "If they are one, spell it one way"
        )
    ]


def _unseen(branch: str, counts: Mapping[str, int]) -> list[Remark]:
    odd = [
        label for label in counts if any(letter in _UNSEEN or unicodedata.category(letter) == "Cc" for letter in label)
    ]
    if not odd:
        return []
    told = f"{len(odd)} labels of {branch!r} have characters that cannot be seen, such as {odd[0]!a}"
    return [Remark("labels distinct", told, "Take them out: the same word without them is another class")]


def _nothings(branch: str, counts: Mapping[str, int]) -> list[Remark]:
    found = sorted(_WORDS_FOR_NOTHING & set(counts))
    if not found:
        return []
    told = ", ".join(f"{label!r} ({counts[label]} rows)" for label in found)
    remedy = "Programs write this for a missing value: if it means that, leave the cell empty"
    return [Remark("labels there", f"{branch!r} has the class {told}", remedy)]


def _called_unknown(branch: str, counts: Mapping[str, int]) -> list[Remark]:
    if UNKNOWN not in counts:
        return []
    told = f"{branch!r} has a class {UNKNOWN!r}, which is also the answer below the threshold"
    remedy = f"There that answer is {refusal_for(counts)!r}; another name for the class would be clearer"
    return [Remark("labels distinct", told, remedy)]


def skeleton(label: str) -> str:
    """The same for labels that look alike: case, blanks, marks, unseen characters, and Cyrillic or Latin letters aside.

    1.0 is 1. After Unicode's confusables (UTS 39), of which it knows the pairs that keyboards in two languages make.
    """
    shown = unicodedata.normalize("NFKC", "".join(letter for letter in label if unicodedata.category(letter) != "Cf"))
    plain = " ".join(unicodedata.normalize("NFKC", shown.casefold()).split()).translate(_TWINS)
    return re.sub(r"^(-?\d+)\.0+$", r"\1", plain)


def _shown(label: str) -> str:
    """A label as it looks, and with escapes where others may look like it."""
    return repr(label) if label.isascii() else f"{label!r} = {label!a}"
