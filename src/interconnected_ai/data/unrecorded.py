"""The split of runs that kept no record of their rows: by shuffling, so that it is the same for the same rows only."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from interconnected_ai.data.rows import Rows
from interconnected_ai.data.splitting import Class, texts_by_class
from interconnected_ai.text import folded


def shuffled_rows(rows: Rows, fractions: Sequence[float], seed: int) -> list[Rows]:
    """One `Rows` per fraction and the remainder last, as such runs dealt them out. New runs take `split_rows`."""
    random = np.random.default_rng(seed)
    keys = [folded(text) for text in rows.texts]
    texts_of, at_home = texts_by_class(rows, keys), _texts_at_home(rows, keys)
    side_of: dict[str, int] = {}
    for home in sorted(at_home, key=str):
        texts = at_home[home]
        random.shuffle(texts)
        side_of.update(zip(texts, _sides(len(texts), fractions), strict=True))
    learnt = len(fractions)
    for with_label in texts_of.values():
        # where rows have several labels, the split by the first may leave another unlearnt
        if all(side_of[text] != learnt for text in with_label):
            side_of[with_label[0]] = learnt
    sides = [side_of[text] for text in keys]
    return [rows.select(row for row, at in enumerate(sides) if at == side) for side in range(learnt + 1)]


def _texts_at_home(rows: Rows, keys: Sequence[str]) -> dict[Class | None, list[str]]:
    """The distinct texts by the first class that a row gives them."""
    home_of: dict[str, Class | None] = {}
    for text, classes in zip(keys, rows.by_row(), strict=True):
        if home_of.get(text) is None:
            home_of[text] = classes[0] if classes else None
    at_home: dict[Class | None, list[str]] = defaultdict(list)
    for text, home in home_of.items():
        at_home[home].append(text)
    return at_home


def _sides(count: int, fractions: Sequence[float]) -> list[int]:
    """For `count` texts of one class, the side each goes to: at least one to learn from, then one held out per side."""
    out: list[int] = []
    for side, fraction in enumerate(fractions):
        wanted = max(1, round(fraction * count)) if fraction > 0 else 0
        out += [side] * min(wanted, count - 1 - len(out))
    return out + [len(fractions)] * (count - len(out))
