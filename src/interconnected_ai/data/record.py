"""What a run's rows were: the classes of every branch, a hash of every row, and the side that it went to.

Enough to tell whether rows read later are the same, and to put each on its side again. Nobody can read texts or labels out
of it; whoever has a text can tell that it is there.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from interconnected_ai.config import BranchSpec
from interconnected_ai.data.corpus import TEST, TRAIN, VALIDATION
from interconnected_ai.data.rows import Rows, Splits
from interconnected_ai.errors import IntegrityError
from interconnected_ai.storage import atomic_folder, load_arrays, read_folder, read_json, save_arrays, write_json
from interconnected_ai.text import digests_of, exact_digest_of

KIND = "interconnected_ai rows"
_ARRAYS, _FACTS = "rows.npz", "rows.json"
_TYPES = {"texts": np.uint64, "rows": np.uint64, "sides": np.uint8, "homes": np.int16}


@dataclass(frozen=True, eq=False, repr=False)
class RowRecord:
    """The rows of a training, in the order in which it knows them: 19 bytes each. Threads may share it.

    labels: the classes of every branch, in the order of the head's outputs. texts, rows: (num_rows,) uint64, of the text
    (case and spacing aside) and of the row as it is, text and labels. sides: (num_rows,) uint8, `TRAIN`, `VALIDATION` or
    `TEST`. homes: (num_rows,) int16, the number of the first branch that labels the row, -1 for none.
    split: the seed and the fractions that rows were held out by; empty where that is not known.
    """

    labels: Mapping[str, tuple[str, ...]]
    texts: np.ndarray
    rows: np.ndarray
    sides: np.ndarray
    homes: np.ndarray
    split: Mapping[str, float]

    @classmethod
    def of(cls, splits: Splits, specs: Iterable[BranchSpec], split: Mapping[str, float] | None = None) -> Self:
        """The record of rows from which a system with these branches learns."""
        labels = {spec.name: spec.labels for spec in specs}
        number = {name: place for place, name in enumerate(labels)}
        parts = [(TRAIN, splits.train), (VALIDATION, splits.validation), (TEST, splits.test)]
        return cls(
            labels=labels,
            texts=np.concatenate([digests_of(part.texts) for _, part in parts]),
            rows=np.concatenate([_row_digests(part) for _, part in parts]),
            sides=np.concatenate([np.full(len(part), side, dtype=np.uint8) for side, part in parts]),
            homes=np.array([number.get(h or "", -1) for _, part in parts for h in part.home()], dtype=np.int16),
            split=dict(split or {}),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RowRecord)
            and list(self.labels.items()) == list(other.labels.items())
            and all(np.array_equal(array, other.arrays[name]) for name, array in self.arrays.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<record of {len(self)} rows of {', '.join(self.labels)}>"

    def sides_of(self, texts: Sequence[str], branches: Iterable[str], sides: Collection[int]) -> np.ndarray:
        """(num_texts,) the side of each text in a source that labels these branches; -1 for a text that is new.

        sides: those that the source's rows were dealt out to.
        """
        digests, out = digests_of(texts), np.full(len(texts), -1, dtype=np.int64)
        numbers = [place for place, name in enumerate(self.labels) if name in set(branches)]
        ours = np.isin(self.sides, list(sides))
        for homes in ([-1], numbers):  # where both know a text, the labelled row
            chosen = ours & np.isin(self.homes, homes)
            known, first = np.unique(self.texts[chosen], return_index=True)
            if len(known):
                place = np.searchsorted(known, digests).clip(max=len(known) - 1)
                found = known[place] == digests
                out[found] = self.sides[chosen][first][place[found]]
        return out

    def in_this_order(self, splits: Splits) -> Splits:
        """The same splits with the rows of each side in the record's order, and those it does not know after them."""
        parts = ((TRAIN, splits.train), (VALIDATION, splits.validation), (TEST, splits.test))
        return Splits(*(part.select(self._order(side, _row_digests(part))) for side, part in parts))

    def _order(self, side: int, digests: np.ndarray) -> list[int]:
        places: dict[int, deque[int]] = defaultdict(deque)
        for place, digest in enumerate(self.rows[self.sides == side].tolist()):
            places[digest].append(place)
        ranks = [places[digest].popleft() if places[digest] else len(self) for digest in digests.tolist()]
        return sorted(range(len(ranks)), key=ranks.__getitem__)

    # Keeping

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The part of it that is arrays; `facts` is the rest, ready for JSON."""
        return {"texts": self.texts, "rows": self.rows, "sides": self.sides, "homes": self.homes}

    @property
    def facts(self) -> dict[str, Any]:
        """Labels and split, ready for JSON."""
        return {"labels": {name: list(labels) for name, labels in self.labels.items()}, "split": dict(self.split)}

    @classmethod
    def from_parts(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], *, source: object) -> Self:
        """The record of these arrays and facts; raises `IntegrityError`, which names `source`, when they are not one's."""
        columns = {name: arrays[name] for name in _TYPES if name in arrays}
        sound = (
            columns.keys() == _TYPES.keys()
            and all(column.dtype == _TYPES[name] and column.ndim == 1 for name, column in columns.items())
            and len({len(column) for column in columns.values()}) == 1
            and isinstance(facts.get("labels"), dict)
            and isinstance(facts.get("split"), dict)
        )
        if not sound:
            raise IntegrityError(f"{source} holds no record of rows; restore it from a copy, or train again")
        labels = {name: tuple(labels) for name, labels in facts["labels"].items()}
        return cls(labels=labels, split=facts["split"], **columns)

    def save(self, folder: Path) -> None:
        """Write it as a folder, whole or not at all."""
        with atomic_folder(folder, kind=KIND) as scratch:
            save_arrays(scratch / _ARRAYS, self.arrays)
            write_json(scratch / _FACTS, self.facts)

    @staticmethod
    def load(folder: Path) -> "RowRecord":
        """The record in a folder. Raises `NotAModelError` where there is none, `IntegrityError` when it was altered."""

        def read(place: Path) -> "RowRecord":
            return RowRecord.from_parts(load_arrays(place / _ARRAYS), read_json(place / _FACTS), source=place)

        return read_folder(folder, read, kind=KIND)


def _row_digests(rows: Rows) -> np.ndarray:
    """(num_rows,) uint64 of text and labels."""
    written = (
        "\0".join([text, *(f"{name}\0{label}" for name, label in sorted(labels))])
        for text, labels in zip(rows.texts, rows.by_row(), strict=True)
    )
    return np.array([exact_digest_of(row) for row in written], dtype=np.uint64)
