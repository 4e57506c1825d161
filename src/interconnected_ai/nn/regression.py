"""Multinomial logistic regression as the convex problem that it is: what is minimised, and how its minimum is found."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_JITTER = 1e-5  # of the mean diagonal, so that rows which repeat leave the matrix definite


@dataclass(frozen=True)
class Problem:
    """What is minimised: Σ cross-entropy + ridge / 2 · ‖weights‖², the bias left free.

    smoothing: how much of a row's target is dealt out over all classes (Szegedy et al. 2016, section 7). temperature: what the
    logits are divided by once they are found, since smoothed ones are too modest.
    """

    ridge: float
    class_weights: Tensor | None = None
    smoothing: float = 0.0
    temperature: float = 1.0


def softmax_regression(
    inputs: Tensor, targets: Tensor, num_classes: int, problem: Problem, steps: int
) -> tuple[Tensor, Tensor]:
    """(num_inputs, num_classes) weights and (num_classes,) biases of the minimum, after at most so many steps.

    inputs: (num_rows, num_inputs); targets: (num_rows,). What `descend` finds for these logits; but the slope is written out,
    since of few rows automatic differentiation takes longer than the products.
    """
    num_rows, wanted = len(targets), _wanted(targets, num_classes, problem, inputs.dtype)  # (num_rows, num_classes)
    of_a_row, pull = wanted.sum(dim=1, keepdim=True), problem.ridge / num_rows
    learnt = inputs.new_zeros(inputs.shape[1] + 1, num_classes).requires_grad_()
    weights, bias = learnt.detach()[:-1], learnt.detach()[-1]

    @torch.no_grad()
    def loss() -> Tensor:
        log_shares = F.log_softmax(torch.addmm(bias, inputs, weights), dim=-1)
        excess = log_shares.exp().mul_(of_a_row).sub_(wanted).div_(num_rows)
        learnt.grad = torch.cat((torch.addmm(weights, inputs.T, excess, beta=pull), excess.sum(dim=0, keepdim=True)))
        total: Tensor = pull / 2 * weights.square().sum() - (wanted * log_shares).sum() / num_rows
        return total

    _optimizer([learnt], steps).step(loss)
    return weights, bias


def _wanted(targets: Tensor, num_classes: int, problem: Problem, dtype: torch.dtype) -> Tensor:
    """(num_rows, num_classes): how much each class's logarithm counts in a row's cross-entropy."""
    weights = problem.class_weights
    weights = torch.ones(num_classes, dtype=dtype, device=targets.device) if weights is None else weights.to(dtype)
    own = F.one_hot(targets, num_classes).to(dtype)
    return own * weights * (1 - problem.smoothing) + weights * (problem.smoothing / num_classes)


def descend(
    logits: Callable[[], Tensor],
    learnt: list[Tensor],
    penalised: list[Tensor],
    targets: Tensor,
    problem: Problem,
    steps: int,
) -> None:
    """Move what is learnt to the minimum, by L-BFGS (Liu and Nocedal 1989).

    logits: (num_rows, num_classes) of the tensors that are learnt, which change in place; penalised: those that the ridge
    holds small.
    """
    optimizer = _optimizer(learnt, steps)

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = F.cross_entropy(
            logits(), targets, problem.class_weights, reduction="none", label_smoothing=problem.smoothing
        )
        size = torch.stack([tensor.square().sum() for tensor in penalised]).sum()
        total: Tensor = errors.mean() + problem.ridge / (2 * len(targets)) * size
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    optimizer.zero_grad()


def _optimizer(learnt: list[Tensor], steps: int) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(
        learnt, max_iter=steps, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )


def root_of(similarity: Tensor) -> Tensor:
    """The lower triangle L with L · Lᵀ = similarity: rows of features that are as alike as the rows are."""
    jitter = _JITTER * similarity.diagonal().mean()
    root: Tensor = torch.linalg.cholesky(similarity + jitter * torch.eye(len(similarity), device=similarity.device))
    return root
