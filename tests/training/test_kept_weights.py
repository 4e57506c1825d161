"""Which weights a training keeps where those of its beginning are good already, and whether a resumed one keeps the same."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interconnected_ai.config import TrainingConfig
from interconnected_ai.training.computing import open_processes
from interconnected_ai.training.learner import DataRecord, Schedule, TrainingState, Validation
from interconnected_ai.training.trainer import Trainer

NUM_ROWS = 20


@dataclass(frozen=True)
class Loss:
    total: Tensor

    @property
    def task(self) -> Tensor:
        return self.total.detach()


@dataclass
class Told:
    """A learner whose evaluations are told beforehand: of step 0, and after each epoch of one step."""

    answers: Sequence[Tensor]
    sure: bool = True
    dies_at: int | None = None
    asked: list[int] = field(default_factory=list)

    def data_record(self) -> DataRecord:
        return DataRecord({}, {})

    def recognise(self, kept: DataRecord) -> bool:
        return True

    def begin(self, model: nn.Module) -> Validation:
        return self._found(0)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [{"name": "all", "params": list(model.parameters()), "lr": 0.1}]
        return torch.optim.AdamW(groups)

    def learning(self, model: nn.Module) -> Any:
        return nullcontext()

    def batches(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        yield from [np.arange(2)][start:]

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> Loss:
        if state.step == self.dies_at:
            raise KeyboardInterrupt
        return Loss(state.model(torch.ones(1, 1)).sum())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        return {}

    def validate(self, state: TrainingState) -> Validation:
        return self._found(state.step)

    def _found(self, step: int) -> Validation:
        self.asked.append(step)
        right = self.answers[step]
        score = right.double().mean().item()
        return Validation(score, {"watched": score}, {"a": right} if self.sure else None)


def right(*, first: int = 0, last: int = 0) -> Tensor:
    """Which of 20 rows are answered rightly: the first so many and the last so many."""
    rows = torch.zeros(NUM_ROWS, dtype=torch.bool)
    rows[:first] = True
    rows[NUM_ROWS - last :] = True
    return rows


BEGUN, ONE_MORE, OTHERS, SURE, SURER = right(first=8), right(first=9), right(last=11), right(first=14), right(first=15)


def trained(learner: Told, folder: Path, *, resume: bool = False, patience: int | None = None) -> Trainer:
    """A training of an epoch for each evaluation that is told, finished."""
    config = TrainingConfig.from_mapping(
        {
            "epochs": len(learner.answers) - 1, "patience": patience, "monitors": [], "device": "cpu",
            "precision": "float32", "checkpoint_every_steps": 1,
        }
    )  # fmt: skip
    torch.manual_seed(0)
    trainer = Trainer(
        open_processes("cpu", "float32", folder, resume=resume),
        nn.Linear(1, 1),
        Schedule(config.epochs, 1, 1),
        config,
        folder,
        rates="lr",
    )
    trainer.run(learner, resume=resume)
    trainer.finish()
    return trainer


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([BEGUN, ONE_MORE], 0),
        ([BEGUN, OTHERS], 0),  # three rows ahead, of nineteen that differ
        ([BEGUN, SURE], 1),
        ([BEGUN, ONE_MORE, OTHERS, SURE], 3),
        ([BEGUN, SURE, SURER, ONE_MORE], 2),  # what is left already is left for any better score
        ([SURE, BEGUN], 0),
    ],
)
def test_the_weights_of_the_beginning_are_left_for_what_is_surely_better(
    answers: list[Tensor], kept: int, tmp_path: Path
) -> None:
    assert trained(Told(answers), tmp_path).kept_step == kept


def test_where_the_score_is_enough_the_best_is_kept(tmp_path: Path) -> None:
    assert trained(Told([BEGUN, ONE_MORE], sure=False), tmp_path).kept_step == 1


def test_patience_counts_from_the_highest_score_whether_it_is_kept_or_not(tmp_path: Path) -> None:
    learner = Told([BEGUN, BEGUN, ONE_MORE, BEGUN, SURE, BEGUN, BEGUN, BEGUN])
    assert trained(learner, tmp_path, patience=2).kept_step == 4
    assert learner.asked == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("dies_at", [1, 2, 3])
@pytest.mark.parametrize("last", [ONE_MORE, SURE])
def test_a_resumed_training_keeps_the_same(last: Tensor, dies_at: int, tmp_path: Path) -> None:
    answers = [BEGUN, ONE_MORE, OTHERS, BEGUN, last]
    whole = trained(Told(answers), tmp_path / "whole", patience=3)
    with pytest.raises(KeyboardInterrupt):
        trained(Told(answers, dies_at=dies_at), tmp_path / "stopped", patience=3)
    resumed = trained(Told(answers), tmp_path / "stopped", resume=True, patience=3)
    assert resumed.kept_step == whole.kept_step == (4 if last is SURE else 0)
    assert (resumed.step, resumed.waited, resumed.best_score) == (whole.step, whole.waited, whole.best_score)


def test_a_checkpoint_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    """Such a one knows no rows of the beginning: any better score is kept, as it was."""
    answers = [BEGUN, BEGUN, ONE_MORE]
    with pytest.raises(KeyboardInterrupt):
        trained(Told(answers, sure=False, dies_at=1), tmp_path)
    assert trained(Told(answers), tmp_path, resume=True).kept_step == 2
