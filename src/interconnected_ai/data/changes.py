"""How rows differ from those that a training was begun with, in figures and words."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from interconnected_ai.data.corpus import SIDES
from interconnected_ai.data.record import RowRecord

_MOST_NAMED = 5


@dataclass(frozen=True)
class RowChanges:
    """Rows that are gone, new, changed (the text stands there with another label or spelling) or on another side.

    reordered: the same rows in another order. labels: in words, what is another in the branches and their classes.
    """

    gone: int
    new: int
    changed: int
    moved: int
    reordered: bool
    labels: tuple[str, ...]

    @classmethod
    def between(cls, before: RowRecord, now: RowRecord) -> "RowChanges":
        """From one record to the other."""
        then, here = Counter(before.rows.tolist()), Counter(now.rows.tolist())
        lost, found = then - here, here - then
        changed = (_texts_of(lost, before) & _texts_of(found, now)).total()
        sides_lost = Counter(_with_sides(before)) - Counter(_with_sides(now))
        same = not lost and not found and not sides_lost
        return cls(
            gone=lost.total() - changed,
            new=found.total() - changed,
            changed=changed,
            moved=sides_lost.total() - lost.total(),
            reordered=same and before.rows.tolist() != now.rows.tolist(),
            labels=_label_changes(before.labels, now.labels),
        )

    @property
    def none(self) -> bool:
        """Whether the rows are the same, in the same order."""
        return not (self.gone or self.new or self.changed or self.moved or self.reordered or self.labels)

    @property
    def only_new(self) -> bool:
        """Whether rows were added, and nothing else."""
        return bool(self.new) and not (self.gone or self.changed or self.moved or self.labels)

    def __str__(self) -> str:
        counts = (
            (self.gone, "gone"),
            (self.new, "new"),
            (self.changed, "with another label or spelling"),
            (self.moved, f"on another side ({', '.join(SIDES)}) than before"),
        )
        told = [f"{count} {'row is' if count == 1 else 'rows are'} {what}" for count, what in counts if count]
        return "; ".join([*told, *self.labels, *(["the rows are in another order"] if self.reordered else [])])


def _with_sides(record: RowRecord) -> list[tuple[int, int]]:
    return list(zip(record.rows.tolist(), record.sides.tolist(), strict=True))


def _texts_of(rows: Counter[int], record: RowRecord) -> Counter[int]:
    text_of = dict(zip(record.rows.tolist(), record.texts.tolist(), strict=True))
    texts: Counter[int] = Counter()
    for row, count in rows.items():
        texts[text_of[row]] += count
    return texts


def _label_changes(before: Mapping[str, tuple[str, ...]], now: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    told = [f"branch {name!r} is gone" for name in before if name not in now]
    told += [f"branch {name!r} is new" for name in now if name not in before]
    for name, labels in before.items():
        if name not in now or labels == now[name]:
            continue
        gone, new = [x for x in labels if x not in now[name]], [x for x in now[name] if x not in labels]
        told += [f"branch {name!r} {_named(gone, 'lost')}"] if gone else []
        told += [f"branch {name!r} {_named(new, 'got')}"] if new else []
        told += [f"the classes of branch {name!r} are in another order"] if not gone and not new else []
    return tuple(told)


def _named(labels: list[str], verb: str) -> str:
    listed = ", ".join(map(repr, labels[:_MOST_NAMED]))
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return f"{verb} the class{'es' if len(labels) > 1 else ''} {listed}{more}"
