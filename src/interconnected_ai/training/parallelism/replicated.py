"""Every process holds the whole model: one process alone, or DDP."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.config import LoopConfig
from interconnected_ai.training.parallelism.optimizer import optimizer_tensors, restore_optimizer
from interconnected_ai.training.parallelism.tensors import kept_buffers, whole


class Parallelism:
    """Nothing is spread: every process holds whole weights, and gradients are averaged.

    accelerator: Accelerate's view of this process.
    """

    shards = False
    """Whether a process holds but a piece of the weights."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator

    @property
    def name(self) -> str:
        """For people."""
        return "DDP"

    def place(self, model: nn.Module) -> nn.Module:
        """The model to train: this one, on the device; or a copy of it that will be spread.

        In the latter case the original waits in ordinary memory, whole, for the trained weights.
        """
        return model.to(self.accelerator.device)

    def see(self, *, outputs: Sequence[type], first: nn.Module) -> None:
        """What a model returns beside tensors, tuples and dicts, and which module is the first to learn: hooks on what goes in
        and out find gradients by them.
        """

    def prepare(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: LoopConfig
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model as it is called from now on, and its optimiser."""
        model, optimizer = self.accelerator.prepare(model, optimizer)
        return model, optimizer

    @contextmanager
    def part(self, model: nn.Module, *, last: bool) -> Iterator[None]:
        """Around the forward and backward pass of one part of a batch; after the last one gradients are those of the batch."""
        if last:
            yield
        else:
            with self.accelerator.no_sync(model):
                yield

    def backward(self, loss: Tensor) -> None:
        """Gradients of a part's loss, added to those before."""
        self.accelerator.backward(loss)

    def clip(self, model: nn.Module, largest: float) -> float:
        """Scale the gradient down to this norm; returns the norm it had."""
        return float(whole(self.accelerator.clip_grad_norm_(model.parameters(), largest)))

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Trained tensors by name, whole, and what was measured when the training began; all processes must ask."""
        trained = {name: whole(p) for name, p in model.named_parameters() if p.requires_grad}
        return trained | {name: buffer.detach() for name, buffer in kept_buffers(model)}

    def optimizer_tensors(self, optimizer: Any, model: nn.Module) -> dict[str, Tensor]:
        """The optimiser's state by name, whole, on the CPU; all processes must ask."""
        return optimizer_tensors(optimizer.optimizer, model)

    def restore_optimizer(self, optimizer: Any, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Put that state back; raises `StorageError` when it belongs to another set of parameters."""
        restore_optimizer(optimizer.optimizer, model, tensors)
