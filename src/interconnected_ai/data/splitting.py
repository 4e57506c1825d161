"""Holding out rows: stratified, no text on two sides, and every class with something to learn from."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from interconnected_ai.data.rows import Rows
from interconnected_ai.errors import DataError

Class = tuple[str, str]  # branch and label
_MOST_NAMED = 50


def split_rows(rows: Rows, fractions: Sequence[float], seed: int) -> list[Rows]:
    """Hold out rows: one `Rows` per fraction and the remainder last, stratified by branch and class.

    Rows with the same text (case and spacing aside) go to the same side, so no text is both learnt and measured. Every
    class keeps at least one row to learn from; raises `DataError` naming all classes with one distinct text.
    """
    random = np.random.default_rng(seed)
    texts_of, texts_at_home = _texts_by_class(rows)
    side_of: dict[str, int] = {}
    for home in sorted(texts_at_home, key=str):
        texts = texts_at_home[home]
        random.shuffle(texts)
        side_of.update(zip(texts, _sides(len(texts), fractions), strict=True))
    learnt = len(fractions)
    for with_label in texts_of.values():
        # where rows have several labels, the split by the first may leave another unlearnt
        if all(side_of[text] != learnt for text in with_label):
            side_of[next(iter(with_label))] = learnt
    sides = [side_of[folded(text)] for text in rows.texts]
    return [rows.select(row for row, at in enumerate(sides) if at == side) for side in range(learnt + 1)]


def folded(text: str) -> str:
    """The same for texts that differ in case and spacing alone."""
    return " ".join(text.casefold().split())


def _texts_by_class(rows: Rows) -> tuple[dict[Class, dict[str, None]], dict[Class | None, list[str]]]:
    """The distinct texts of each class, and those of which it is the first class that a row gives them."""
    texts_of: dict[Class, dict[str, None]] = defaultdict(dict)
    home_of: dict[str, Class | None] = {}
    for text, classes in zip(map(folded, rows.texts), rows.by_row(), strict=True):
        for each in classes:
            texts_of[each][text] = None
        if home_of.get(text) is None:
            home_of[text] = classes[0] if classes else None
    if single := [one for one, texts in texts_of.items() if len(texts) < 2]:
        raise DataError(_too_small(single))
    at_home: dict[Class | None, list[str]] = defaultdict(list)
    for text, home in home_of.items():
        at_home[home].append(text)
    return texts_of, at_home


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


def _sides(count: int, fractions: Sequence[float]) -> list[int]:
    """For `count` texts of one class, the side each goes to: at least one to learn from, then one held out per side."""
    out: list[int] = []
    for side, fraction in enumerate(fractions):
        wanted = max(1, round(fraction * count)) if fraction > 0 else 0
        out += [side] * min(wanted, count - 1 - len(out))
    return out + [len(fractions)] * (count - len(out))
