"""The dense feed-forward block, and the activations: those that it shares with the FFN experts, and those of foreign models."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gelu(hidden: Tensor) -> Tensor:
    """x · Φ(x), the exact GELU (Hendrycks and Gimpel 2016), any shape → the same, by PyTorch's own kernel on a CPU too.

    A contiguous tensor's GELU is oneDNN's there, which makes a program for every shape that it meets and keeps it, .8 MB each:
    as many as there are lengths of texts, or counts of tokens that an expert gets. A transposed matrix's is PyTorch's, and as
    fast. A single row is oneDNN's: it has one shape, and is its own transpose.
    """
    if hidden.dim() < 2 or not hidden.is_contiguous() or hidden.numel() in (0, hidden.shape[-1]):
        return F.gelu(hidden)
    return F.gelu(hidden.flatten(0, -2).T).T.view(hidden.shape)


class GELU(nn.Module):
    """`gelu` as a layer."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape → the same."""
        return gelu(hidden)


def swap_gelus(model: nn.Module) -> None:
    """Put `GELU` in place of every exact GELU inside `model`, torch's or transformers'.

    Not while other threads compute with the model.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _is_exact_gelu(child):
                setattr(parent, name, GELU())


def _is_exact_gelu(module: nn.Module) -> bool:
    # Looked at by what it calls: transformers' GELUActivation may have been told to compute in Python.
    if type(module) is nn.GELU:
        return module.approximate == "none"
    return type(module).__name__ == "GELUActivation" and getattr(module, "act", None) is F.gelu


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": gelu, "relu": F.relu, "silu": F.silu}


class FeedForward(nn.Module):
    """y = W₂ · act(W₁ · x + b₁) + b₂, position by position (Vaswani et al. 2017, section 3.3)."""

    def __init__(
        self, d_model: int, d_ff: int, *, activation: str = "gelu", generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.w_in = nn.Linear(d_model, d_ff)
        self.w_out = nn.Linear(d_ff, d_model)
        for linear in (self.w_in, self.w_out):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → (…, d_model)."""
        out: Tensor = self.w_out(self.activation(self.w_in(hidden)))
        return out
