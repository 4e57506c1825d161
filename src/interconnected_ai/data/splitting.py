"""Holding out rows: by a hash of each text, so that none changes sides when others come or go, and every class is learnt."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.labels import skeleton
from interconnected_ai.data.rows import Rows
from interconnected_ai.errors import DataError
from interconnected_ai.text import digest_of, folded

Class = tuple[str, str]  # branch and label
_MOST_NAMED = 50

_BITS = 53  # of a hash: those that a float in [0, 1) holds exactly


@checked
def split_rows(rows: Rows, fractions: Sequence[float], seed: int, *, recorded: np.ndarray | None = None) -> list[Rows]:
    """Hold out rows: one `Rows` per fraction and the remainder last, every class in about the same share.

    A text's side follows from itself and the seed: the same text (case and spacing aside) is never on two sides, and a
    text stays where it is when others are added, removed or reordered. Two exceptions, for small data: a class that would
    have nothing to learn from keeps one text, and a branch that would have nothing on a side gives one there when it can.
    recorded: (num_rows,) the side of rows that were dealt out before, -1 for new ones; it is kept, without exceptions.
    Raises `DataError` naming all classes with one distinct text.
    """
    learnt = len(fractions)
    keys = [folded(text) for text in rows.texts]
    places = {text: _place(text, seed) for text in keys}
    side_of = {text: _side_at(place, fractions) for text, place in places.items()}
    if recorded is None:
        texts_of = texts_by_class(rows, keys)
        _keep_every_class(side_of, places, texts_of, learnt)
        _fill_empty_sides(side_of, places, texts_of, fractions)
    else:
        side_of.update((text, int(side)) for text, side in zip(keys, recorded, strict=True) if side >= 0)
    sides = [side_of[text] for text in keys]
    return [rows.select(row for row, at in enumerate(sides) if at == side) for side in range(learnt + 1)]


def _place(text: str, seed: int) -> float:
    """Where a text falls in [0, 1): evenly, and elsewhere for every seed."""
    return float((digest_of(text, seed.to_bytes(8, "little")) >> (64 - _BITS)) / (1 << _BITS))


def _side_at(place: float, fractions: Sequence[float]) -> int:
    """The first sides take from the beginning of [0, 1), and the last of them from its end.

    So what one side holds does not depend on the other's share: with a file of its own for one of them, the other stays.
    """
    *first, last = fractions
    if place >= 1 - last:
        return len(first)
    for side, end in enumerate(np.cumsum(first)):
        if place < end:
            return side
    return len(fractions)


def _keep_every_class(
    side_of: dict[str, int], places: dict[str, float], texts_of: dict[Class, list[str]], learnt: int
) -> None:
    """Let every class learn from one text at least: of its own the one nearest to the middle."""
    for each in sorted(texts_of):
        if all(side_of[text] != learnt for text in texts_of[each]):
            side_of[min(texts_of[each], key=lambda text: abs(places[text] - 0.5))] = learnt


def _fill_empty_sides(
    side_of: dict[str, int],
    places: dict[str, float],
    texts_of: dict[Class, list[str]],
    fractions: Sequence[float],
) -> None:
    """Let every branch have one text at least on each side that holds a share, where no class is left with none to learn."""
    learnt = len(fractions)
    classes_of: dict[str, list[Class]] = defaultdict(list)
    of_branch: dict[str, dict[str, None]] = defaultdict(dict)
    for name, label in sorted(texts_of):
        for text in texts_of[name, label]:
            classes_of[text].append((name, label))
            of_branch[name][text] = None
    num_learnt = {each: sum(side_of[text] == learnt for text in texts) for each, texts in texts_of.items()}
    for of_this in of_branch.values():
        for side, fraction in enumerate(fractions):
            if fraction == 0 or any(side_of[text] == side for text in of_this):
                continue
            spare = [t for t in of_this if side_of[t] == learnt and all(num_learnt[c] > 1 for c in classes_of[t])]
            if spare:
                nearest = (min if side < learnt - 1 else max)(spare, key=lambda text: places[text])
                side_of[nearest] = side
                for each in classes_of[nearest]:
                    num_learnt[each] -= 1


def texts_by_class(rows: Rows, keys: Sequence[str]) -> dict[Class, list[str]]:
    """The distinct texts of each class."""
    texts_of: dict[Class, dict[str, None]] = defaultdict(dict)
    for text, classes in zip(keys, rows.by_row(), strict=True):
        for each in classes:
            texts_of[each][text] = None
    if single := [one for one, texts in texts_of.items() if len(texts) < 2]:
        raise DataError(_too_small(single) + _alike(single, texts_of))
    return {each: list(texts) for each, texts in texts_of.items()}


def _too_small(classes: Sequence[Class]) -> str:
    """The error that names all classes of one text, so that they can be mended at once."""
    named: dict[str, list[str]] = defaultdict(list)
    for branch, label in classes[:_MOST_NAMED]:
        named[branch].append(repr(label if len(label) <= 60 else f"{label[:60]}…"))
    more = f" and {len(classes) - _MOST_NAMED} more" if len(classes) > _MOST_NAMED else ""
    told = "; ".join(
        f"{'class' if len(labels) == 1 else 'classes'} {', '.join(labels)} of branch {branch!r}"
        for branch, labels in named.items()
    )
    has = " has" if len(classes) == 1 else ": each has"
    return (
        f"{told}{more}{has} one distinct text; it needs at least two, one to learn from and one to measure on. "
        "Add rows, merge it with another class, or remove it"
    )


def _alike(single: Sequence[Class], classes: Iterable[Class]) -> str:
    """Where a class of one text looks like another class: the first such pair."""
    groups: dict[Class, list[str]] = defaultdict(list)
    for branch, label in classes:
        groups[branch, skeleton(label)].append(label)
    for branch, label in single:
        others = [other for other in groups[branch, skeleton(label)] if other != label]
        if others:
            return f". {label!r} looks like {others[0]!r}: if they are one class, spell it one way"
    return ""
