"""Training a branch on pooled vectors: an ordinary loop, which leaves nothing behind but the branch's weights."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from conftest import make_rows, make_system, randomize
from interconnected_ai.branches import Branch, class_weights, fit_branch, probabilities, train_on_pooled
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import DataError
from interconnected_ai.nn import fit_temperature, fit_threshold, learning_rate_factor, watched_score


def pooled_rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors whose class can be read off them, and the classes; the first class is the most frequent."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(4, (count,), generator=generator).clamp(max=2)
    return torch.randn(count, 32, generator=generator) + 2.0 * F.one_hot(targets, 32), targets


def test_no_gradient_is_left_for_a_joint_training_to_add() -> None:
    system = make_system("a")
    pooled, targets = torch.randn(12, system.encoder.d_model), torch.arange(12) % 3
    train_on_pooled(system.branch("a"), pooled, targets, None, TrainingConfig(epochs=2, batch_size=4))
    assert [n for n, p in system.named_parameters() if p.grad is not None] == []


def obvious(branch: Branch, pooled: Tensor, targets: Tensor, config: TrainingConfig) -> dict[str, Tensor]:
    """The weights after an ordinary loop without dropout and validation."""
    groups: list[dict[str, Any]] = [
        {"params": list(branch.adapter.parameters()), "lr": config.lr_adapter},
        {"params": list(branch.head.parameters()), "lr": config.lr_head},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    weights = class_weights(targets, 3) if config.class_weights == "balanced" else None
    order = torch.Generator().manual_seed(config.seed)
    total, step = -(-len(pooled) // config.batch_size) * config.epochs, 0
    for _ in range(config.epochs):
        for rows in torch.randperm(len(pooled), generator=order).split(config.batch_size):
            factor = learning_rate_factor(step, total, config.warmup_steps)
            for group, rate in zip(optimizer.param_groups, (config.lr_adapter, config.lr_head), strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
            loss = F.cross_entropy(branch(pooled[rows]), targets[rows], weights, label_smoothing=config.label_smoothing)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(branch.parameters(), config.gradient_clip)
            optimizer.step()
            step += 1
    return branch.state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"class_weights": "none", "seed": 3},
        {"label_smoothing": 0.2, "weight_decay": 0.3, "lr_adapter": 3e-2},
        {"gradient_clip": 0.05, "lr_head": 5e-2, "warmup_steps": 0},
    ],
)
def test_it_is_an_ordinary_loop(settings: dict[str, Any]) -> None:
    config = TrainingConfig.from_mapping(
        {"epochs": 4, "batch_size": 8, "lr_adapter": 1e-2, "lr_head": 1e-2, "ridge": None, **settings}
    )
    branch = make_system("a", dropout=0.0).branch("a")
    pooled, targets = pooled_rows(30)
    wanted = obvious(copy.deepcopy(branch).train(), pooled, targets, config)
    assert train_on_pooled(branch, pooled, targets, None, config)[0] == 4
    for name, tensor in branch.state_dict().items():
        torch.testing.assert_close(tensor, wanted[name], msg=name)


def test_the_seed_decides_dropout_too_and_the_process_keeps_its_random_state() -> None:
    system = make_system("a", dropout=0.4)
    pooled, targets = pooled_rows(30)
    found = []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        branch = copy.deepcopy(system.branch("a"))
        torch.manual_seed(state)
        before = torch.random.get_rng_state()
        train_on_pooled(branch, pooled, targets, None, TrainingConfig(epochs=2, batch_size=8, seed=seed))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert not branch.training
        found.append(branch.head.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_best_epoch_is_kept_and_the_patience_ends_the_training() -> None:
    branch = make_system("a", dropout=0.0).branch("a")
    pooled, targets = pooled_rows(30)
    held = (pooled[:9], (targets[:9] + 1) % 3)  # the better it learns, the worse this gets
    settings = {"epochs": 40, "batch_size": 8, "lr_adapter": 3e-2, "lr_head": 3e-2, "warmup_steps": 0}
    for patience, most in ((3, 39), (None, 40)):
        trained = copy.deepcopy(branch)
        config = TrainingConfig.from_mapping({**settings, "patience": patience})
        epochs, accuracy = train_on_pooled(trained, pooled, targets, held, config)
        assert epochs <= most if patience else epochs == 40
        assert (trained(held[0]).argmax(-1) == held[1]).double().mean().item() == accuracy
        if patience:
            shorter = copy.deepcopy(branch)
            again, same = train_on_pooled(shorter, pooled, targets, held, config.with_changes(patience=1))
            assert again < epochs
            assert same <= accuracy


@torch.no_grad()
def test_a_branch_is_the_head_of_the_vector_and_what_its_adapter_adds() -> None:
    branch = randomize(make_system("a")).branch("a")
    pooled = pooled_rows(5)[0]
    added = F.linear(F.linear(pooled, branch.adapter.lora_a), branch.adapter.lora_b) * branch.adapter.scale
    assert added.abs().max() > 0.1
    torch.testing.assert_close(branch(pooled), F.linear(pooled + added, branch.head.weight, branch.head.bias))


def test_without_rows_nothing_is_trained() -> None:
    branch = make_system("a").branch("a")
    with pytest.raises(DataError, match="cannot be trained on zero rows"):
        train_on_pooled(branch, torch.zeros(0, 32), torch.zeros(0, dtype=torch.long), None, TrainingConfig())


def test_rare_classes_weigh_more_and_the_mean_row_weighs_one() -> None:
    targets = torch.tensor([0] * 16 + [1] * 4)
    weights = class_weights(targets, 3)
    assert (weights[1] / weights[0]).item() == pytest.approx(2.0)  # 1/√4 over 1/√16
    assert weights[targets].mean().item() == pytest.approx(1.0)
    assert weights[2].isfinite()


def test_the_card_tells_how_a_branch_was_trained_and_what_it_answers() -> None:
    config = TrainingConfig(epochs=3, batch_size=8, refit=False)  # else the card speaks of weights that are gone
    rows, held = make_rows("new", 24), make_rows("new", 12, seed=5).of("new")
    outside = make_rows("other", 9, seed=9, marker="zzz").texts
    system = make_system("new")
    plain = fit_branch(system, "new", *rows.of("new"), config=config).card
    assert (plain.temperature, plain.threshold, plain.metrics, plain.num_rows) == (1.0, 0.0, {}, 24)
    assert (plain.trained, plain.fingerprint is None) == ("added", False)
    for given in ((), outside):
        system = make_system("new")
        fit = fit_branch(system, "new", *rows.of("new"), validation=held, outside=given, config=config)
        card, branch = fit.card, system.branch("new")
        logits = branch.evaluate(system.features_of(held[0]))
        labels = torch.tensor([card.spec.labels.index(label) for label in held[1]])
        assert card.metrics == {"accuracy": (logits.argmax(-1) == labels).double().mean().item()}
        assert card.metrics["accuracy"] == fit.validation_accuracy
        pairs = Counter(zip(labels.tolist(), logits.argmax(-1).tolist(), strict=True))
        assert {(right, said): count for right, said, count in fit.confusion} == pairs
        assert card.temperature == fit_temperature(logits, labels) != 1.0
        inside = probabilities(logits, card).amax(-1) * branch.familiarity(system.encode(held[0]))
        apart = None
        if len(given):
            foreign = system.features_of(given)
            apart = probabilities(branch.evaluate(foreign), card).amax(-1) * branch.familiarity(foreign)
        assert card.threshold == fit_threshold(inside, apart)
        assert (card.calibration_rows, card.outside_rows) == (12, len(given))
        assert card.num_rows == 24


def test_an_empty_validation_is_none() -> None:
    card = fit_branch(
        make_system("new"), "new", *make_rows("new", 12).of("new"), validation=([], []), config=TrainingConfig(epochs=1)
    ).card
    assert (card.temperature, card.metrics) == (1.0, {})


def of_class(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)


def test_what_is_watched_is_what_its_name_says() -> None:
    logits, targets = of_class([2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 1.0]), torch.tensor([0, 0, 1, 1])
    assert watched_score(logits, targets, "accuracy") == 0.75
    assert watched_score(logits, targets, "macro_f1") == pytest.approx((0.8 + 2 / 3) / 2)
    assert watched_score(logits, targets, "loss") == pytest.approx(-F.cross_entropy(logits.double(), targets).item())


@pytest.mark.parametrize("watch", ["accuracy", "macro_f1", "loss"])
def test_the_epoch_that_is_kept_is_the_first_of_the_best_at_what_is_watched(watch: str) -> None:
    branch = make_system("a", dropout=0.0).branch("a")
    pooled, targets = pooled_rows(30)
    held, answers = pooled_rows(20, seed=3)[0] * 2, pooled_rows(20, seed=4)[1]
    answers = torch.where(torch.arange(20) < 12, pooled_rows(20, seed=3)[1], answers)  # some of them are wrong
    settings = {"batch_size": 8, "lr_adapter": 3e-2, "lr_head": 3e-2, "warmup_steps": 0, "ridge": None, "watch": watch}
    config = TrainingConfig.from_mapping({**settings, "epochs": 12, "patience": None})
    seen, step = [], branch.forward

    def note(asked: Tensor, *more: Any) -> Tensor:
        logits = step(asked, *more)
        if not torch.is_grad_enabled():
            seen.append(watched_score(logits, answers, watch))  # type: ignore[arg-type]
        return logits

    branch.forward = note  # type: ignore[method-assign]
    train_on_pooled(branch, pooled, targets, (held, answers), config)
    assert len(seen) == 12
    best = seen.index(max(seen))
    branch.forward = step  # type: ignore[method-assign]
    assert watched_score(branch(held), answers, watch) == seen[best]  # type: ignore[arg-type]
