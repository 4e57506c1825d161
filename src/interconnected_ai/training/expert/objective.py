"""What an expert's training minimises, and which of its parameters decay."""

from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.arguments import checked
from interconnected_ai.config import ExpertConfig
from interconnected_ai.experts import ExpertModel
from interconnected_ai.nn import linear_cross_entropy

_RATE_TIMES_WIDTH = {"pre": 0.8, "post": 0.13}
BETAS = (
    0.9,
    0.95,
)  # the usual ones of language models: the squares of gradients are forgotten sooner than AdamW's 0.999


class Objective(nn.Module):
    """Blocks of tokens → Σ −ln p(token | those before it in its block), the expert's forward pass and loss in one.

    As one module, so that several processes and torch.compile see all of it, and no table of logits is handed around.
    """

    _no_split_modules = (
        "TransformerBlock",
    )  # what FSDP gathers at a time, as Hugging Face's models name it for Accelerate

    def __init__(self, model: ExpertModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, blocks: Tensor) -> Tensor:
        """(batch, seq_len + 1) token ids → nats, summed over all predicted tokens."""
        hidden = self.model.hidden(blocks[:, :-1]).flatten(0, 1)
        return linear_cross_entropy(hidden, self.model.head.weight, blocks[:, 1:].flatten())


def learning_rate(shape: ExpertConfig) -> float:
    """A learning rate for a model of this shape: 0.8 / d_model with pre-norm, 0.13 / d_model with post-norm.

    The numerators are the best of `iai bench norm` at width 128; the best rate of Adam falls as the width grows (Yang et al.
    2022, Tensor Programs V).
    """
    return _RATE_TIMES_WIDTH[shape.norm] / shape.d_model


def parameter_groups(model: nn.Module, *, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: matrices decay; biases and the scales of layer norms do not."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    return [
        {"name": "matrices", "params": matrices, "lr": lr, "weight_decay": weight_decay},
        {"name": "vectors", "params": vectors, "lr": lr, "weight_decay": 0.0},
    ]


@checked
def adamw(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`, in one fused pass over the weights where the device has it."""
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay)
    device = next(model.parameters()).device.type
    return torch.optim.AdamW(groups, betas=BETAS, fused=device in ("cpu", "cuda"))
