"""What an adapter learns from packed examples, step by step, and how well it does: the `Trainer`'s learner."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.arguments import checked, whole_number
from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.nn import in_evaluation
from interconnected_ai.training.adapter.examples import Examples
from interconnected_ai.training.adapter.low_rank_learner import (
    EVALUATED_AT_ONCE,
    BatchLoss,
    LowRankLearner,
    require_one_for_each,
)
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.objective import AdapterObjective
from interconnected_ai.training.adapter.packing import PackedBatch, Packing, in_order
from interconnected_ai.training.learner import DataRecord, TrainingState
from interconnected_ai.training.processes import Processes


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


class AdapterLearner(LowRankLearner):
    """An adapter and the examples that it learns from, as the `Trainer`'s learner."""

    learns_from, kept_by = "examples", "text, base and seq_len"

    def __init__(
        self,
        model: AdaptedNetwork,
        examples: Examples,
        validation: Examples | None,
        config: AdapterTrainingConfig,
        seq_len: int,
        processes: Processes,
    ) -> None:
        """Raises `ConfigError` for a batch too small for all processes."""
        parts = require_one_for_each(config, processes, "blocks")
        self.plan = Packing(examples, seq_len, config.batch_size, config.seed, smallest_batch=parts)
        self.validation, self.seq_len = validation, seq_len
        super().__init__(model, AdapterObjective(model), self.plan, config, processes)

    def data_record(self) -> DataRecord:
        """The examples to learn from and the held-out ones: how many tokens, and their hash."""
        held = None if self.validation is None else self.validation.facts()
        return DataRecord({}, {"train": self.plan.examples.facts(), "validation": held, "seq_len": self.seq_len})

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> BatchLoss:
        """Mean nats per counted token of the whole batch, this part's share."""
        packed = self.plan.read(rows)
        self.num_tokens += self.plan_tokens(rows) * self.processes.count
        nats: Tensor = state.model(*_tensors(packed, self.processes.device))
        task = nats / max(1, self.plan.num_counted(batch))
        return BatchLoss(task * self.processes.count, task.detach())

    def plan_tokens(self, blocks: np.ndarray) -> int:
        """Tokens that stand in these blocks."""
        return sum(int(self.plan.sizes[list(self.plan.blocks[block])].sum()) for block in blocks)

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed."""
        return {"tokens_per_second": self.plan_tokens(batch) / seconds}

    @property
    def filled(self) -> float:
        """Share of the blocks' places that hold a token."""
        return self.plan.filled

    def measured(self) -> Foretold | None:
        """What foretelling the held-out examples costs."""
        return None if self.validation is None else foretell(self.adapted, self.validation, self.seq_len)

    def held_out(self) -> tuple[float, dict[str, float], str] | None:
        """Nats per token, with perplexity and, where bytes say something, bits per byte."""
        found = self.measured()
        if found is None:
            return None
        figures = {"perplexity": found.to_dict()["perplexity"]}
        if found.bits_per_byte is None:
            return found.loss, figures, f"{found.loss:.3f} nats per token on what is held out"
        figures["bits_per_byte"] = found.bits_per_byte
        return found.loss, figures, f"{found.bits_per_byte:.3f} bits per byte on what is held out"


@checked
def foretell(model: AdaptedNetwork, examples: Examples, seq_len: int) -> Foretold:
    """What foretelling these examples costs the model as it is now, computed in evaluation mode.

    seq_len: of the blocks they are packed into, no shorter than the longest of them.
    """
    whole_number(seq_len, "seq_len", least=1)
    objective, nats, num_tokens = AdapterObjective(in_evaluation(model)), 0.0, 0
    with torch.inference_mode():
        for packed in in_order(examples, seq_len, EVALUATED_AT_ONCE):
            nats += float(objective(*_tensors(packed, model.device)))
            num_tokens += packed.num_counted
    return Foretold(nats, num_tokens, examples.num_bytes)


def _tensors(packed: PackedBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    arrays = (packed.inputs, packed.targets, packed.documents)
    first, second, third = (torch.from_numpy(array).to(device) for array in arrays)
    return first, second, third
