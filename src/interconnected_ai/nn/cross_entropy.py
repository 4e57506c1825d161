"""The loss of a language model, without a table of all logits."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_NUMBERS = 1 << 22  # logits computed at once: 16 MB in float32, which the caches of a processor can hold


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Σ over rows of −log softmax(W · h)[target]: the cross-entropy of a head, summed, in float32.

    A vocabulary of 10,000 makes the logits of 2,048 tokens 82 MB, and so is their gradient. Here both stand only for some
    rows at a time; the gradients of `hidden` and `weight` are computed on the way, since the loss is the end of the pass.
    hidden: (rows, d_model); weight: (vocab_size, d_model); targets: (rows,). Under autocast products are taken in its type.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, dtype, torch.is_grad_enabled())
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """loss = Σ (log Σ exp z − z[target]), ∂loss/∂z = softmax(z) − onehot(target), z = W · h."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, learns: bool) -> Tensor:
        learns_hidden, learns_weight = (learns and needed for needed in ctx.needs_input_grad[:2])
        rows, matrix = hidden.to(dtype), weight.to(dtype)
        grad_hidden = torch.empty_like(hidden) if learns_hidden else None
        grad_weight = torch.zeros_like(weight) if learns_weight else None
        loss = hidden.new_zeros((), dtype=torch.float32)
        size = max(64, _CHUNK_NUMBERS // len(weight))
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(rows), size):
                part, wanted = rows[start : start + size], targets[start : start + size, None]
                logits = (part @ matrix.T).float()  # (chunk, vocab_size)
                highest, where = logits.max(dim=-1, keepdim=True)
                at_target = logits.gather(1, wanted)
                shares = torch.softmax(logits, dim=-1)
                # log Σ exp z = max z − log softmax(z)[argmax]: the one probability that cannot round to zero
                loss += (highest - shares.gather(1, where).log() - at_target).sum()
                if not (learns_hidden or learns_weight):
                    continue
                shares.scatter_add_(1, wanted, torch.full_like(at_target, -1.0))
                errors = shares.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[start : start + size] = errors @ matrix
                if grad_weight is not None:
                    _add_product(grad_weight, errors, part)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * grad,
            None if grad_weight is None else grad_weight * grad,
            *(None, None, None),
        )


def _add_product(total: Tensor, errors: Tensor, rows: Tensor) -> None:
    """total += errorsᵀ · rows; the sum stays in the precision of `total`."""
    if total.dtype == errors.dtype:
        total.addmm_(errors.T, rows)
    else:
        total += errors.T @ rows
