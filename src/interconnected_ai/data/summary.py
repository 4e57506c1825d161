"""What was read, in figures: rows, classes, copies, lengths and alphabets of every branch."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.rows import Splits
from interconnected_ai.text import folded


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


@checked
def report_on(splits: Splits) -> list[BranchReport]:
    """What was read, branch by branch: `leaked` counts held-out rows whose text is also learnt from."""
    return [_report_branch(splits, name) for name in splits.train.branch_names]


def _report_branch(splits: Splits, name: str) -> BranchReport:
    texts, labels = splits.train.of(name)
    held_out = [text for part in (splits.validation, splits.test) if name in part.labels for text in part.of(name)[0]]
    learnt = {folded(text) for text in texts}
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
        leaked=sum(folded(text) in learnt for text in held_out),
        length_median=int(np.median(lengths)),
        length_p95=int(np.percentile(lengths, 95)),
        languages={alphabet: count / len(texts) for alphabet, count in alphabets.most_common()},
    )


def _alphabet(text: str) -> str:
    cyrillic = sum("\u0400" <= c <= "\u04ff" for c in text)
    latin = sum(c.isascii() and c.isalpha() for c in text)
    letters = sum(c.isalpha() for c in text)
    if letters == 0:
        return "none"
    return "cyrillic" if cyrillic * 2 > letters else "latin" if latin * 2 > letters else "other"
