"""Logistic regression with its slope written out finds what automatic differentiation finds."""

import pytest
import torch
from torch import Tensor

from interconnected_ai.nn import Problem, descend, softmax_regression

CLASSES = 4


def rows(count: int, width: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return inputs, torch.arange(count) % CLASSES  # all of them, or the bias has no minimum


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)])
@pytest.mark.parametrize("count", [4, 30])
def test_the_minimum_is_the_one_that_autograd_finds(count: int, class_weights: Tensor | None, smoothing: float) -> None:
    inputs, targets = rows(count)
    problem = Problem(0.7, class_weights, smoothing)
    weights = torch.zeros(6, CLASSES, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    descend(lambda: inputs @ weights + bias, [weights, bias], [weights], targets, problem, 60)
    found = softmax_regression(inputs, targets, CLASSES, problem, 60)
    torch.testing.assert_close(found[0], weights.detach(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found[1] - found[1].mean(), (bias - bias.mean()).detach(), atol=1e-4, rtol=1e-3)


def test_it_may_be_called_where_gradients_are_on_and_where_they_are_off() -> None:
    inputs, targets = rows(20)
    with torch.no_grad():
        quiet = softmax_regression(inputs, targets, CLASSES, Problem(1.0), 40)
    found = softmax_regression(inputs.clone().requires_grad_(), targets, CLASSES, Problem(1.0), 40)
    for one, other in zip(quiet, found, strict=True):
        assert torch.equal(one, other)
        assert not other.requires_grad
