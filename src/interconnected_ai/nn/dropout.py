"""Dropout whose masks cost little on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_STEPS = 1 << 16  # a mask compares 16 random bits with a threshold, so rates are exact to 1/65536


class Dropout(nn.Module):
    """y = x · mask / (1 - p), each mask entry 0 with probability p (Srivastava et al. 2014); the identity in evaluation.

    On a CPU `torch.nn.Dropout` draws a float for every entry, one after the other, which is 7 times as dear as drawing
    64 bits for four entries, as this does; elsewhere this is `torch.nn.functional.dropout`.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"p={p}: a dropout rate is at least 0 and below 1")
        self.p = p

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape → the same."""
        if not self.training or not self.p:
            return hidden
        if hidden.device.type != "cpu":
            return F.dropout(hidden, self.p, training=True)
        out: Tensor = _Drop.apply(hidden, round(self.p * _STEPS))
        return out

    def extra_repr(self) -> str:
        """As torch.nn.Dropout says it."""
        return f"p={self.p}"


class _Drop(torch.autograd.Function):
    """Keeps the mask in bytes, a quarter of what autograd keeps of torch's dropout on a CPU."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, dropped: int) -> Tensor:
        draws = torch.empty(-(-hidden.numel() // 4), dtype=torch.int64, device=hidden.device).random_(-(1 << 63), None)
        bits = draws.view(torch.int16)[: hidden.numel()].view(hidden.shape)
        mask = torch.empty(hidden.shape, dtype=torch.uint8, device=hidden.device)
        torch.ge(bits, dropped - _STEPS // 2, out=mask)  # into bytes: three times as fast as into a bool tensor
        ctx.save_for_backward(mask)
        ctx.scale = _STEPS / (_STEPS - dropped)
        return (hidden * mask).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return (grad * mask).mul_(ctx.scale), None


def swap_dropouts(model: nn.Module) -> None:
    """Put `Dropout` in place of every `torch.nn.Dropout` inside `model`."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
