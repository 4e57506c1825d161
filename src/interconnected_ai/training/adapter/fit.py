"""Training an adapter on examples that are at hand. The loop is `Trainer`'s, what is learnt by it `AdapterLearner`'s."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.training.adapter.examples import Examples
from interconnected_ai.training.adapter.learner import AdapterLearner, Foretold
from interconnected_ai.training.adapter.low_rank_learner import LowRankLearner
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.preferred import Preferred
from interconnected_ai.training.computing import keep_computing
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import owned
from interconnected_ai.training.trainer import Trainer

LESS_MEMORY = (
    "Raise accumulation_steps, which computes the same batch in smaller parts, set gradient_checkpointing or base_bits=4, or "
    "lower batch_size or seq_len"
)


@dataclass(frozen=True)
class AdapterFit:
    """How a training went. validation: of the weights that were kept; seconds of this call alone. filled: share of the blocks'
    places that hold a token.
    """

    steps: int
    epochs: float
    best_step: int
    stopped_early: bool
    train_seconds: float
    train_tokens: int
    filled: float
    device: str
    precision: str
    validation: Foretold | Preferred | None

    @property
    def tokens_per_second(self) -> float:
        """Of the whole training, evaluations and checkpoints included."""
        return self.train_tokens / self.train_seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        validation = None if self.validation is None else self.validation.to_dict()
        return {**asdict(self), "tokens_per_second": self.tokens_per_second, "validation": validation}


@checked
def fit_adapter(
    model: AdaptedNetwork,
    examples: Examples,
    validation: Examples | None,
    config: AdapterTrainingConfig,
    seq_len: int,
    folder: str | Path,
    processes: Processes,
    *,
    resume: bool = False,
    silent: bool = False,
) -> AdapterFit:
    """Train a model's adapter; afterwards it holds the weights of the lowest validation loss.

    folder: checkpoints, metrics.jsonl and TensorBoard logs go here. resume: go on from its last checkpoint; on a CPU the
    result equals an uninterrupted run's to the last bit.
    Raises `DataError` without examples and for one longer than a block, `NonFiniteLossError` when the loss is no number (the
    last good checkpoint stays), `StorageError` when the disk is full, `BusyError` while another training is at work there.
    One training at a time in a process: the random state and Accelerate's are the process's.
    """

    def learner() -> AdapterLearner:
        return AdapterLearner(model, examples, validation, config, seq_len, processes)

    return fit_learner(learner, model, config, Path(folder), processes, resume=resume, silent=silent)


def fit_learner(
    make: Callable[[], LowRankLearner],
    model: AdaptedNetwork,
    config: AdapterTrainingConfig,
    folder: Path,
    processes: Processes,
    *,
    resume: bool,
    silent: bool,
) -> AdapterFit:
    """Train an adapter as its learner says, which is made once the folder is this training's own."""
    with owned(folder, is_main=processes.is_main):
        keep_computing(processes, folder)
        random = torch.random.get_rng_state()
        try:
            learner = make()
            trainer = Trainer(processes, learner.objective, learner.schedule, config, folder, rates="lr", silent=silent)
            with noting_errors(folder, lambda: trainer.step, advice=LESS_MEMORY):
                course = trainer.run(learner, resume=resume)
                trainer.finish()
                model.eval()
                held = learner.measured()
        finally:
            model.remember_less(False)
            torch.random.set_rng_state(random)
    return AdapterFit(
        steps=course.steps,
        epochs=course.steps / learner.schedule.steps_per_epoch,
        best_step=course.best_step,
        stopped_early=course.stopped_early,
        train_seconds=course.seconds,
        train_tokens=learner.num_tokens,
        filled=learner.filled,
        device=str(processes.device),
        precision=processes.precision,
        validation=held,
    )
