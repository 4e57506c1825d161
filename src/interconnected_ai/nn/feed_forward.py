"""The dense feed-forward block, and the activations that it shares with the FFN experts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}


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
