"""Labelled rows: texts, and for each branch the labels that they have. Reading and splitting them is left to others."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, overload

import numpy as np

from interconnected_ai.arguments import checked, shown
from interconnected_ai.config import BranchSpec
from interconnected_ai.data.remarks import Remark
from interconnected_ai.errors import DataError, UnknownNameError


class LabelColumn(Sequence[str | None]):
    """One branch's label of every row, None where a row has none. Only labels are held: most rows are other branches'.

    rows: numbers of the rows that have one, ascending; labels: theirs.
    """

    __slots__ = ("_length", "labels", "rows")

    def __init__(self, rows: Sequence[int], labels: Sequence[str], length: int) -> None:
        self.rows, self.labels, self._length = rows, labels, length

    @classmethod
    def of(cls, column: Sequence[str | None]) -> "LabelColumn":
        """The column with this label or None for each row."""
        if isinstance(column, LabelColumn):
            return column
        pairs = [(row, label) for row, label in enumerate(column) if label is not None]
        return cls([row for row, _ in pairs], [label for _, label in pairs], len(column))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str | None]:
        out: list[str | None] = [None] * self._length
        for row, label in zip(self.rows, self.labels, strict=True):
            out[row] = label
        return iter(out)

    @overload
    def __getitem__(self, row: int) -> str | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[str | None]: ...
    def __getitem__(self, row: int | slice) -> list[str | None] | str | None:
        if isinstance(row, slice):
            return list(self)[row]
        if not -self._length <= row < self._length:
            raise IndexError(f"row {row} of {self._length}")
        row %= self._length
        place = bisect_left(self.rows, row)
        return self.labels[place] if place < len(self.rows) and self.rows[place] == row else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


@dataclass(frozen=True)
class Rows:
    """Texts, and for each branch a label or None per text. All lists have the same length. Threads may share it.

    remarks: what a person should know of how they were read; no part of what they are.
    """

    texts: list[str]
    labels: Mapping[str, Sequence[str | None]]
    remarks: tuple[Remark, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.texts, list) or not isinstance(self.labels, Mapping):
            raise DataError(
                f"rows of {shown(self.texts)} and {shown(self.labels)}: needs a list of texts, and labels by branch"
            )
        if wrong := [name for name, column in self.labels.items() if not isinstance(column, Sequence)]:
            raise DataError(f"labels of {wrong[0]!r}: needs a list with a label or None for each text")
        columns = {name: LabelColumn.of(column) for name, column in self.labels.items()}
        for name, column in columns.items():
            if len(column) != len(self.texts):
                raise DataError(
                    f"{len(self.texts)} texts and {len(column)} labels of {name!r}: every text needs one, or None"
                )
        object.__setattr__(self, "labels", columns)

    @classmethod
    @checked
    def of_branch(cls, name: str, texts: Sequence[str], labels: Sequence[str]) -> Self:
        """Rows that belong to one branch."""
        if len(texts) != len(labels):
            raise DataError(f"{len(texts)} texts and {len(labels)} labels: every text needs one label")
        return cls(list(texts), {name: list(labels)})

    @classmethod
    def joined(cls, parts: Iterable["Rows"]) -> Self:
        """Rows of several sources one after another; where a source knows nothing of a branch, labels are None."""
        texts: list[str] = []
        numbers: dict[str, list[int]] = {}
        labels: dict[str, list[str]] = {}
        remarks: dict[Remark, None] = {}
        for part in parts:
            remarks.update(dict.fromkeys(part.remarks))
            for name, column in part._columns():
                numbers.setdefault(name, []).extend(len(texts) + row for row in column.rows)
                labels.setdefault(name, []).extend(column.labels)
            texts += part.texts
        columns = {name: LabelColumn(rows, labels[name], len(texts)) for name, rows in numbers.items()}
        return cls(texts, columns, tuple(remarks))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def branch_names(self) -> list[str]:
        """The branches these rows speak of."""
        return list(self.labels)

    def select(self, rows: Iterable[int]) -> "Rows":
        """The rows with these numbers, in this order."""
        chosen = list(rows)
        places: dict[int, list[int]] = {}
        for place, row in enumerate(chosen):
            places.setdefault(row, []).append(place)
        labels = {}
        for name, column in self._columns():
            found = sorted(
                (place, label)
                for row, label in zip(column.rows, column.labels, strict=True)
                for place in places.get(row, ())
            )
            labels[name] = LabelColumn([place for place, _ in found], [label for _, label in found], len(chosen))
        return Rows([self.texts[row] for row in chosen], labels, self.remarks)

    def of(self, name: str) -> tuple[list[str], list[str]]:
        """Texts and labels of one branch, rows without a label left out."""
        column = self._column(name)
        return [self.texts[row] for row in column.rows], list(column.labels)

    def rows_of(self, name: str) -> list[int]:
        """The numbers of the rows that have a label of this branch."""
        return list(self._column(name).rows)

    def home(self) -> list[str | None]:
        """For each row the first branch that labels it."""
        out: list[str | None] = [None] * len(self)
        for name, column in self._columns():
            for row in column.rows:
                if out[row] is None:
                    out[row] = name
        return out

    def by_row(self) -> list[list[tuple[str, str]]]:
        """For each row its branches and labels, in the order of the branches."""
        out: list[list[tuple[str, str]]] = [[] for _ in self.texts]
        for name, column in self._columns():
            for row, label in zip(column.rows, column.labels, strict=True):
                out[row].append((name, label))
        return out

    def targets(self, specs: Iterable[BranchSpec]) -> dict[str, np.ndarray]:
        """For each branch (num_rows,) class numbers, -1 where a row has no label.

        Raises `UnknownNameError` for a label that the branch does not have.
        """
        out = {}
        for spec in specs:
            number = {label: i for i, label in enumerate(spec.labels)}
            out[spec.name] = np.full(len(self), -1, dtype=np.int64)
            if spec.name not in self.labels:
                continue
            column = self._column(spec.name)
            for label in column.labels:
                if label not in number:
                    raise UnknownNameError(f"label of branch {spec.name!r}", label, spec.labels)
            out[spec.name][list(column.rows)] = [number[label] for label in column.labels]
        return out

    def _column(self, name: str) -> LabelColumn:
        return LabelColumn.of(self.labels[name])

    def _columns(self) -> Iterator[tuple[str, LabelColumn]]:
        return ((name, self._column(name)) for name in self.labels)


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
