"""What a run's model answers to the run's test rows: metrics, confusion, and confidence against accuracy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from interconnected_ai.branches import BranchCard, InterconnectedAISystem, class_indices, probabilities
from interconnected_ai.data import Rows
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.report.missing import Missing
from interconnected_ai.training import BranchMetrics, branch_metrics, expected_calibration_error

NUM_BINS = 15  # those of the calibration error


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers of one interval of confidence: their means, as shares of 1."""

    confidence: float
    accuracy: float
    num_rows: int


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy over equal-width bins (Guo et al. 2017); empty bins are left out."""

    bins: tuple[ReliabilityBin, ...]
    calibration_error: float


@dataclass(frozen=True)
class ConfusedPair:
    """Rows of one class that were answered with another. share: of the class's rows."""

    label: str
    answer: str
    num_rows: int
    share: float


@dataclass(frozen=True, eq=False)
class BranchAnswers:
    """What one branch answered to the run's test rows.

    confusion: (num_classes, num_classes) rows by true class and answer. before, after: at temperature 1 and at the
    branch's own; metrics are at its own.
    """

    card: BranchCard
    metrics: BranchMetrics
    confusion: np.ndarray
    before: Reliability
    after: Reliability

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.card.name

    def confused_pairs(self, most: int = 10) -> tuple[ConfusedPair, ...]:
        """The pairs of classes with the most wrong answers, the largest first (ties: in the order of the labels)."""
        labels, of_class = self.card.spec.labels, self.confusion.sum(axis=1)
        wrong = [
            (int(self.confusion[true, answer]), int(true), int(answer))
            for true, answer in np.argwhere(self.confusion)
            if true != answer
        ]
        wrong.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        return tuple(
            ConfusedPair(labels[true], labels[answer], count, count / int(of_class[true]))
            for count, true, answer in wrong[:most]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; shares of 1."""
        return {
            **asdict(self.metrics),
            "num_classes": self.card.spec.num_classes,
            "calibration_error_before": self.before.calibration_error,
            "temperature": self.card.temperature,
            "threshold": self.card.threshold,
            "confused": [asdict(pair) for pair in self.confused_pairs()],
        }


def answer(system: InterconnectedAISystem, test: Rows, missing: list[Missing]) -> list[BranchAnswers]:
    """Every branch that has test rows; what hinders another one goes to `missing`."""
    labelled = [name for name in test.branch_names if test.of(name)[0]]
    if unlabelled := [name for name in system.cards if name not in labelled]:
        missing.append(Missing("no_branch_rows", ", ".join(unlabelled)))
    if removed := [name for name in labelled if name not in system.cards]:
        missing.append(Missing("removed_branch", ", ".join(removed)))
    features = system.features_of(test.texts)
    answers = []
    for name, card in system.cards.items():
        if name not in labelled:
            continue
        try:
            targets = class_indices(card, test.of(name)[1])
        except UnknownNameError as error:
            missing.append(Missing("unreadable_branch", str(error)))
            continue
        mine = features[test.rows_of(name)]
        logits, near = system.logits_of(mine, [name])[name].cpu(), system.branch(name).familiarity(mine).cpu()
        answers.append(_branch_answers(card, logits, near, targets))
    return answers


def _branch_answers(card: BranchCard, logits: Tensor, familiarity: Tensor, targets: Tensor) -> BranchAnswers:
    """logits: (num_rows, num_classes); familiarity, targets: (num_rows,)."""
    table = probabilities(logits, card)
    num_classes = card.spec.num_classes
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (targets.numpy(), table.argmax(dim=-1).numpy()), 1)
    return BranchAnswers(
        card=card,
        metrics=branch_metrics(table, targets, threshold=card.threshold, familiarity=familiarity),
        confusion=confusion,
        before=reliability(probabilities(logits, card.with_changes(temperature=1.0)), targets),
        after=reliability(table, targets),
    )


def reliability(table: Tensor, targets: Tensor) -> Reliability:
    """table: (num_rows, num_classes) probabilities; targets: (num_rows,) class numbers."""
    confidence, predicted = table.max(dim=-1)
    correct = predicted == targets
    bin_of = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    bins = []
    for index in bin_of.unique():
        inside = bin_of == index
        means = confidence[inside].double().mean().item(), correct[inside].double().mean().item()
        bins.append(ReliabilityBin(*means, num_rows=int(inside.sum())))
    return Reliability(tuple(bins), expected_calibration_error(confidence, correct, num_bins=NUM_BINS))
