"""How weights are moved: the schedule of the learning rate, and one step of AdamW by it.

What is learnt from what, evaluations and checkpoints are left to the caller's loop.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def learning_rate_factor(step: int, total_steps: int, warmup_steps: int) -> float:
    """Share of the full rate at a step: linear warm-up (at most a tenth of the run), then a cosine down to zero."""
    warmup = min(warmup_steps, total_steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total_steps - warmup))))


class Descent:
    """AdamW by a schedule, with clipped gradients: `descent.step(loss)` for one loss after another.

    groups: parameters, or AdamW's groups of them. factor: the share of the full learning rate at the step with this number,
    from 0 on. gradient_clip: the largest norm of all gradients together.
    One thread at a time: a step changes the parameters.
    """

    def __init__(
        self,
        groups: Iterable[nn.Parameter] | Iterable[Mapping[str, Any]],
        factor: Callable[[int], float],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        gradient_clip: float = 1.0,
    ) -> None:
        self.optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)  # type: ignore[arg-type]
        self.factor, self.gradient_clip = factor, gradient_clip
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.num_steps = 0

    def step(self, loss: Tensor) -> None:
        """Move the parameters down the gradient of a loss."""
        set_rates(self.optimizer, self.rates, self.factor(self.num_steps))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.gradient_clip)
        self.optimizer.step()
        self.num_steps += 1

    def forget_gradients(self) -> None:
        """Drop the last gradients: another training of the same parameters would add them to its first."""
        self.optimizer.zero_grad()


def set_rates(optimizer: torch.optim.Optimizer, rates: Iterable[float], factor: float) -> None:
    """Give each group of an optimiser this share of its full learning rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * factor
