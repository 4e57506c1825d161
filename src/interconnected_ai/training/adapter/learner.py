"""What an adapter learns from packed examples, step by step, and how well it does: the `Trainer`'s learner."""

import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.arguments import checked, whole_number
from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.nn import in_evaluation
from interconnected_ai.training.adapter.examples import Examples
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.objective import AdapterObjective
from interconnected_ai.training.adapter.packing import PackedBatch, Packing, in_order
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.processes import Processes

logger = logging.getLogger(__name__)

_EVALUATED_AT_ONCE = 2_048  # tokens
_BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Foretold:
    """What foretelling examples costs. nats: −Σ ln p over the tokens that count; num_bytes: of their text, where known."""

    nats: float
    num_tokens: int
    num_bytes: int | None

    @property
    def loss(self) -> float:
        """Mean nats per token."""
        return self.nats / max(1, self.num_tokens)

    @property
    def bits_per_byte(self) -> float | None:
        """The size that the text would have if the model compressed it."""
        return None if self.num_bytes is None else self.nats / math.log(2) / self.num_bytes

    def to_dict(self) -> dict[str, float]:
        """Plain values, ready for JSON."""
        of_bytes = {} if self.num_bytes is None else {"bits_per_byte": self.bits_per_byte, "num_bytes": self.num_bytes}
        return {
            "loss": self.loss,
            "perplexity": math.exp(min(self.loss, 700.0)),
            "nats": self.nats,
            "num_tokens": self.num_tokens,
            **{key: value for key, value in of_bytes.items() if value is not None},
        }


@dataclass(frozen=True)
class _Loss:
    total: Tensor
    task: Tensor


class AdapterLearner:
    """An adapter and the examples that it learns from, as the `Trainer`'s learner."""

    def __init__(
        self,
        model: AdaptedNetwork,
        examples: Examples,
        validation: Examples | None,
        config: AdapterTrainingConfig,
        seq_len: int,
        processes: Processes,
    ) -> None:
        self.adapted, self.validation, self.config, self.seq_len = model, validation, config, seq_len
        self.processes = processes
        parts = processes.count * config.accumulation_steps
        self._require_a_block_for_all(parts)
        self.plan = Packing(examples, seq_len, config.batch_size, config.seed, smallest_batch=parts)
        model.to(processes.device)
        model.remember_less(config.gradient_checkpointing)
        self.objective = AdapterObjective(model)
        steps = min(self.plan.steps_per_epoch * config.epochs, config.max_steps or sys.maxsize)
        self.schedule = Schedule(
            steps, self.plan.steps_per_epoch, config.evaluate_every_steps or self.plan.steps_per_epoch
        )
        self.num_tokens = 0  # read by the steps of this call, over all processes

    def data_record(self) -> DataRecord:
        """The examples to learn from and the held-out ones: how many tokens, and their hash."""
        held = None if self.validation is None else self.validation.facts()
        return DataRecord({}, {"train": self.plan.examples.facts(), "validation": held, "seq_len": self.seq_len})

    def recognise(self, kept: DataRecord) -> bool:
        """Raises `DataError` when the examples are others."""
        now = self.data_record().facts
        if kept.facts != now:
            other = [side for side in now if kept.facts.get(side) != now[side]]
            raise DataError(
                f"this training was begun on other examples ({', '.join(other)} differ); give the same text, base and "
                "seq_len to resume, or train into another folder"
            )
        return True

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """The numbers of each batch's blocks."""
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
        """How good the base is: an adapter that is never better keeps nothing."""
        return self._validated(self.objective, 0)

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> _Loss:
        """Mean nats per counted token of the whole batch, this part's share."""
        packed = self.plan.read(rows)
        self.num_tokens += self.plan_tokens(rows) * self.processes.count
        nats: Tensor = state.model(*_tensors(packed, self.processes.device))
        task = nats / max(1, self.plan.num_counted(batch))
        return _Loss(task * self.processes.count, task.detach())

    def plan_tokens(self, blocks: np.ndarray) -> int:
        """Tokens that stand in these blocks."""
        return sum(int(self.plan.sizes[list(self.plan.blocks[block])].sum()) for block in blocks)

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed."""
        return {"tokens_per_second": self.plan_tokens(batch) / seconds}

    def validate(self, state: TrainingState) -> Validation:
        """Minus the validation loss, with perplexity and bits per byte."""
        state.whole()  # of which `self.adapted` is a part
        return self._validated(self.objective, state.step)

    def _validated(self, objective: nn.Module, step: int) -> Validation:
        figures = {"epoch": step / self.schedule.steps_per_epoch}
        if self.validation is None:
            return Validation(None, figures if step else {})
        with self.processes.accelerator.autocast():
            found = foretell(self.adapted, self.validation, self.seq_len)
        known = found.to_dict()
        figures |= {"validation_loss": found.loss, "perplexity": known["perplexity"]}
        if found.bits_per_byte is not None:
            figures["bits_per_byte"] = found.bits_per_byte
        if self.processes.is_main:
            told = (
                f"{found.loss:.3f} nats per token"
                if found.bits_per_byte is None
                else f"{found.bits_per_byte:.3f} bits per byte"
            )
            logger.info("step %d of %d: %s on what is held out", step, self.schedule.total_steps, told)
        return Validation(-found.loss if math.isfinite(found.loss) else -math.inf, figures)

    def _require_a_block_for_all(self, parts: int) -> None:
        if self.config.batch_size < parts:
            raise ConfigError(
                f"a batch of {self.config.batch_size} blocks cannot be dealt out over {parts} parts "
                f"({self.processes.count} processes × {self.config.accumulation_steps} accumulation steps)"
            )


@checked
def foretell(model: AdaptedNetwork, examples: Examples, seq_len: int) -> Foretold:
    """What foretelling these examples costs the model as it is now, computed in evaluation mode.

    seq_len: of the blocks they are packed into, no shorter than the longest of them.
    """
    whole_number(seq_len, "seq_len", least=1)
    objective, nats, num_tokens = AdapterObjective(in_evaluation(model)), 0.0, 0
    with torch.inference_mode():
        for packed in in_order(examples, seq_len, _EVALUATED_AT_ONCE):
            nats += float(objective(*_tensors(packed, model.device)))
            num_tokens += packed.num_counted
    return Foretold(nats, num_tokens, examples.num_bytes)


def _tensors(packed: PackedBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    arrays = (packed.inputs, packed.targets, packed.documents)
    first, second, third = (torch.from_numpy(array).to(device) for array in arrays)
    return first, second, third
