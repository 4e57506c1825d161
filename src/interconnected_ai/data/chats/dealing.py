"""Holding out examples: by a hash of what is asked, so that no question is learnt from and measured on at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.chats.examples import ChatExample, PreferencePair
from interconnected_ai.data.corpus import SIDES, TEST, TRAIN, VALIDATION
from interconnected_ai.data.record import RowRecord
from interconnected_ai.errors import DataError
from interconnected_ai.text import digest_of, digests_of, exact_digest_of

Example = TypeVar("Example", bound=ChatExample | PreferencePair)
_FEW = 2  # examples that can be told apart: one to learn from, one to measure on


@dataclass(frozen=True, eq=False)
class DealtOut(Generic[Example]):
    """Examples by side, in their order, and the record of which stood where. Threads may share it."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    record: RowRecord


@checked
def dealt_out(
    examples: Sequence[Example],
    *,
    validation: Sequence[Example] = (),
    test: Sequence[Example] = (),
    validation_fraction: float = 0.05,
    test_fraction: float = 0.0,
    seed: int = 0,
    recorded: RowRecord | None = None,
) -> DealtOut[Example]:
    """The sides of examples, which follow from what is asked (case, spacing and system prompt aside) and the seed.

    So the same question is on one side only, and an example stays where it is when others come or go; only where a side
    would stay empty it gets the question nearest to it. validation, test: examples of files of their own, for which no
    fraction is held out; what they ask is not learnt, and leaves the training examples. recorded: sides of before, which
    win. Raises `DataError` where nothing is left to learn from, or nothing to measure on though a fraction was asked for.
    """
    fractions = (0.0 if validation else validation_fraction, 0.0 if test else test_fraction)
    questions = [example.question for example in examples]
    sides = _sides(questions, fractions, seed)
    if recorded is not None:
        known = recorded.sides_of(questions, (), (TRAIN, VALIDATION, TEST))
        sides = np.where(known >= 0, known, sides)
    apart = {digest_of(example.question) for example in (*validation, *test)}
    kept: list[list[Example]] = [
        [example for example, at in zip(examples, sides.tolist(), strict=True) if at == side]
        for side in range(len(SIDES))
    ]
    train = tuple(example for example in kept[TRAIN] if digest_of(example.question) not in apart)
    if not train:
        raise DataError(
            f"{len(examples)} examples leave none to learn from: what they ask is asked in the held-out ones too; give "
            "others, or hold out a smaller fraction"
        )
    by_side = (train, (*kept[VALIDATION], *validation), (*kept[TEST], *test))
    return DealtOut(*by_side, _record(by_side, fractions, seed))


def _sides(questions: Sequence[str], fractions: tuple[float, float], seed: int) -> np.ndarray:
    """(num_questions,) the side of each, by its place in [0, 1): validation from the beginning, test from the end."""
    key = seed.to_bytes(8, "little")
    places = digests_of(questions, key).astype(np.float64) / 2.0**64
    sides = np.full(len(places), TRAIN)
    sides[places < fractions[0]] = VALIDATION
    sides[places >= 1 - fractions[1]] = TEST
    for side, fraction, nearest in ((VALIDATION, fractions[0], 0.0), (TEST, fractions[1], 1.0)):
        if fraction > 0 and not (sides == side).any():
            _fill(sides, places, side, nearest)
    return sides


def _fill(sides: np.ndarray, places: np.ndarray, side: int, nearest: float) -> None:
    """Give an empty side the question nearest to it, where another is left to learn from."""
    learnt = np.unique(places[sides == TRAIN])
    if len(learnt) < _FEW:
        raise DataError(
            f"{len(places)} examples ask {len(learnt)} different questions, too few to hold out {SIDES[side]} examples; "
            f"give more, a file of their own for it, or {SIDES[side]}_fraction 0"
        )
    sides[places == learnt[np.argmin(abs(learnt - nearest))]] = side


def _record(by_side: Sequence[Sequence[Example]], fractions: tuple[float, float], seed: int) -> RowRecord:
    together = [example for examples in by_side for example in examples]
    return RowRecord(
        labels={},
        texts=digests_of(example.question for example in together),
        rows=np.array([exact_digest_of(example.text) for example in together], dtype=np.uint64),
        sides=np.repeat(np.arange(len(by_side), dtype=np.uint8), [len(examples) for examples in by_side]),
        homes=np.full(len(together), -1, dtype=np.int16),
        split={"validation": fractions[0], "test": fractions[1], "seed": seed},
    )
