"""What a training is about, as the loop sees it: a learner's batches, its loss, its evaluation.

A learner knows nothing of the loop: what it needs of the training under way it is handed as a `TrainingState`.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Schedule:
    """How long a training is and when it is evaluated, in optimiser steps."""

    total_steps: int
    steps_per_epoch: int
    evaluate_every_steps: int


@dataclass(frozen=True)
class DataRecord:
    """What a learner's data are known by, as checkpoints keep it: arrays of numbers, and facts ready for JSON."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


class PartLoss(Protocol):
    """The loss of one part of a batch. The parts' losses, over all processes, add up to that of the batch."""

    @property
    def total(self) -> Tensor:
        """What is differentiated: times the number of processes, over which gradients are averaged."""

    @property
    def task(self) -> Tensor:
        """What people watch, detached."""


@dataclass(frozen=True)
class Validation:
    """What an evaluation found. score: higher is better; None when there was nothing to measure on.

    right: which rows were answered rightly, by group, where the weights of step 0 are to be kept until later ones are ahead of
    them for sure (`surely_more_right`); None where the better score is enough.
    """

    score: float | None
    figures: Mapping[str, float]
    right: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands.

    step: optimiser steps done, of total_steps. model: as Accelerate prepared it, for forward passes. bare: the same model
    without Accelerate's wrapping. whole: gives the model that training was begun with, holding all weights as they are now,
    on this process's device; all processes must ask.
    """

    step: int
    total_steps: int
    model: nn.Module
    bare: nn.Module
    whole: Callable[[], nn.Module]


class Learner(Protocol):
    """What a training is about: its batches, its loss, its evaluation. A batch is the numbers of its rows.

    In this order: `begin` with the whole model, then `optimizer` for the model that trains (the same one, or a copy of it
    that is spread over the processes), then `learning` around the steps. One training at a time, from one thread.
    """

    def data_record(self) -> DataRecord:
        """What is learnt from and measured on, for checkpoints."""

    def recognise(self, kept: DataRecord) -> bool:
        """Whether a checkpoint's data are this learner's; False where some have come since, as it was told to expect.

        Scores of before cannot be compared then. Raises `DataError` for other data.
        """

    def begin(self, model: nn.Module) -> Validation:
        """Whatever precedes the first step of a training that starts afresh. What it finds counts like an evaluation: with a
        score the weights of step 0 are kept until later ones are better.
        """

    def optimizer(self, model: nn.Module) -> Optimizer:
        """The optimiser of this model, with a name for each of its groups."""

    def learning(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Surrounds all steps and evaluations. model: the one that trains, without Accelerate's wrapping."""

    def batches(self, epoch: int, start: int) -> Iterable[np.ndarray]:
        """The whole batches of an epoch from the `start`-th on, the same whenever they are asked for."""

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> PartLoss:
        """Loss of these rows of a whole batch."""

    def figures(self, batch: np.ndarray, seconds: float) -> Mapping[str, float]:
        """More figures of the step just done, beside loss, gradient and rates. Asked for every tenth step, on all processes."""

    def validate(self, state: TrainingState) -> Validation:
        """How good the weights are now. The model is in training mode before."""
