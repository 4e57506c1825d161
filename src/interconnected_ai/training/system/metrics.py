"""How good the answers are: accuracy, macro-F1, calibration, and telling one's own text from others'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.data import Rows
from interconnected_ai.nn import macro_f1
from interconnected_ai.training.system.answers import RowAnswers, answer_rows
from interconnected_ai.training.system.unseen import unseen_rows

_LEAST = 1e-12  # a probability that rounds to zero counts as this


@dataclass(frozen=True)
class BranchMetrics:
    """One branch on labelled rows: shares of 1. `answered` is the share of rows above the branch's threshold.

    loss: mean −log of the right class's probability, in nats; ln(num_classes) is guessing.
    """

    num_rows: int
    accuracy: float
    macro_f1: float
    loss: float
    calibration_error: float
    answered: float


@checked
def evaluate(
    system: InterconnectedAISystem,
    rows: Rows,
    *,
    include_learnt: bool = False,
    encode: Callable[[Sequence[str]], Tensor] | None = None,
) -> dict[str, BranchMetrics]:
    """Every branch that `rows` has labels for, measured. One trunk pass over the texts serves them all.

    Rows that a branch has trained, stopped or calibrated on are left out (the log says how many) unless include_learnt.
    encode: texts to pooled vectors (num_texts, d_model) of the system as it is; None is `system.encode`.
    Raises `UnknownNameError` for a branch or a label that the system does not have, `DataError` when all rows were learnt.
    """
    if not include_learnt:
        rows = unseen_rows(rows, system)
    return {name: metrics_of(found) for name, found in answer_rows(system, rows, encode=encode).items()}


@checked
def metrics_of(found: RowAnswers) -> BranchMetrics:
    """The metrics of a branch that has answered."""
    return branch_metrics(found.table, found.targets, threshold=found.card.threshold, familiarity=found.familiarity)


@checked
def branch_metrics(
    table: Tensor, targets: Tensor, *, threshold: float = 0.0, familiarity: Tensor | None = None
) -> BranchMetrics:
    """table: (num_rows, num_classes) probabilities; targets: (num_rows,); familiarity: (num_rows,), None is 1 throughout."""
    confidence, predicted = table.max(dim=-1)
    correct = predicted == targets
    scores = confidence if familiarity is None else confidence * familiarity
    return BranchMetrics(
        num_rows=len(targets),
        accuracy=correct.double().mean().item(),
        macro_f1=macro_f1(predicted, targets),
        loss=-table.gather(-1, targets[:, None]).double().clamp(min=_LEAST).log().mean().item(),
        calibration_error=expected_calibration_error(confidence, correct),
        answered=(scores >= threshold).double().mean().item(),
    )


@checked
def expected_calibration_error(confidence: Tensor, correct: Tensor, *, num_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal-width bins (Naeini et al. 2015; Guo et al. 2017)."""
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    total = 0.0
    for index in bins.unique():
        inside = bins == index
        gap = confidence[inside].double().mean() - correct[inside].double().mean()
        total += inside.double().mean().item() * abs(gap.item())
    return total


@checked
def auroc(inside: Tensor, outside: Tensor) -> float:
    """Chance that a random inside score is above a random outside score (ties count half): Mann-Whitney's U."""
    scores = torch.cat([inside, outside]).double().numpy()
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = len(inside), len(outside)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
