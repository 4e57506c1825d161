"""What all learners of an adapter have in common: a plan of batches, and AdamW over the adapter's matrices."""

import logging
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.processes import Processes

logger = logging.getLogger(__name__)

EVALUATED_AT_ONCE = 2_048  # tokens
_BETAS = (0.9, 0.95)


class Plan(Protocol):
    """Which examples make up which batch."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[np.ndarray]:
        """The batches of an epoch from the `start`-th on, the same whenever they are asked for."""


@dataclass(frozen=True)
class BatchLoss:
    """total: what is differentiated; task: to be told."""

    total: Tensor
    task: Tensor


class LowRankLearner(ABC):
    """An adapter and what it learns from. One training at a time, from one thread.

    objective: the model and its loss as one module, so that several processes see all of it.
    """

    learns_from: ClassVar[str]
    kept_by: ClassVar[str]  # what has to be given again to resume

    def __init__(
        self,
        model: AdaptedNetwork,
        objective: nn.Module,
        plan: Plan,
        config: AdapterTrainingConfig,
        processes: Processes,
    ) -> None:
        self.adapted, self.objective, self.config, self.processes = model, objective, config, processes
        self._plan = plan
        model.to(processes.device)
        model.remember_less(config.gradient_checkpointing)
        steps = min(plan.steps_per_epoch * config.epochs, config.max_steps or sys.maxsize)
        self.schedule = Schedule(steps, plan.steps_per_epoch, config.evaluate_every_steps or plan.steps_per_epoch)
        self.num_tokens = 0  # read by the steps of this call, over all processes

    @abstractmethod
    def data_record(self) -> DataRecord:
        """What is learnt from and measured on, by hash."""

    @abstractmethod
    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> BatchLoss:
        """The mean loss of the whole batch, this part's share."""

    @abstractmethod
    def figures(self, batch: np.ndarray, seconds: float) -> Mapping[str, float]:
        """Speed."""

    @property
    @abstractmethod
    def filled(self) -> float:
        """Share of the places in the first epoch's batches that hold a token."""

    @abstractmethod
    def measured(self) -> Any:
        """How the model as it is does on what is held out; None where nothing is."""

    @abstractmethod
    def held_out(self) -> tuple[float, Mapping[str, float], str] | None:
        """The loss on what is held out, its figures, and that in words; None where nothing is."""

    def recognise(self, kept: DataRecord) -> bool:
        """Raises `DataError` when what is learnt from is something else."""
        now = self.data_record().facts
        if kept.facts != now:
            other = [side for side in now if kept.facts.get(side) != now[side]]
            raise DataError(
                f"this training was begun on other {self.learns_from} ({', '.join(other)} differ); give the same "
                f"{self.kept_by} to resume, or train into another folder"
            )
        return True

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """The numbers of what each batch holds."""
        return self._plan.epoch(epoch, start)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the adapter's matrices."""
        network = next(part for part in model.modules() if isinstance(part, AdaptedNetwork)).network
        self.processes.parallelism.see(outputs=(), first=network.get_input_embeddings())
        learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"name": "adapter", "params": learnt, "lr": self.config.lr, "weight_decay": self.config.weight_decay}
        ]
        return torch.optim.AdamW(groups, betas=_BETAS, fused=learnt[0].device.type in ("cpu", "cuda"))

    @contextmanager
    def learning(self, model: nn.Module) -> Iterator[None]:
        """Nothing surrounds the steps."""
        yield

    def begin(self, model: nn.Module) -> Validation:
        """How good the base is: an adapter that is never better keeps nothing."""
        return self._validated(0)

    def validate(self, state: TrainingState) -> Validation:
        """Minus the loss on what is held out, with figures."""
        state.whole()  # of which `self.adapted` is a part
        return self._validated(state.step)

    def _validated(self, step: int) -> Validation:
        epoch = {"epoch": step / self.schedule.steps_per_epoch}
        with self.processes.accelerator.autocast():
            found = self.held_out()
        if found is None:
            return Validation(None, epoch if step else {})
        loss, figures, told = found
        if self.processes.is_main:
            logger.info("step %d of %d: %s", step, self.schedule.total_steps, told)
        return Validation(-loss if math.isfinite(loss) else -math.inf, {**epoch, "validation_loss": loss, **figures})


def require_one_for_each(config: AdapterTrainingConfig, processes: Processes, unit: str) -> int:
    """Parts that a batch is computed in; raises `ConfigError` for one that has fewer `unit` than these."""
    parts = processes.count * config.accumulation_steps
    if config.batch_size < parts:
        raise ConfigError(
            f"a batch of {config.batch_size} {unit} cannot be dealt out over {parts} parts "
            f"({processes.count} processes × {config.accumulation_steps} accumulation steps)"
        )
    return parts
