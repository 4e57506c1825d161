"""Figures against scikit-learn and against sums done by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.training import auroc, branch_metrics, expected_calibration_error, macro_f1
from properties import examples

sklearn_metrics = pytest.importorskip("sklearn.metrics")

few = examples(50)
answers = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)
scores = st.lists(st.integers(0, 10) | st.floats(0, 1), min_size=1, max_size=30)


@few
@given(answers)
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, targets = torch.tensor(pairs).t()
    assert macro_f1(predicted, targets) == pytest.approx(sklearn_metrics.f1_score(targets, predicted, average="macro"))


@few
@given(scores, scores)
def test_auroc_is_that_of_scikit_learn_ties_included(inside: list[float], outside: list[float]) -> None:
    labels = [1] * len(inside) + [0] * len(outside)
    expected = sklearn_metrics.roc_auc_score(labels, np.array([*inside, *outside], dtype=np.float64))
    ours = auroc(torch.tensor(inside, dtype=torch.float64), torch.tensor(outside, dtype=torch.float64))
    assert ours == pytest.approx(expected)


def test_auroc_of_separated_scores_is_one_and_of_equal_ones_a_half() -> None:
    low, high = torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9, 1.0])
    assert auroc(high, low) == 1.0
    assert auroc(low, high) == 0.0
    assert auroc(torch.ones(3), torch.ones(5)) == 0.5


def test_calibration_error_by_hand() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.75, 0.75])
    correct = torch.tensor([True, False, True, True])
    # bins of a tenth: |0.95 - 0.5| and |0.75 - 1.0|, half of the rows each
    assert expected_calibration_error(confidence, correct, num_bins=10) == pytest.approx(0.35, abs=1e-6)


def test_calibration_error_is_near_zero_for_honest_confidence_and_large_for_boasting() -> None:
    random = torch.Generator().manual_seed(0)
    confidence = torch.rand(20_000, generator=random)
    correct = torch.rand(20_000, generator=random) < confidence
    assert expected_calibration_error(confidence, correct) < 0.02
    assert expected_calibration_error(torch.ones(20_000), correct) == pytest.approx(0.5, abs=0.02)
    assert expected_calibration_error(torch.ones(4), torch.ones(4, dtype=torch.bool)) == 0.0


@few
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_error_is_a_share(pairs: list[tuple[float, bool]]) -> None:
    confidence = torch.tensor([c for c, _ in pairs])
    correct = torch.tensor([c for _, c in pairs])
    error = expected_calibration_error(confidence, correct)
    assert 0.0 <= error <= 1.0
    # merging bins can only cancel: one bin is the distance of the two means
    assert error >= abs(confidence.double().mean().item() - correct.double().mean().item()) - 1e-6


def test_a_branch_is_measured_from_its_table_of_probabilities() -> None:
    table = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.1, 0.3, 0.6]])
    found = branch_metrics(table, torch.tensor([0, 1, 1, 2]), threshold=0.5)
    assert found.num_rows == 4
    assert found.accuracy == 0.75
    assert found.answered == 0.75
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert 0.0 < found.calibration_error < 1.0
    assert branch_metrics(table, torch.tensor([0, 1, 1, 2])).answered == 1.0
