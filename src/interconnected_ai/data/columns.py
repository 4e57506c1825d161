"""Which column of a table holds the texts and which the labels, told from their names and from what stands in them."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import NoReturn

from interconnected_ai.arguments import checked
from interconnected_ai.data.labels import read_labels
from interconnected_ai.data.tables import Table, read_table
from interconnected_ai.errors import Blame, DataError

_TEXT_NAMES = frozenset(
    "text texts sentence message msg content body utterance query question review comment document phrase request tweet post "
    "текст тексты сообщение запрос вопрос отзыв комментарий документ фраза обращение предложение высказывание".split()
)
_LABEL_NAMES = frozenset(
    "label labels class category intent topic target tag sentiment y "
    "метка метки класс категория интент намерение тема тональность рубрика тег".split()
)
_FIRST_TEXT_NAMES = frozenset(("text", "texts", "текст", "тексты"))
_FIRST_LABEL_NAMES = frozenset(("label", "labels", "метка", "метки"))
_CAMEL = re.compile(r"(?<=[a-zа-яё])(?=[A-ZА-ЯЁ])")
_LONGEST_LABEL = 60  # characters, on average
_BY_FAR = 2.0  # times as long as the next column's texts, at least
_SHOWN = 40  # characters of a cell


@dataclass(frozen=True)
class Columns:
    """Text column and label columns of one table, why these, and a labelled row of it: its text and its first label."""

    text: str
    labels: tuple[str, ...]
    text_reason: str
    label_reason: str
    example: tuple[str, str] | None

    def __str__(self) -> str:
        labels = ", ".join(repr(label) for label in self.labels)
        return f"texts from {self.text!r} ({self.text_reason}), labels from {labels} ({self.label_reason})"


@checked
def columns_of(path: str | Path, *, text: str | None = None, labels: Sequence[str] = ()) -> Columns:
    """The columns of a table. text, labels: those that are known already.

    A name that says it comes first ("text", "review", «текст»; "label", "category", «метка»), then what stands in the column:
    the longest texts by far; the values that repeat. Of columns that tell the same classes, such as a number and its word,
    the word. Raises `DataError` with all columns and what stands in them where more than one could be meant, or none. May be
    called from several threads at once.
    """
    if text is not None and labels:  # others may hold what they like
        table = read_table(str(path), list(dict.fromkeys([text, *labels])))
    else:
        table = read_table(str(path), None)
    if missing := [name for name in [*labels, *([] if text is None else [text])] if name not in table.columns]:
        read_table(str(path), missing)  # says which columns there are, the nearest first
    found = [_Column(table, name) for name in table.columns]
    why_text = why_labels = "as asked for"
    if text is None:
        text, why_text = _choose_text(table.path, found, [column for column in found if column.name not in labels])
    if not labels:
        label, why_labels = _choose_label(table.path, found, [column for column in found if column.name != text])
        labels = (label,)
    return Columns(text, tuple(labels), why_text, why_labels, _example(table, text, labels[0]))


class _Column:
    """One column and what stands in it."""

    def __init__(self, table: Table, name: str) -> None:
        self.table, self.name = table, name

    @cached_property
    def words_of_name(self) -> list[str]:
        plain = unicodedata.normalize("NFKC", _CAMEL.sub(" ", self.name)).casefold()
        return [word for word in re.split(r"[\W_]+", plain) if word]

    def is_called(self, names: frozenset[str]) -> int:
        """2: the whole name is one of these; 1: a word of it is; 0: none."""
        return 2 if " ".join(self.words_of_name) in names else int(any(word in names for word in self.words_of_name))

    @cached_property
    def texts(self) -> list[str]:
        """The cells that hold a text with a letter in it."""
        cells = self.table.columns[self.name]
        return [cell for cell in cells if isinstance(cell, str) and any(letter.isalpha() for letter in cell)]

    @cached_property
    def text_length(self) -> float:
        """In characters, on average."""
        return mean(map(len, self.texts)) if self.texts else 0.0

    @property
    def may_hold_texts(self) -> bool:
        return 2 * len(self.texts) > len(self.table.columns[self.name])

    @property
    def looks_like_texts(self) -> bool:
        """Whether most cells differ, or have several words."""
        several = sum(len(text.split()) > 1 for text in self.texts)
        return self.may_hold_texts and (2 * len(set(self.texts)) > len(self.texts) or 2 * several > len(self.texts))

    @cached_property
    def labels(self) -> list[str]:
        """Its labels, where it holds labels; else none."""
        try:
            return [label for label in read_labels(self.table, self.name)[0] if label is not None]
        except DataError:
            return []

    @cached_property
    def classes(self) -> dict[str, None]:
        return dict.fromkeys(self.labels)

    @cached_property
    def may_hold_labels(self) -> bool:
        return 2 <= len(self.classes) < len(self.labels) and mean(map(len, self.classes)) <= _LONGEST_LABEL

    @property
    def looks_like_labels(self) -> bool:
        """Whether a value stands in two rows, on average, and is no measurement."""
        measured = any(re.fullmatch(r"-?\d+[.,]\d+", label) for label in self.classes)
        return self.may_hold_labels and 2 * len(self.classes) <= len(self.labels) and not measured

    @property
    def told(self) -> str:
        """Name and contents in a line."""
        cells = [cell for cell in self.table.columns[self.name] if cell is not None and str(cell).strip()]
        if not cells:
            return f"{self.name!r}: empty"
        distinct = len({str(cell) for cell in cells})
        return f"{self.name!r}: {len(cells)} cells, {distinct} of them different, such as {_short(str(cells[0]))!r}"


def _choose_text(path: str, everything: list[_Column], columns: list[_Column]) -> tuple[str, str]:
    could = [column for column in columns if column.may_hold_texts]
    named = _best_named(could, _TEXT_NAMES)
    named = [column for column in named if column.is_called(_FIRST_TEXT_NAMES) == 2] or named
    if len(named) == 1:
        return named[0].name, "its name says so"
    candidates = named or [column for column in could if column.looks_like_texts]
    candidates.sort(key=lambda column: -column.text_length)
    if not candidates:
        _give_up(path, everything, "no column looks like texts")
    longest = candidates[0]
    if len(candidates) > 1 and longest.text_length < _BY_FAR * candidates[1].text_length:
        _give_up(path, everything, f"the texts could stand in {_listed(candidates)}")
    only = "the only column that holds texts" if len(candidates) == 1 else "the longest texts"
    return longest.name, f"{only}, {longest.text_length:.0f} characters on average"


def _choose_label(path: str, everything: list[_Column], columns: list[_Column]) -> tuple[str, str]:
    could = [column for column in columns if column.may_hold_labels]
    named = _best_named(could, _LABEL_NAMES)
    named = [column for column in named if column.is_called(_FIRST_LABEL_NAMES) == 2] or named
    candidates = named or [column for column in could if column.looks_like_labels]
    if not candidates:
        _give_up(path, everything, "no column looks like labels: values that repeat, at least two of them")
    chosen = max(candidates, key=_wordiness)
    same = [column for column in could if column is not chosen and _tell_the_same(chosen, column)]
    if wordier := [column for column in same if _wordiness(column) > _wordiness(chosen)]:
        return wordier[0].name, f"the classes of {chosen.name!r} in words"
    if any(column is not chosen and column not in same for column in candidates):
        _give_up(path, everything, f"the labels could stand in {_listed(candidates)}")
    if named:
        return chosen.name, f"its name says so; {len(chosen.classes)} classes"
    if chosen.name.strip() in chosen.classes:
        raise DataError(
            f"{path} seems to begin without a header: {chosen.name!r} is the name of a column and a value in it; write the "
            "columns' names, such as text and label, above the first row"
        )
    others = f" (so does {_listed(same)}, with the same classes)" if same else ""
    return chosen.name, f"the only column whose values repeat{others}; {len(chosen.classes)} classes"


def _best_named(columns: list[_Column], names: frozenset[str]) -> list[_Column]:
    """The columns whose whole names are among these; where there is none, those with such a word in their names."""
    best = max((column.is_called(names) for column in columns), default=0)
    return [column for column in columns if best and column.is_called(names) == best]


def _wordiness(column: _Column) -> int:
    """Classes that are words and no numbers."""
    return sum(any(letter.isalpha() for letter in label) for label in column.classes)


def _tell_the_same(one: _Column, other: _Column) -> bool:
    """Whether the two columns are the same classes under two names."""
    if len(one.labels) != len(other.labels):
        return False
    return len(set(zip(one.labels, other.labels, strict=True))) == len(one.classes) == len(other.classes)


def _example(table: Table, text: str, label: str) -> tuple[str, str] | None:
    labels = read_labels(table, label)[0]
    rows = zip(table.columns[text], labels, strict=True)
    return next(((str(cell), known) for cell, known in rows if known is not None), None)


def _give_up(path: str, columns: list[_Column], why: str) -> NoReturn:
    told = "\n".join(f"  {column.told}" for column in columns)
    reason = f"which columns are meant cannot be told: {why}"
    raise DataError(f"{path}: {reason}. Name them: --text COLUMN --label COLUMN\n{told}").blaming(
        Blame("text", f"{reason}; name the columns text and label\n{told}")
    )


def _listed(columns: list[_Column]) -> str:
    return " or ".join(repr(column.name) for column in columns)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
