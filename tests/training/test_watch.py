"""What early stopping watches in a joint training: the figure, the epoch that is kept, and a run that is resumed."""

from pathlib import Path

import pytest

from conftest import make_rows, make_system
from interconnected_ai.config import TrainingConfig, Watch
from interconnected_ai.data import Rows
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
    config = TrainingConfig.from_mapping(
        {**SETTINGS, "watch": watch, "patience": None, "lr_head": 1e-2, "refit": False}
    )
    found = fit(system, make_rows("a", 32), make_rows("a", 24, seed=1), config, tmp_path)
    curve = read_curves(tmp_path / "metrics.jsonl")["watched"]
    scores = dict(zip(curve.steps, curve.values, strict=True))
    best = min(scores, key=lambda step: (-scores[step], step))
    assert found.best_epoch == best // 2


def doubtful(rows: Rows) -> Rows:
    """The same texts with every third label another than it was."""
    texts, labels = rows.of("a")
    others = {label: sorted(set(labels) - {label}) for label in labels}
    return Rows.of_branch(
        "a", texts, [others[label][row % 2] if row % 3 == 0 else label for row, label in enumerate(labels)]
    )


def rows_ahead(folder: Path, num_rows: int) -> int:
    """By how many validation rows the best epoch is ahead of the weights of step 0, by the curve."""
    values = read_curves(folder / "metrics.jsonl")["watched"].values
    return round((max(values) - values[0]) * num_rows)


def test_the_regression_is_not_left_for_a_few_rows(tmp_path: Path) -> None:
    """Four rows or fewer may be luck, whatever the others are: here a third of the labels says nothing."""
    train, held = doubtful(make_rows("a", 90)), doubtful(make_rows("a", 60, seed=1))
    leads = []
    for seed in range(6):
        config = TrainingConfig.from_mapping(
            {**SETTINGS, "epochs": 6, "patience": None, "lr_head": 3e-2, "lr_adapter": 3e-2, "seed": seed}
        )
        found = fit(make_system("a", num_moe_layers=0), train, held, config, tmp_path / str(seed))
        lead = rows_ahead(tmp_path / str(seed), len(held))
        leads.append(lead)
        assert lead > 4 or found.best_epoch == 0
    assert any(0 < lead <= 4 for lead in leads)


def test_a_run_is_not_resumed_to_watch_something_else(tmp_path: Path) -> None:
    rows, held = make_rows("a", 32), make_rows("a", 24, seed=1)
    config = TrainingConfig.from_mapping({**SETTINGS, "watch": "loss"})
    fit(make_system("a", num_moe_layers=0), rows, held, config, tmp_path)
    with pytest.raises(ConfigError, match="watch"):
        fit(
            make_system("a", num_moe_layers=0), rows, held, config.with_changes(watch="accuracy"), tmp_path, resume=True
        )
