"""The encoder first: its LoRA learns to part the classes, and stands from then on, so that its outputs may be kept.

What is learnt beside it is a direction for each class, which is dropped in the end: heads and words begin as a regression on
what the encoder gives then, as they do on an encoder that never learnt.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.branches import InterconnectedAISystem, class_directions
from interconnected_ai.config import ROWS_OF_A_FIRST_STEP, TrainingConfig, num_first_steps, readings_of_a_row
from interconnected_ai.data import BatchPlan, RowChanges, RowRecord, Rows, Splits
from interconnected_ai.errors import ConfigError
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.system.run_rows import refuse_other_rows
from interconnected_ai.training.trainer import Trainer

logger = logging.getLogger(__name__)

_SCALE = 16.0  # of a cosine, before the softmax over the classes
_DIRECTIONS_RATE = 20.0  # times the LoRA's
_EVALUATION_BATCH = 128
_MOST_STEPS_LOST = 50  # by a kill -9: a step takes seconds where the joint training's takes a tenth of one


@dataclass(frozen=True)
class EncoderCourse:
    """How the encoder's own training went; seconds of this call alone."""

    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Loss:
    total: Tensor
    task: Tensor


class DirectedEncoder(nn.Module):
    """An encoder with a direction for each class of every branch: logits are cosines with them, scaled.

    offset: (d_model,), the mean of the training rows' vectors as they were, which is taken off each.
    """

    offset: Tensor

    def __init__(self, system: InterconnectedAISystem) -> None:
        super().__init__()
        self.encoder, pooling = system.encoder, system.trunk.pooling
        self.names = system.branch_names
        self._read: Callable[[Tensor, Tensor], Tensor] = lambda ids, mask: pooling(*system.encode_tokens(ids, mask))
        self.register_buffer("offset", torch.zeros(system.encoder.d_model))
        sizes = [system.cards[name].spec.num_classes for name in self.names]
        self.directions = nn.ParameterList(torch.zeros(size, system.encoder.d_model) for size in sizes)

    def vectors(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, seq) ids and mask → (batch, d_model), of length 1."""
        return F.normalize(self._read(input_ids, mask).float() - self.offset, dim=-1)

    def forward(self, input_ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """(batch, seq) ids and mask → (batch, num_classes) for each branch."""
        vectors = self.vectors(input_ids, mask)
        return {
            name: _SCALE * vectors @ F.normalize(one.float(), dim=-1).T
            for name, one in zip(self.names, self.directions, strict=True)
        }


class EncoderLearner:
    """A system's encoder and the rows that its LoRA learns from, as the `Trainer`'s learner."""

    def __init__(
        self,
        system: InterconnectedAISystem,
        train: Rows,
        validation: Rows,
        config: TrainingConfig,
        processes: Processes,
        *,
        new_rows: bool = False,
    ) -> None:
        """Raises `ConfigError` where a batch cannot be dealt out over the processes. new_rows: a resumed training may find more
        of them.
        """
        self.system, self.train_rows, self.validation = system, train, validation
        self.config, self.processes, self.new_rows = config, processes, new_rows
        self.model = DirectedEncoder(system).to(processes.device)
        specs = [card.spec for card in system.cards.values()]
        self.targets = {name: torch.from_numpy(t) for name, t in train.targets(specs).items()}
        self.held_out = {name: torch.from_numpy(t) for name, t in validation.targets(specs).items()}
        self.token_ids = system.encoder.tokenize(train.texts)
        num_branches = sum(bool((t >= 0).any()) for t in self.targets.values())
        self.plan = BatchPlan.for_rows(train, max(ROWS_OF_A_FIRST_STEP, num_branches, processes.count), config.seed)
        smallest = min(len(batch) for batch in self.plan.epoch(0))
        if smallest < processes.count:
            raise ConfigError(
                f"batches of {smallest} rows cannot be dealt out over {processes.count} processes; take fewer, or set "
                "training.encoder_steps to 0"
            )
        at_once = max(1, config.batch_size // config.accumulation_steps)
        parts = readings_of_a_row(config) * -(-self.plan.batch_size // at_once)
        self.num_parts = max(1, min(parts, smallest // processes.count))
        self.right: tuple[int, int] = 0, 0  # of the last part, and of how many answers

    @property
    def schedule(self) -> Schedule:
        """`num_first_steps`; validation rows are asked after each epoch."""
        epoch = self.plan.steps_per_epoch
        tokens = sum(map(len, self.token_ids)) / max(1, len(self.token_ids)) * self.plan.batch_size
        return Schedule(num_first_steps(self.config, epoch, tokens), epoch, epoch)

    def data_record(self) -> DataRecord:
        """The rows' hashes and the branches' classes."""
        record = self._record()
        return DataRecord(record.arrays, record.facts)

    def recognise(self, kept: DataRecord) -> bool:
        """Whether the rows are those of the checkpoint, False when new ones were taken; raises `DataError` for others."""
        changes = RowChanges.between(
            RowRecord.from_parts(kept.arrays, kept.facts, source="the encoder's checkpoint"), self._record()
        )
        refuse_other_rows(changes, "the encoder's training", new_rows=self.new_rows)
        return changes.none

    def _record(self) -> RowRecord:
        specs = [card.spec for card in self.system.cards.values()]
        return RowRecord.of(Splits(self.train_rows, self.validation, self.train_rows.select([])), specs)

    def begin(self, model: nn.Module) -> Validation:
        """Every class's direction is that of its rows' mean vector, as the encoder reads them now."""
        assert isinstance(model, DirectedEncoder)
        pooled = self._vectors(self.token_ids, centred=False)
        with torch.no_grad():
            model.offset.copy_(pooled.mean(dim=0))
            vectors = F.normalize(pooled - model.offset, dim=-1)
            for name, directions in zip(model.names, model.directions, strict=True):
                known = self.targets[name] >= 0
                targets = self.targets[name][known].to(vectors.device)
                directions.copy_(class_directions(vectors[known.to(vectors.device)], targets, len(directions)))
        return Validation(None, self._figures_of_held_out())

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the LoRA and the directions."""
        assert isinstance(model, DirectedEncoder)
        rate = self.config.lr_encoder
        lora = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"name": "encoder_lora", "params": lora, "lr": rate},
            {"name": "directions", "params": list(model.directions), "lr": _DIRECTIONS_RATE * rate},
        ]
        return torch.optim.AdamW(groups, weight_decay=self.config.weight_decay)

    @contextmanager
    def learning(self, model: nn.Module) -> Iterator[None]:
        """Without padding, where that can be left out."""
        with self.system.encoder.training_without_padding():
            yield

    def batches(self, epoch: int, start: int) -> list[np.ndarray]:
        """Rows of every branch in each."""
        return self.plan.epoch(epoch)[start:]

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> _Loss:
        """Cross-entropy over every labelled (row, branch) pair of the whole batch, this part's share.

        With `config.encoder_rdrop` every row is read twice, under masks of its own, and the two answers are drawn together.
        """
        num_labels = sum(int((t[batch] >= 0).sum()) for t in self.targets.values())
        times = readings_of_a_row(self.config)
        input_ids, mask = self.system.encoder.pad([self.token_ids[row] for row in rows] * times)
        logits: dict[str, Tensor] = state.model(input_ids, mask)
        total = torch.zeros((), device=self.processes.device)
        right = asked = 0
        for name, table in logits.items():
            targets = self.targets[name][rows].to(table.device)
            known = targets >= 0
            read = [each[known] for each in table.chunk(times)]
            for answers in read:
                total = total + F.cross_entropy(answers, targets[known], reduction="sum") / (times * num_labels)
            if times == 2:
                total = total + (self.config.encoder_rdrop or 0.0) * kullback_leibler_both_ways(*read) / num_labels
            right += int((read[0].argmax(dim=-1) == targets[known]).sum())
            asked += int(known.sum())
        self.right = right, asked
        return _Loss(total * self.processes.count, total.detach())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed, and the share of the last part's rows that lie nearest to their class's direction."""
        right, asked = self.right
        return {"rows_per_second": len(batch) / seconds, "train_accuracy": right / max(1, asked)}

    def validate(self, state: TrainingState) -> Validation:
        """The same share of validation rows, for people to see: the last weights are kept whatever it says."""
        return Validation(None, self._figures_of_held_out())

    def _figures_of_held_out(self) -> dict[str, float]:
        if not len(self.validation):
            return {}
        vectors = self._vectors(self.system.encoder.tokenize(self.validation.texts), centred=True)
        found = {}
        for name, directions in zip(self.model.names, self.model.directions, strict=True):
            known = self.held_out[name] >= 0
            if bool(known.any()):
                nearest = (vectors @ F.normalize(directions.detach(), dim=-1).T).argmax(dim=-1).cpu()
                found[f"accuracy/{name}"] = float((nearest[known] == self.held_out[name][known]).double().mean())
        return found

    def _vectors(self, token_ids: Sequence[Sequence[int]], *, centred: bool) -> Tensor:
        """(num_texts, d_model): of length 1 and without the offset, or as the encoder gives them."""
        model, encoder = self.model.eval(), self.system.encoder
        read = model.vectors if centred else model._read
        order, parts = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row])), []
        with torch.no_grad():
            for start in range(0, len(order), _EVALUATION_BATCH):
                rows = order[start : start + _EVALUATION_BATCH]
                parts.append(read(*encoder.pad([token_ids[row] for row in rows])).float())
        return torch.cat(parts)[torch.tensor(order).argsort().to(parts[0].device)]


def kullback_leibler_both_ways(one: Tensor, other: Tensor) -> Tensor:
    """How far two answers to the same rows are apart, as a sum over these: the mean of the Kullback-Leibler divergences of each
    from the other (R-Drop: Wu et al. 2021, equation 2).

    one, other: (num_rows, num_classes) logits.
    """
    first, second = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
    return ((first.exp() - second.exp()) * (first - second)).sum() / 2


def learn_encoder(
    system: InterconnectedAISystem,
    train: Rows,
    validation: Rows,
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    *,
    resume: bool = False,
    new_rows: bool = False,
) -> EncoderCourse:
    """Train the LoRA of a system's encoder, and settle it: nothing changes its outputs afterwards.

    Batches are computed in parts no larger than the config's. folder: checkpoints and metrics. resume: go on from its last
    checkpoint; one that is finished is taken as it is, whatever rows have come since. Raises `ConfigError` where weights are
    spread over processes, and what `Trainer.run` raises.
    """
    if processes.parallelism.shards:
        raise ConfigError(
            f"training.encoder_steps={config.encoder_steps}: the encoder learns first where every process holds all of its "
            f"weights, and {processes.parallelism.name} spreads them; set training.encoder_steps to 0, or launch without it"
        )
    started = time.perf_counter()
    learner = EncoderLearner(system, train, validation, config, processes, new_rows=new_rows)
    parts = learner.num_parts
    size = parts * -(-learner.plan.batch_size // parts)
    kept_every = min(config.checkpoint_every_steps, _MOST_STEPS_LOST)
    plain = config.with_changes(
        batch_size=size, accumulation_steps=parts, patience=None, checkpoint_every_steps=kept_every
    )
    trainer = Trainer(processes, learner.model, learner.schedule, plain, folder, rates="lr_encoder")
    if not (resume and trainer.take_finished()):
        if processes.is_main:
            logger.info("the encoder learns first: %d steps of its LoRA", learner.schedule.total_steps)
        trainer.run(learner, resume=resume)
        trainer.finish()
    system.encoder.requires_grad_(False)
    system.zero_grad(set_to_none=True)
    system.eval()
    return EncoderCourse(trainer.step, time.perf_counter() - started)
