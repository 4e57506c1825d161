"""What early stopping watches in a joint training: the figure, the epoch that is kept, and a run that is resumed."""

from pathlib import Path

import pytest

from conftest import make_rows, make_system
from interconnected_ai.config import TrainingConfig, Watch
from interconnected_ai.errors import ConfigError
from interconnected_ai.training import BranchMetrics, fit, read_curves
from interconnected_ai.training.system.figures import validation_figures

SETTINGS = {"epochs": 3, "batch_size": 16, "monitors": [], "device": "cpu", "precision": "float32"}
FOUND = {
    "a": BranchMetrics(10, accuracy=0.5, macro_f1=0.4, loss=1.0, calibration_error=0.1, answered=1.0),
    "b": BranchMetrics(30, accuracy=0.9, macro_f1=0.6, loss=2.0, calibration_error=0.1, answered=1.0),
}


@pytest.mark.parametrize(("watch", "score"), [("accuracy", 0.7), ("macro_f1", 0.5), ("loss", -1.5)])
def test_what_is_watched_is_a_mean_over_the_branches_and_higher_is_better(watch: Watch, score: float) -> None:
    assert validation_figures(FOUND, watch)["watched"] == pytest.approx(score)


@pytest.mark.parametrize("watch", ["accuracy", "macro_f1", "loss"])
def test_the_epoch_that_is_kept_is_the_first_with_the_best_score(tmp_path: Path, watch: str) -> None:
    system = make_system("a", num_moe_layers=0)
    config = TrainingConfig.from_mapping({**SETTINGS, "watch": watch, "patience": None, "lr_head": 1e-2})
    found = fit(system, make_rows("a", 32), make_rows("a", 24, seed=1), config, tmp_path)
    curve = read_curves(tmp_path / "metrics.jsonl")["watched"]
    scores = dict(zip(curve.steps, curve.values, strict=True))
    best = min(scores, key=lambda step: (-scores[step], step))
    assert found.best_epoch == best // 2


def test_a_run_is_not_resumed_to_watch_something_else(tmp_path: Path) -> None:
    rows, held = make_rows("a", 32), make_rows("a", 24, seed=1)
    config = TrainingConfig.from_mapping({**SETTINGS, "watch": "loss"})
    fit(make_system("a", num_moe_layers=0), rows, held, config, tmp_path)
    with pytest.raises(ConfigError, match="watch"):
        fit(
            make_system("a", num_moe_layers=0), rows, held, config.with_changes(watch="accuracy"), tmp_path, resume=True
        )
