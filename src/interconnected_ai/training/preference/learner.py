"""What an adapter learns from pairs of answers, step by step, and how well it does: the `Trainer`'s learner.

The reference is the base with the adapter off: there is one model in memory.
"""

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.nn import in_evaluation
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.preferred import Preferred
from interconnected_ai.training.chats import TokenizedPair
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.preference.objective import PreferenceObjective, dpo_loss, rewards_of
from interconnected_ai.training.preference.pairs import PairBatch, PairPlan, facts_of, in_order, places_of
from interconnected_ai.training.processes import Processes

logger = logging.getLogger(__name__)

_EVALUATED_AT_ONCE = 2_048  # tokens
_BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class _Loss:
    total: Tensor
    task: Tensor


class PreferenceLearner:
    """An adapter and the pairs that it learns from, as the `Trainer`'s learner. One training at a time, from one thread."""

    def __init__(
        self,
        model: AdaptedNetwork,
        pairs: Sequence[TokenizedPair],
        validation: Sequence[TokenizedPair],
        config: AdapterTrainingConfig,
        beta: float,
        processes: Processes,
    ) -> None:
        """config.batch_size: pairs in one optimiser step. Raises `ConfigError` for a batch too small for all processes."""
        self.adapted, self.pairs, self.validation, self.config = model, pairs, validation, config
        self.beta, self.processes = beta, processes
        self.plan = PairPlan(len(pairs), config.batch_size, config.seed)
        parts = processes.count * config.accumulation_steps
        if config.batch_size < parts:
            raise ConfigError(
                f"a batch of {config.batch_size} pairs cannot be dealt out over {parts} parts ({processes.count} processes × "
                f"{config.accumulation_steps} accumulation steps)"
            )
        model.to(processes.device)
        model.remember_less(config.gradient_checkpointing)
        self.objective = PreferenceObjective(model)
        steps = min(self.plan.steps_per_epoch * config.epochs, config.max_steps or sys.maxsize)
        self.schedule = Schedule(
            steps, self.plan.steps_per_epoch, config.evaluate_every_steps or self.plan.steps_per_epoch
        )
        self.num_tokens = 0  # read by the steps of this call
        self._held_reference: list[Tensor] = []  # of the validation batches, once they were read

    def data_record(self) -> DataRecord:
        """The pairs to learn from and the held-out ones: how many, and their hash; and β."""
        return DataRecord(
            {}, {"train": facts_of(self.pairs), "validation": facts_of(self.validation), "beta": self.beta}
        )

    def recognise(self, kept: DataRecord) -> bool:
        """Raises `DataError` when the pairs or β are others."""
        now = self.data_record().facts
        if kept.facts != now:
            other = [side for side in now if kept.facts.get(side) != now[side]]
            raise DataError(
                f"this training was begun on other preferences ({', '.join(other)} differ); give the same files, base and beta "
                "to resume, or train into another folder"
            )
        return True

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """The numbers of each batch's pairs."""
        return self.plan.epoch(epoch, start)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the adapter's matrices."""
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
        """The reference itself, whose loss is ln 2: an adapter that is never better keeps nothing."""
        return self._validated(0)

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> _Loss:
        """DPO's loss, the mean over the whole batch, this part's share."""
        tensors = self._tensors([self.pairs[row] for row in rows])
        self.num_tokens += sum(places_of(self.pairs[row]) for row in rows) * self.processes.count
        bare = state.bare
        assert isinstance(bare, PreferenceObjective)
        with torch.no_grad(), bare.model.without_adapter():
            reference: Tensor = bare(*tensors)
        policy: Tensor = state.model(*tensors)
        task = dpo_loss(policy, reference, self.beta).sum() / len(batch)
        return _Loss(task * self.processes.count, task.detach())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed: of tokens of both answers, their prompts included."""
        return {"tokens_per_second": sum(places_of(self.pairs[row]) for row in batch) / seconds}

    def validate(self, state: TrainingState) -> Validation:
        """Minus the validation loss, with how often and by how much better answers are preferred."""
        state.whole()  # of which `self.adapted` is a part
        return self._validated(state.step)

    def measured(self) -> Preferred | None:
        """How the model as it is tells the held-out pairs; None where there are none."""
        if not self.validation:
            return None
        with self.processes.accelerator.autocast():
            batches = list(in_order(self.validation, _EVALUATED_AT_ONCE))
            if not self._held_reference:
                with self.adapted.without_adapter():
                    self._held_reference = likelihoods(self.objective, batches, self.processes.device)
            policy = likelihoods(self.objective, batches, self.processes.device)
        return _judged(torch.cat(policy), torch.cat(self._held_reference), self.beta)

    def _validated(self, step: int) -> Validation:
        figures = {"epoch": step / self.schedule.steps_per_epoch}
        found = self.measured()
        if found is None:
            return Validation(None, figures if step else {})
        figures |= {
            "validation_loss": found.loss,
            "preference_accuracy": found.accuracy,
            "reward_margin": found.margin,
            "chosen_reward": found.chosen_reward,
        }
        if self.processes.is_main:
            logger.info(
                "step %d of %d: loss %.3f, %.0f %% of held-out pairs the right way round",
                step, self.schedule.total_steps, found.loss, 100 * found.accuracy,
            )  # fmt: skip
        return Validation(-found.loss if math.isfinite(found.loss) else -math.inf, figures)

    def _tensors(self, pairs: Sequence[TokenizedPair]) -> tuple[Tensor, Tensor, Tensor]:
        return tensors_of(pairs, self.processes.device)


def preferred(model: AdaptedNetwork, pairs: Sequence[TokenizedPair], beta: float) -> Preferred:
    """How a model with its adapter tells better answers from worse ones, the base being the reference; in evaluation mode."""
    objective, batches = PreferenceObjective(model), list(in_order(pairs, _EVALUATED_AT_ONCE))
    with model.without_adapter():
        reference = likelihoods(objective, batches, model.device)
    return _judged(torch.cat(likelihoods(objective, batches, model.device)), torch.cat(reference), beta)


def likelihoods(
    objective: PreferenceObjective, batches: Sequence[Sequence[TokenizedPair]], device: torch.device
) -> list[Tensor]:
    """(pairs, 2) log-probabilities of every batch, computed in evaluation mode."""
    still = in_evaluation(objective)
    with torch.inference_mode():
        return [still(*tensors_of(batch, device)) for batch in batches]


def tensors_of(pairs: Sequence[TokenizedPair], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A batch on a device, as `PreferenceObjective` takes it."""
    batch = PairBatch.of(pairs)
    first, second, third = (
        torch.from_numpy(array).to(device) for array in (batch.inputs, batch.targets, batch.documents)
    )
    return first, second, third


def _judged(policy: Tensor, reference: Tensor, beta: float) -> Preferred:
    rewards = rewards_of(policy, reference, beta)
    margins = rewards[:, 0] - rewards[:, 1]
    return Preferred(
        loss=float(dpo_loss(policy, reference, beta).mean()),
        accuracy=float((margins > 0).float().mean()),
        margin=float(margins.mean()),
        chosen_reward=float(rewards[:, 0].mean()),
        num_pairs=len(policy),
    )
