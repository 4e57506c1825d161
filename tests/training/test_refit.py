"""The last regression: what was chosen on held-out rows is solved again with these rows, where the trunk has not learnt."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from conftest import make_rows, make_system
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import Branch, TextFeatures, class_indices, class_weights, fit_branch
from interconnected_ai.branches.convex import regress
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.training import fit
from interconnected_ai.training.system import FitResult

QUICK = {"epochs": 2, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [], "patience": None}
RUINOUS = {"lr_moe": 1.0, "lr_head": 1.0, "lr_adapter": 1.0, "lr_wide": 1.0, "warmup_steps": 0}
TRAIN = Rows.joined([make_rows("a", 60), make_rows("b", 30, seed=1, marker="today")])
VALIDATION = Rows.joined([make_rows("a", 30, seed=9), make_rows("b", 12, seed=10, marker="today")])


def trained(folder: Path, **settings: object) -> tuple[InterconnectedAISystem, FitResult]:
    system = make_system("a", "b")
    return system, fit(system, TRAIN, VALIDATION, TrainingConfig.from_mapping({**QUICK, **settings}), folder)


def weights(branch: Branch) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in branch.state_dict().items()}


def same(a: Branch, b: Branch) -> bool:
    return all(torch.equal(tensor, weights(b)[name]) for name, tensor in weights(a).items())


def facts(branch: Branch) -> dict[str, object]:
    """What a card says but for its fingerprint."""
    return {**branch.card.to_dict(), "fingerprint": None}


def solved(branch: Branch, features: TextFeatures, targets: torch.Tensor) -> Branch:
    """The branch after the regression on these rows, by default settings."""
    branch = copy.deepcopy(branch)
    pooled, bags = branch.read(features)
    regress(branch, pooled, bags, targets, ridge=0.1 * pooled.shape[-1], class_weights=class_weights(targets, 3))
    return branch


def test_a_beginning_that_is_kept_is_solved_on_training_and_validation_rows(tmp_path: Path) -> None:
    before, measured = trained(tmp_path / "off", refit=False, **RUINOUS)
    after, result = trained(tmp_path / "on", **RUINOUS)
    assert measured.best_epoch == result.best_epoch == 0
    for name in after.branch_names:
        texts, labels = (a + b for a, b in zip(TRAIN.of(name), VALIDATION.of(name), strict=True))
        wanted = solved(before.branch(name), before.features_of(texts), class_indices(before.cards[name], labels))
        asked = after.features_of(make_rows(name, 30, seed=20).texts)
        torch.testing.assert_close(after.branch(name).evaluate(asked), wanted.evaluate(asked), atol=2e-2, rtol=0)
        assert not same(after.branch(name), before.branch(name))
        assert all(check.identical for check in after.verify())


def test_what_is_told_is_of_the_weights_that_had_not_learnt_the_validation_rows(tmp_path: Path) -> None:
    before, measured = trained(tmp_path / "off", refit=False, **RUINOUS)
    after, result = trained(tmp_path / "on", **RUINOUS)
    assert result.validation == measured.validation
    for name in after.branch_names:
        assert facts(after.branch(name)) == facts(before.branch(name))
        assert after.cards[name].fingerprint != before.cards[name].fingerprint


@pytest.mark.parametrize("settings", [{"watch": "loss", "lr_moe": 3e-3, "epochs": 6}, {"ridge": None, "epochs": 3}])
def test_a_training_that_bettered_its_beginning_is_left_as_it_is(tmp_path: Path, settings: dict[str, object]) -> None:
    (plain, _), (asked, result) = (
        trained(tmp_path / "off", refit=False, **settings),
        trained(tmp_path / "on", **settings),
    )
    assert result.best_epoch > 0
    assert all(same(plain.branch(name), asked.branch(name)) for name in plain.branch_names)


def test_a_head_start_is_not_undone(tmp_path: Path) -> None:
    settings = {**RUINOUS, "head_start_epochs": 1}
    (plain, _), (asked, result) = (
        trained(tmp_path / "off", refit=False, **settings),
        trained(tmp_path / "on", **settings),
    )
    assert result.best_epoch == 0
    assert all(same(plain.branch(name), asked.branch(name)) for name in plain.branch_names)


def test_a_killed_and_resumed_run_is_solved_alike(tmp_path: Path) -> None:
    settings = TrainingConfig.from_mapping({**QUICK, **RUINOUS})
    whole, _ = trained(tmp_path / "one", **RUINOUS)
    again = make_system("a", "b")
    fit(again, TRAIN, VALIDATION, settings, tmp_path / "one", resume=True)
    assert all(same(whole.branch(name), again.branch(name)) for name in whole.branch_names)
    assert whole.cards == again.cards


def added(system: InterconnectedAISystem, rows: Rows = TRAIN, **settings: object) -> Branch:
    """Branch "a" of the system, trained on its finished trunk."""
    system = copy.deepcopy(system)
    config = TrainingConfig.from_mapping(
        {"epochs": 2, "lr_head": 1.0, "lr_adapter": 1.0, "warmup_steps": 0, **settings}
    )
    fit_branch(system, "a", *rows.of("a"), validation=VALIDATION.of("a"), config=config)
    return system.branch("a")


def test_an_added_branch_is_solved_on_all_its_rows_too() -> None:
    system = make_system("a", "b")
    before, after = added(system, refit=False), added(system)
    texts, labels = (a + b for a, b in zip(TRAIN.of("a"), VALIDATION.of("a"), strict=True))
    wanted = solved(before, system.features_of(texts), class_indices(before.card, labels))
    torch.testing.assert_close(after.head.weight, wanted.head.weight, atol=1e-3, rtol=1e-3)
    assert not torch.equal(after.head.weight, before.head.weight)
    assert facts(after) == facts(before)
    assert same(system.branch("b"), copy.deepcopy(system).branch("b"))


def test_new_rows_are_answered_no_worse_at_the_temperature_of_before() -> None:
    system = make_system("a", "b")
    losses = []
    for refit in (False, True):
        branch = added(system, refit=refit)
        new = make_rows("a", 90, seed=40)
        logits = branch.evaluate(system.features_of(new.texts)) / branch.card.temperature
        losses.append(F.cross_entropy(logits, class_indices(branch.card, new.of("a")[1])).item())
    assert losses[1] <= 1.02 * losses[0]


def test_descent_that_is_surely_better_is_kept_in_an_added_branch() -> None:
    """A penalty that leaves nothing but the biases answers all texts with the most frequent class: descent has all to win."""
    system = make_system("a", "b")
    better = {"ridge": 1e9, "class_weights": "none", "epochs": 40, "batch_size": 8, "lr_head": 1e-2, "lr_wide": 1e-2}
    labels = TRAIN.of("a")[1]
    uneven = TRAIN.select(row for row, label in enumerate(labels) if label == labels[0] or row < 30)
    before, after = (added(system, uneven, refit=refit, **better) for refit in (False, True))
    assert before.card.metrics["accuracy"] > 0.8
    assert same(before, after)


def test_descent_that_may_be_better_by_luck_gives_way_to_learning_all_rows() -> None:
    """Where accuracy decides; where something else is watched, the best epoch of that is kept."""
    system = make_system("a", "b")
    for watch, gives_way in (("accuracy", True), ("loss", False)):
        gentle = {"lr_head": 1e-3, "lr_adapter": 1e-3, "epochs": 3, "watch": watch, "ridge": 3.0}
        before, after = added(system, refit=False, **gentle), added(system, **gentle)
        assert torch.equal(before.head.weight, after.head.weight) != gives_way


def test_metrics_on_the_way_say_which_epoch_was_kept(tmp_path: Path) -> None:
    _, result = trained(tmp_path, **RUINOUS)
    history = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (begun,) = [line["accuracy/mean"] for line in history if line.get("epoch") == 0.0]
    assert sum(m.accuracy for m in result.validation.values()) / 2 == pytest.approx(begun)
