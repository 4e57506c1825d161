"""Training an expert on a stream of tokens: the `Trainer`'s learner for language models."""

import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.data import CorpusPlan
from interconnected_ai.errors import ConfigError, PromptError
from interconnected_ai.experts import ExpertModel
from interconnected_ai.training.expert.objective import Objective, adamw, learning_rate
from interconnected_ai.training.expert.perplexity import HeldOut, Perplexity, measure
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.trainer import Schedule, Trainer, Validation

logger = logging.getLogger(__name__)

_LESS_MEMORY = (
    "Raise accumulation_steps, which computes the same batch in smaller parts, set gradient_checkpointing, or lower "
    "batch_size or seq_len"
)

# Given the model and the step, says for people how it writes now.
Sample = Callable[[ExpertModel, int], None]


@dataclass(frozen=True)
class ExpertFit:
    """How a training went. validation: of the weights that were kept; seconds of this call alone."""

    steps: int
    epochs: float
    best_step: int
    stopped_early: bool
    train_seconds: float
    train_tokens: int
    device: str
    precision: str
    validation: Perplexity | None

    @property
    def tokens_per_second(self) -> float:
        """Of the whole training, evaluations and checkpoints included."""
        return self.train_tokens / self.train_seconds


def fit_expert(
    model: ExpertModel,
    tokens: np.ndarray,
    validation: HeldOut | None,
    config: ExpertTrainingConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    sample: Sample | None = None,
) -> ExpertFit:
    """Train a model on a stream of tokens; afterwards it holds the weights of the lowest validation loss.

    tokens: documents one after another, an end token before each and after the last; may be mapped from a file. folder:
    checkpoints, metrics.jsonl and TensorBoard logs go here. resume: go on from its last checkpoint; on a CPU the result
    equals an uninterrupted run's to the last bit. sample: called after every evaluation.
    Raises `DataError` when the tokens do not fill one batch, `ConfigError` for blocks longer than the model reads,
    `PromptError` for tokens outside its vocabulary, `NonFiniteLossError` when the loss is no number (the last good
    checkpoint stays), `StorageError` when the disk is full.
    """
    random = torch.random.get_rng_state()
    checkpointed = model.gradient_checkpointing
    try:
        training = _ExpertFit(model, tokens, validation, config, Path(folder), sample)
        with noting_errors(Path(folder), lambda: training.trainer.step, advice=_LESS_MEMORY):
            return training.run(resume=resume)
    finally:
        model.gradient_checkpointing = checkpointed
        torch.random.set_rng_state(random)


@dataclass(frozen=True)
class _Loss:
    total: Tensor
    task: Tensor


class _ExpertFit:
    """One training of an expert; the `Trainer`'s learner."""

    def __init__(
        self,
        model: ExpertModel,
        tokens: np.ndarray,
        validation: HeldOut | None,
        config: ExpertTrainingConfig,
        folder: Path,
        sample: Sample | None,
    ) -> None:
        self.expert, self.validation, self.config, self.sample = model, validation, config, sample
        self.seq_len = block_of(model, config)
        self.tokens = tokens
        self.plan = CorpusPlan(len(tokens), self.seq_len, config.batch_size, config.seed)
        _require_in_vocabulary(tokens, model.config.vocab_size)
        self.processes = Processes.open(config.device, config.precision)
        self._require_a_block_for_all()
        model.to(self.processes.device)
        model.gradient_checkpointing = config.gradient_checkpointing
        self.steps_per_epoch = self.plan.steps_per_epoch
        steps = min(self.steps_per_epoch * config.epochs, config.max_steps or sys.maxsize)
        schedule = Schedule(steps, self.steps_per_epoch, config.evaluate_every_steps or self.steps_per_epoch)
        self.trainer = Trainer(self.processes, Objective(model), schedule, config, folder, rates="lr")

    def run(self, *, resume: bool) -> ExpertFit:
        """Train, then take the best weights."""
        course = self.trainer.run(self, resume=resume)
        self.trainer.finish()
        self.expert.eval()
        return ExpertFit(
            steps=course.steps,
            epochs=course.steps / self.steps_per_epoch,
            best_step=course.best_step,
            stopped_early=course.stopped_early,
            train_seconds=course.seconds,
            train_tokens=(course.steps - course.first_step) * self.config.batch_size * self.seq_len,
            device=str(self.processes.device),
            precision=self.processes.precision,
            validation=None if self.validation is None else measure(self.expert, self.validation, seq_len=self.seq_len),
        )

    # What the trainer asks for

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """Where the blocks of each batch begin."""
        return self.plan.epoch(epoch, start)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW, matrices alone decaying."""
        lr = self.config.lr or learning_rate(self.expert.config)
        return adamw(model, lr=lr, weight_decay=self.config.weight_decay)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Compiled, where that is asked for."""
        if self.config.compile:
            self.trainer.unwrapped().compile()
        yield

    def begin(self) -> Mapping[str, float]:
        """Nothing precedes them."""
        return {}

    def loss(self, rows: np.ndarray, batch: np.ndarray) -> _Loss:
        """Mean nats per token of the whole batch, this part's share."""
        nats: Tensor = self.trainer.model(self.plan.read(self.tokens, rows).to(self.processes.device))
        task = nats / (len(batch) * self.seq_len)
        return _Loss(task * self.processes.count, task.detach())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed."""
        return {"tokens_per_second": len(batch) * self.seq_len / seconds}

    def validate(self) -> Validation:
        """Minus the validation loss, with perplexity and bits per byte; then a sample."""
        step = self.trainer.step
        figures = {"epoch": step / self.steps_per_epoch}
        score = None
        self.trainer.whole_model()  # of which `self.expert` is a part
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
                    step, self.trainer.schedule.total_steps, found.bits_per_byte, found.perplexity,
                )  # fmt: skip
        if self.sample is not None and self.processes.is_main:
            self.expert.eval()
            self.sample(self.expert, step)
            self.expert.train()
        return Validation(score if score is None or math.isfinite(score) else -math.inf, figures)

    def _require_a_block_for_all(self) -> None:
        parts = self.processes.count * self.config.accumulation_steps
        if self.config.batch_size < parts:
            raise ConfigError(
                f"a batch of {self.config.batch_size} blocks cannot be dealt out over {parts} parts "
                f"({self.processes.count} processes × {self.config.accumulation_steps} accumulation steps)"
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


def _require_in_vocabulary(tokens: np.ndarray, vocab_size: int) -> None:
    highest = int(tokens.max()) if len(tokens) else 0
    if highest >= vocab_size:
        raise PromptError(
            f"the training text holds token id {highest}, the model's vocabulary has {vocab_size} (0 to {vocab_size - 1}); "
            "was it tokenized by another model's tokenizer?"
        )
