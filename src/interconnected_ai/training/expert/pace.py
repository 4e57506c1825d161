"""How many steps fit into some minutes, found by timing a few on a copy of the model."""

from copy import deepcopy
from pathlib import Path

import numpy as np

from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.experts import ExpertModel
from interconnected_ai.training.expert.fit import fit_expert
from interconnected_ai.training.expert.learner import block_of

_WARM_UP, _TIMED = 2, 6


def within(
    minutes: float, model: ExpertModel, stream: np.ndarray, config: ExpertTrainingConfig, folder: Path
) -> ExpertTrainingConfig:
    """The settings with as many steps as fit; `epochs` follows, so that it does not end the training before.

    folder: for the timed trainings, the same for all processes; it may be dropped afterwards.
    """
    steps = max(1, int(60 * minutes / _seconds_per_step(model, stream, config, folder)))
    steps_per_epoch = len(stream) // block_of(model, config) // config.batch_size
    return config.with_changes(max_steps=steps, epochs=-(-steps // max(1, steps_per_epoch - 1)))


def _seconds_per_step(model: ExpertModel, stream: np.ndarray, config: ExpertTrainingConfig, folder: Path) -> float:
    seconds = [_seconds_of(model, stream, config, steps, folder) for steps in (_WARM_UP, _TIMED)]
    return seconds[1] / _TIMED


def _seconds_of(
    model: ExpertModel, stream: np.ndarray, config: ExpertTrainingConfig, steps: int, folder: Path
) -> float:
    """Train a copy for some steps, with nothing measured and nothing kept."""
    bare = {
        "max_steps": steps,
        "epochs": steps,
        "evaluate_every_steps": 10**9,
        "checkpoint_every_steps": 10**9,
        "monitors": [],
    }
    timed = config.with_changes(**bare)
    return fit_expert(deepcopy(model), stream, None, timed, folder / str(steps), silent=True).train_seconds
