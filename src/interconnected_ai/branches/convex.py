"""Head and wide part of a branch as one convex problem: multinomial logistic regression on vectors and words side by side."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.branches.branch import Branch
from interconnected_ai.branches.vocabulary import Bags
from interconnected_ai.errors import NonFiniteLossError


class _Product(torch.autograd.Function):
    """Bags times a table, and the table's gradient by the bags' transpose: no sorting in each backward pass."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: Bags, transposed: Bags) -> Tensor:
        ctx.transposed = transposed
        return _times(bags, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _times(ctx.transposed, gradients[0].contiguous()), None, None


def solve(
    branch: Branch,
    pooled: Tensor,
    bags: Bags | None,
    targets: Tensor,
    *,
    ridge: float,
    class_weights: Tensor | None = None,
    most_steps: int = 100,
) -> None:
    """Give head and wide part the weights that minimise Σ cross-entropy + ridge / 2 · ‖weights‖², the bias left free.

    pooled: (num_rows, d_model), bags: the same rows' terms, targets: (num_rows,). L-BFGS (Liu and Nocedal 1989) from the
    weights as they are. The branch is changed in place: one thread at a time.
    """
    head, wide = branch.head, branch.wide
    inputs = (pooled + branch.adapter(pooled)).detach()
    learnt = [head.weight, head.bias, *([] if wide is None or bags is None else [wide.weight])]
    product: tuple[Bags, Bags] | None = None
    if wide is not None and bags is not None:
        scaled = Bags(bags.terms, bags.starts, bags.weights * wide.scale)
        product = scaled, scaled.transposed(len(wide.vocabulary))
    optimizer = torch.optim.LBFGS(
        learnt, max_iter=most_steps, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = F.linear(inputs, head.weight, head.bias)
        decay = head.weight.square().sum()
        if wide is not None and product is not None:
            logits = logits + cast(Tensor, _Product.apply(wide.weight, *product))
            decay = decay + wide.weight.square().sum()
        errors = F.cross_entropy(logits, targets, class_weights, reduction="none")
        total: Tensor = errors.mean() + ridge / (2 * len(targets)) * decay
        if not torch.isfinite(total):
            raise NonFiniteLossError(
                "the loss of head and words became no number; are the encoder's vectors finite?", 0
            )
        total.backward()
        return total

    optimizer.step(loss)
    optimizer.zero_grad()


def _times(bags: Bags, table: Tensor) -> Tensor:
    return F.embedding_bag(bags.terms, table, bags.starts, mode="sum", per_sample_weights=bags.weights)
