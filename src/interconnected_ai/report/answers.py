"""What a run's model answers to the run's test rows: metrics, single classes, the worst answers, confidence, and refusals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from interconnected_ai.branches import BranchCard, InterconnectedAISystem, TextFeatures, class_indices, probabilities
from interconnected_ai.data import Rows
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.report.missing import Missing
from interconnected_ai.training import (
    FOREIGN_TEXTS,
    BranchMetrics,
    RowAnswers,
    expected_calibration_error,
    likely_mislabelled,
    metrics_of,
)

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


@dataclass(frozen=True)
class ClassResult:
    """One class on the test rows, shares of 1. precision is None for a class that was never answered, recall and f1 for one
    without rows. confused_with: the class that its rows were most often answered with instead, and how many, or None.
    """

    label: str
    num_rows: int
    precision: float | None
    recall: float | None
    f1: float | None
    confused_with: tuple[str, int] | None


@dataclass(frozen=True)
class WrongAnswer:
    """A test row that was answered otherwise than labelled. given: the probability of its own label; doubtful: the answer is
    so sure that the label is the likelier mistake.
    """

    text: str
    label: str
    answer: str
    confidence: float
    given: float
    doubtful: bool


@dataclass(frozen=True, eq=False)
class Scope:
    """What the branch would refuse at each threshold: confidence × familiarity of its own rows and of text that is none of
    its business, sorted, from 0 to 1. others: test rows of other branches; strange: `FOREIGN_TEXTS`.
    """

    own: np.ndarray
    others: np.ndarray
    strange: np.ndarray
    threshold: float

    def refused(self, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """(num_thresholds,) the share of these sorted scores below each threshold."""
        return np.searchsorted(scores, thresholds, side="left") / max(1, len(scores))

    def to_dict(self) -> dict[str, float | None]:
        """The shares that are refused at the branch's own threshold; None where there are no such texts."""
        at = np.array([self.threshold])
        parts = {"own": self.own, "others": self.others, "strange": self.strange}
        return {name: float(self.refused(part, at)[0]) if len(part) else None for name, part in parts.items()}


@dataclass(frozen=True, eq=False)
class BranchAnswers:
    """What one branch answered to the run's test rows.

    confusion: (num_classes, num_classes) rows by true class and answer. before, after: at temperature 1 and at the
    branch's own; metrics are at its own. wrong: every wrong answer, the surest first.
    """

    card: BranchCard
    metrics: BranchMetrics
    confusion: np.ndarray
    before: Reliability
    after: Reliability
    wrong: tuple[WrongAnswer, ...]
    scope: Scope

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

    @property
    def classes(self) -> tuple[ClassResult, ...]:
        """Every class, the worst first by F1; those without rows last."""
        found = [self._class(number) for number in range(self.card.spec.num_classes)]
        return tuple(sorted(found, key=lambda c: (c.f1 is None, c.f1 or 0.0)))

    def _class(self, number: int) -> ClassResult:
        right, rows = int(self.confusion[number, number]), int(self.confusion[number].sum())
        answered = int(self.confusion[:, number].sum())
        instead = self.confusion[number].copy()
        instead[number] = 0
        most, labels = int(instead.argmax()), self.card.spec.labels
        return ClassResult(
            label=labels[number],
            num_rows=rows,
            precision=right / answered if answered else None,
            recall=right / rows if rows else None,
            f1=2 * right / (rows + answered) if rows else None,
            confused_with=(labels[most], int(instead[most])) if instead[most] else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; shares of 1. No text of the data's is among them."""
        return {
            **asdict(self.metrics),
            "num_classes": self.card.spec.num_classes,
            "calibration_error_before": self.before.calibration_error,
            "temperature": self.card.temperature,
            "threshold": self.card.threshold,
            "confused": [asdict(pair) for pair in self.confused_pairs()],
            "classes": [asdict(found) for found in self.classes],
            "doubtful_labels": sum(wrong.doubtful for wrong in self.wrong),
            "refused": self.scope.to_dict(),
        }


def answer(system: InterconnectedAISystem, test: Rows, missing: list[Missing]) -> list[BranchAnswers]:
    """Every branch that has test rows; what hinders another one goes to `missing`."""
    labelled = [name for name in test.branch_names if test.of(name)[0]]
    if unlabelled := [name for name in system.cards if name not in labelled]:
        missing.append(Missing("no_branch_rows", ", ".join(unlabelled)))
    if removed := [name for name in labelled if name not in system.cards]:
        missing.append(Missing("removed_branch", ", ".join(removed)))
    features, strange = system.features_of(test.texts), system.features_of(FOREIGN_TEXTS)
    answers = []
    for name, card in system.cards.items():
        if name not in labelled:
            continue
        try:
            targets = class_indices(card, test.of(name)[1])
        except UnknownNameError as error:
            missing.append(Missing("unreadable_branch", str(error)))
            continue
        rows = test.rows_of(name)
        own_texts = {test.texts[row] for row in rows}
        others = [row for row in range(len(test)) if test.texts[row] not in own_texts]
        logits, near = _heard(system, name, features[rows])
        scope = Scope(
            own=_scores(card, logits, near),
            others=_scores(card, *_heard(system, name, features[others])),
            strange=_scores(card, *_heard(system, name, strange)),
            threshold=card.threshold,
        )
        answers.append(_branch_answers(RowAnswers(card, logits, near, targets), test.of(name)[0], scope))
    return answers


def _heard(system: InterconnectedAISystem, name: str, features: TextFeatures) -> tuple[Tensor, Tensor]:
    """(num_texts, num_classes) logits and (num_texts,) familiarity."""
    return system.logits_of(features, [name])[name].cpu(), system.branch(name).familiarity(features).cpu()


def _scores(card: BranchCard, logits: Tensor, familiarity: Tensor) -> np.ndarray:
    """(num_texts,) what the branch's threshold is compared with, in ascending order."""
    return np.sort((probabilities(logits, card).amax(dim=-1) * familiarity).double().numpy())


def _branch_answers(found: RowAnswers, texts: Sequence[str], scope: Scope) -> BranchAnswers:
    table, targets, num_classes = found.table, found.targets, found.card.spec.num_classes
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (targets.numpy(), table.argmax(dim=-1).numpy()), 1)
    return BranchAnswers(
        card=found.card,
        metrics=metrics_of(found),
        confusion=confusion,
        before=reliability(probabilities(found.logits, found.card.with_changes(temperature=1.0)), targets),
        after=reliability(table, targets),
        wrong=_wrong_answers(found, texts),
        scope=scope,
    )


def _wrong_answers(found: RowAnswers, texts: Sequence[str]) -> tuple[WrongAnswer, ...]:
    """The surest first; of equally sure ones the one whose own label is the less likely."""
    confidence, chosen = found.table.max(dim=-1)
    given, labels = found.table.gather(-1, found.targets[:, None])[:, 0], found.card.spec.labels
    doubtful = likely_mislabelled(confidence, given, chosen == found.targets).tolist()
    wrong = [
        WrongAnswer(texts[row], labels[target], labels[answer], sure, own, doubtful[row])
        for row, (target, answer, sure, own) in enumerate(
            zip(found.targets.tolist(), chosen.tolist(), confidence.tolist(), given.tolist(), strict=True)
        )
        if target != answer
    ]
    return tuple(sorted(wrong, key=lambda row: (-row.confidence, row.given)))


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
