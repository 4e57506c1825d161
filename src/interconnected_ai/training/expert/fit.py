"""Training an expert on a stream of tokens.

The loop is `Trainer`'s, what is learnt by it `ExpertLearner`'s.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interconnected_ai.arguments import checked
from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.experts import ExpertModel, HeldOut, Perplexity, measure
from interconnected_ai.training.computing import keep_computing, open_processes
from interconnected_ai.training.expert.learner import ExpertLearner, Sample
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import owned
from interconnected_ai.training.trainer import Course, Trainer

_LESS_MEMORY = (
    "Raise accumulation_steps, which computes the same batch in smaller parts, set gradient_checkpointing, or lower "
    "batch_size or seq_len"
)


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


@checked
def fit_expert(
    model: ExpertModel,
    tokens: np.ndarray,
    validation: HeldOut | None,
    config: ExpertTrainingConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    sample: Sample | None = None,
    silent: bool = False,
) -> ExpertFit:
    """Train a model on a stream of tokens; afterwards it holds the weights of the lowest validation loss.

    tokens: documents one after another, an end token before each and after the last; may be mapped from a file. folder:
    checkpoints, metrics.jsonl and TensorBoard logs go here. resume: go on from its last checkpoint; on a CPU the result
    equals an uninterrupted run's to the last bit. sample: called after every evaluation.
    silent: nothing is said of it on the way.
    Raises `DataError` when the tokens do not fill one batch, `ConfigError` for blocks longer than the model reads,
    `PromptError` for tokens outside its vocabulary, `NonFiniteLossError` when the loss is no number (the last good
    checkpoint stays), `StorageError` when the disk is full, `BusyError` while another training is at work in `folder`.
    One training at a time in a process: the random state and Accelerate's are the process's.
    """
    processes = open_processes(config.device, config.precision, Path(folder), resume=resume)
    with owned(Path(folder), is_main=processes.is_main):
        keep_computing(processes, Path(folder))
        return _fit(model, tokens, validation, config, Path(folder), processes, resume, sample, silent)


def _fit(
    model: ExpertModel,
    tokens: np.ndarray,
    validation: HeldOut | None,
    config: ExpertTrainingConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    sample: Sample | None,
    silent: bool,
) -> ExpertFit:
    random = torch.random.get_rng_state()
    checkpointed = model.gradient_checkpointing
    try:
        learner = ExpertLearner(model, tokens, validation, config, processes, sample)
        trainer = Trainer(processes, learner.objective, learner.schedule, config, folder, rates="lr", silent=silent)
        with noting_errors(folder, lambda: trainer.step, advice=_LESS_MEMORY):
            course = trainer.run(learner, resume=resume)
            trainer.finish()
            model.eval()
            return _result(course, learner)
    finally:
        model.gradient_checkpointing = checkpointed
        torch.random.set_rng_state(random)


def _result(course: Course, learner: ExpertLearner) -> ExpertFit:
    config, held, seq_len = learner.config, learner.validation, learner.seq_len
    return ExpertFit(
        steps=course.steps,
        epochs=course.steps / learner.schedule.steps_per_epoch,
        best_step=course.best_step,
        stopped_early=course.stopped_early,
        train_seconds=course.seconds,
        train_tokens=(course.steps - course.first_step) * config.batch_size * seq_len,
        device=str(learner.processes.device),
        precision=learner.processes.precision,
        validation=None if held is None else measure(learner.expert, held, seq_len=seq_len),
    )
