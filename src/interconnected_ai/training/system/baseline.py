"""What every run has to beat: counted words and a linear classifier of them (scikit-learn), learnt from the run's own rows."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from interconnected_ai.arguments import checked
from interconnected_ai.data import Rows
from interconnected_ai.extras import require
from interconnected_ai.nn import macro_f1

BASELINE = "TF-IDF + linear"
_STRENGTH = 0.5  # C of the linear SVM
_MOST_LEARNT = 100_000  # rows of a branch; more would take minutes and gigabytes


@dataclass(frozen=True)
class Baseline:
    """One branch's baseline on its test rows, shares of 1. num_rows: of the test; num_learnt: of those it learnt from."""

    name: str
    accuracy: float
    macro_f1: float
    num_rows: int
    seconds: float
    num_learnt: int | None = None


@checked
def measure_baselines(learnt: Rows, test: Rows) -> dict[str, Baseline]:
    """The baseline of every branch that has rows on both sides.

    learnt: what the run learnt from, validation rows among it, since nothing here is stopped or chosen by them; of more than
    100,000 rows of a branch as many, drawn by chance. Draws nothing from the global random states. Any number of threads may
    measure at once. Raises `MissingExtraError` without scikit-learn.
    """
    require("sklearn", "training", "the baseline beside a run's figures")
    both = [name for name in test.branch_names if name in learnt.labels and learnt.rows_of(name) and test.rows_of(name)]
    return {name: _measure(learnt, test, name) for name in both}


@dataclass(frozen=True, eq=False)
class WordCounts:
    """Words (1, 2) and characters within words (2 to 4), TF-IDF, linear SVM with C = 0.5. Never changed: threads may share it.

    counters: fitted vectorisers; classifier: a fitted `LinearSVC`, None where there is nothing to choose from: one class, or
    rows without any term. commonest: the class of most rows, which is the answer then.
    """

    counters: tuple[Any, ...]
    classifier: Any
    commonest: str

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[str]) -> Self:
        """Learn rows; there must be one at least. Raises `MissingExtraError` without scikit-learn."""
        require("sklearn", "training", "the TF-IDF baseline")
        classes, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
        commonest = str(classes[counts.argmax()])
        counters, table = _counted(texts) if len(classes) > 1 else ((), None)
        return cls(counters, None if table is None else _linear_svm(table, labels), commonest)

    def ranked(self, texts: Sequence[str], most: int = 1) -> list[list[str]]:
        """For each text its likeliest labels, best first, `most` of them or as many as there are."""
        if self.classifier is None or not texts:
            return [[self.commonest] for _ in texts]
        scores = np.asarray(self.classifier.decision_function(_side_by_side(self.counters, texts)))
        if scores.ndim == 1:  # two classes have one column: for the second
            scores = np.stack([-scores, scores], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        return [[str(label) for label in row] for row in np.asarray(self.classifier.classes_)[best]]


def _measure(learnt: Rows, test: Rows, name: str) -> Baseline:
    started = time.perf_counter()
    texts, labels = learnt.of(name)
    if len(texts) > _MOST_LEARNT:
        some = np.random.default_rng(0).permutation(len(texts))[:_MOST_LEARNT].tolist()
        texts, labels = [texts[row] for row in some], [labels[row] for row in some]
    asked, answers = test.of(name)
    found = [first for first, *_ in WordCounts.fit(texts, labels).ranked(asked)]
    number = {label: place for place, label in enumerate(sorted({*answers, *found}))}
    predicted, targets = (torch.tensor([number[label] for label in each]) for each in (found, answers))
    return Baseline(
        name=BASELINE,
        accuracy=(predicted == targets).double().mean().item(),
        macro_f1=macro_f1(predicted, targets),
        num_rows=len(answers),
        seconds=time.perf_counter() - started,
        num_learnt=len(texts),
    )


def _counted(texts: Sequence[str]) -> tuple[tuple[Any, ...], Any]:
    """The counters that find a term in these texts, fitted, and their table; () and None where none does."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    counters, tables = [], []
    for counter in (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    ):
        try:
            tables.append(counter.fit_transform(texts))
        except ValueError as error:
            if "empty vocabulary" not in str(error):
                raise
        else:
            counters.append(counter)
    return tuple(counters), hstack(tables, format="csr") if tables else None


def _side_by_side(counters: Sequence[Any], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([counter.transform(texts) for counter in counters], format="csr")


def _linear_svm(table: Any, labels: Sequence[str]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a solution that is nearly the best is a baseline too
        return LinearSVC(C=_STRENGTH, random_state=0).fit(table, labels)
