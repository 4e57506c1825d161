"""What an expert learns from a stream of tokens, step by step, and how well it does: the `Trainer`'s learner."""

import hashlib
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.data import CorpusPlan
from interconnected_ai.errors import ConfigError, DataError, PromptError
from interconnected_ai.experts import ExpertModel, HeldOut, measure
from interconnected_ai.training.expert.objective import Objective, adamw, learning_rate
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.processes import Processes

logger = logging.getLogger(__name__)

# Given the model and the step, says for people how it writes now.
Sample = Callable[[ExpertModel, int], None]


@dataclass(frozen=True)
class _Loss:
    total: Tensor
    task: Tensor


class ExpertLearner:
    """An expert and the tokens that it learns from, as the `Trainer`'s learner."""

    def __init__(
        self,
        model: ExpertModel,
        tokens: np.ndarray,
        validation: HeldOut | None,
        config: ExpertTrainingConfig,
        processes: Processes,
        sample: Sample | None,
    ) -> None:
        self.expert, self.validation, self.config, self.sample = model, validation, config, sample
        self.seq_len = block_of(model, config)
        self.tokens = tokens
        self.plan = CorpusPlan(len(tokens), self.seq_len, config.batch_size, config.seed)
        _require_in_vocabulary(tokens, model.config.vocab_size)
        self.processes = processes
        self._require_a_block_for_all()
        model.to(self.processes.device)
        model.gradient_checkpointing = config.gradient_checkpointing
        self.objective = Objective(model)
        self.schedule = _schedule(self.plan.steps_per_epoch, config)

    def data_record(self) -> DataRecord:
        """The tokens to learn from and the held-out ones: how many, and their hash."""
        held = [] if self.validation is None else self.validation.documents
        facts = {"train": _known([self.tokens]), "validation": _known(held)}
        return DataRecord({}, facts)

    def recognise(self, kept: DataRecord) -> bool:
        """Raises `DataError` when the tokens are others."""
        now = self.data_record().facts
        if kept.facts != now:
            raise DataError(
                f"this training was begun on other tokens ({_told(kept.facts, now)}); give the same text and tokenizer to "
                "resume, or train into another folder"
            )
        return True

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """Where the blocks of each batch begin."""
        return self.plan.epoch(epoch, start)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW, matrices alone decaying."""
        lr = self.config.lr or learning_rate(self.expert.config)
        return adamw(model, lr=lr, weight_decay=self.config.weight_decay)

    @contextmanager
    def learning(self, model: nn.Module) -> Iterator[None]:
        """Compiled, where that is asked for."""
        if self.config.compile:
            model.compile()
        yield

    def begin(self, model: nn.Module) -> Validation:
        """Nothing precedes them."""
        return Validation(None, {})

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> _Loss:
        """Mean nats per token of the whole batch, this part's share."""
        nats: Tensor = state.model(self.plan.read(self.tokens, rows).to(self.processes.device))
        task = nats / (len(batch) * self.seq_len)
        return _Loss(task * self.processes.count, task.detach())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed."""
        return {"tokens_per_second": len(batch) * self.seq_len / seconds}

    def validate(self, state: TrainingState) -> Validation:
        """Minus the validation loss, with perplexity and bits per byte; then a sample."""
        figures, score = {"epoch": state.step / self.schedule.steps_per_epoch}, None
        state.whole()  # of which `self.expert` is a part
        if self.validation is not None:
            with self.processes.accelerator.autocast():
                found = measure(self.expert, self.validation, seq_len=self.seq_len)
            score = -found.loss
            figures |= {
                "validation_loss": found.loss,
                "perplexity": found.perplexity,
                "bits_per_byte": found.bits_per_byte,
            }
            if self.processes.is_main:
                logger.info(
                    "step %d of %d: %.3f bits per byte, perplexity %.1f on held-out text",
                    state.step, state.total_steps, found.bits_per_byte, found.perplexity,
                )  # fmt: skip
        if self.sample is not None and self.processes.is_main:
            self.expert.eval()
            self.sample(self.expert, state.step)
            self.expert.train()
        return Validation(score if score is None or math.isfinite(score) else -math.inf, figures)

    def _require_a_block_for_all(self) -> None:
        parts = self.processes.count * self.config.accumulation_steps
        if self.config.batch_size < parts:
            raise ConfigError(
                f"a batch of {self.config.batch_size} blocks cannot be dealt out over {parts} parts "
                f"({self.processes.count} processes × {self.config.accumulation_steps} accumulation steps)"
            )


_AT_ONCE = 1 << 22  # tokens hashed at a time, of those that are mapped from a file


def _known(streams: Sequence[np.ndarray]) -> dict[str, Any]:
    """What tokens are known by, whatever the type that holds them."""
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(len(stream).to_bytes(8, "little"))
        for start in range(0, len(stream), _AT_ONCE):
            digest.update(stream[start : start + _AT_ONCE].astype("<i8").tobytes())
    return {"num_tokens": sum(len(stream) for stream in streams), "sha256": digest.hexdigest()}


def _told(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    differing = [side for side, known in now.items() if before.get(side) != known]
    return "; ".join(
        f"{side}: {before[side]['num_tokens']:,} tokens then, {now[side]['num_tokens']:,} others now"
        for side in differing
    )


def block_of(model: ExpertModel, config: ExpertTrainingConfig) -> int:
    """Tokens of a training block. Raises `ConfigError` when the model cannot read as many."""
    seq_len = config.seq_len or model.config.max_seq_len
    if seq_len > model.config.max_seq_len:
        raise ConfigError(
            f"seq_len={seq_len} is more than the model's max_seq_len={model.config.max_seq_len}; lower the one or raise the "
            "other"
        )
    if seq_len < model.config.max_seq_len:
        logger.warning(
            "blocks of %d tokens: the model's positions beyond them, up to max_seq_len=%d, are never trained",
            seq_len, model.config.max_seq_len,
        )  # fmt: skip
    return seq_len


def _schedule(steps_per_epoch: int, config: ExpertTrainingConfig) -> Schedule:
    steps = min(steps_per_epoch * config.epochs, config.max_steps or sys.maxsize)
    return Schedule(steps, steps_per_epoch, config.evaluate_every_steps or steps_per_epoch)


def _require_in_vocabulary(tokens: np.ndarray, vocab_size: int) -> None:
    highest = int(tokens.max()) if len(tokens) else 0
    if highest >= vocab_size:
        raise PromptError(
            f"the training text holds token id {highest}, the model's vocabulary has {vocab_size} (0 to {vocab_size - 1}); "
            "was it tokenized by another model's tokenizer?"
        )
