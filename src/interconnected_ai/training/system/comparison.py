"""Is run B better than run A? Paired tests on the same rows: McNemar's exact test and a bootstrap interval."""

import math
from dataclasses import dataclass

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem, class_indices
from interconnected_ai.data import Rows
from interconnected_ai.errors import DataError
from interconnected_ai.training.system.unseen import unseen_rows


@dataclass(frozen=True)
class Comparison:
    """One branch of two systems on the same rows.

    difference: accuracy of B minus accuracy of A; interval: its 95 % bootstrap interval; p_value: McNemar's exact,
    two-sided; only_a, only_b: rows that one of them alone got right.
    """

    branch: str
    num_rows: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]
    p_value: float
    only_a: int
    only_b: int

    @property
    def verdict(self) -> str:
        """In words: which is better at the 5 % level, or that the rows cannot tell."""
        if self.p_value >= 0.05:
            return "no difference that these rows can show"
        return "B is better" if self.difference > 0 else "A is better"


@checked
def compare_systems(
    a: InterconnectedAISystem, b: InterconnectedAISystem, rows: Rows, *, seed: int = 0, include_learnt: bool = False
) -> list[Comparison]:
    """Every branch that both systems and the rows have, on rows that neither has learnt (all, with include_learnt).

    Raises `DataError` when there is none.
    """
    if not include_learnt:
        rows = unseen_rows(rows, a, b)
    names = [n for n in rows.branch_names if n in a.cards and n in b.cards and rows.of(n)[0]]
    if not names:
        raise DataError(
            f"nothing to compare: the data has the branches {rows.branch_names}, A {a.branch_names}, B {b.branch_names}"
        )
    return [compare_answers(name, _correct(a, name, rows), _correct(b, name, rows), seed=seed) for name in names]


@checked
def compare_answers(
    branch: str, correct_a: np.ndarray, correct_b: np.ndarray, *, seed: int = 0, resamples: int = 10_000
) -> Comparison:
    """correct_a, correct_b: (num_rows,) whether each got a row right."""
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    gain = correct_b.astype(np.int64) - correct_a.astype(np.int64)
    random = np.random.default_rng(seed)
    # A resample of n paired rows is a multinomial draw of wins, losses and ties: no need to draw the rows themselves.
    shares = np.array([only_a, only_b, len(gain) - only_a - only_b]) / len(gain)
    draws = random.multinomial(len(gain), shares, size=resamples)
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / len(gain), [0.025, 0.975])
    return Comparison(
        branch=branch,
        num_rows=len(gain),
        accuracy_a=float(correct_a.mean()),
        accuracy_b=float(correct_b.mean()),
        difference=float(gain.mean()),
        interval=(float(low), float(high)),
        p_value=mcnemar(only_a, only_b),
        only_a=only_a,
        only_b=only_b,
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test: 2 · P(X ≤ min) for X ~ Binomial(only_a + only_b, ½), at most 1."""
    n, few = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, i) for i in range(few + 1))
    return float(min(1.0, 2 * tail / 2**n))


def _correct(system: InterconnectedAISystem, name: str, rows: Rows) -> np.ndarray:
    texts, labels = rows.of(name)
    logits = system.logits_of(system.features_of(texts), [name])[name].cpu()
    return (logits.argmax(dim=-1) == class_indices(system.cards[name], labels)).numpy()
