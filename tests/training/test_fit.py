"""The joint training: it learns, it can stop and go on, and it says clearly when it cannot."""

import json
import math
from pathlib import Path

import pytest
import torch

from conftest import make_encoder, make_rows, make_system
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError, StorageError, TrainingError
from interconnected_ai.storage import is_complete
from interconnected_ai.training import evaluate, fit
from interconnected_ai.training.checkpoints import CheckpointFolder

QUICK = {"epochs": 3, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [], "patience": None}


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.from_mapping({**QUICK, **changes})


def rows(count: int = 48, seed: int = 0) -> Rows:
    return Rows.joined([make_rows("a", count, seed=seed), make_rows("b", count // 2, seed=seed + 1, marker="today")])


def weights(system: InterconnectedAISystem) -> dict[str, torch.Tensor]:
    return {n: t.clone() for n, t in system.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_system_learns_all_its_branches(tmp_path: Path) -> None:
    system = make_system("a", "b")
    settings = config(epochs=25, lr_moe=3e-3, lr_head=1e-2, lr_adapter=1e-2)
    result = fit(system, rows(180), rows(60, seed=9), settings, tmp_path)
    test = evaluate(system, rows(60, seed=30))
    assert result.steps == 25 * math.ceil(270 / 16)
    assert {name: m.accuracy > 0.85 for name, m in test.items()} == {"a": True, "b": True}
    assert system.trunk_is_trained
    assert all(card.trained == "joint" and card.fingerprint for card in system.cards.values())
    assert all(card.temperature != 1.0 and 0 < card.threshold <= 1 for card in system.cards.values())


def test_the_encoder_stays_as_it_was_and_its_outputs_come_from_the_disk(tmp_path: Path) -> None:
    encoder = make_encoder()
    system = make_system("a", "b", encoder=encoder)
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    calls: list[int] = []
    encoder.model.register_forward_hook(lambda *_: calls.append(1))
    fit(system, rows(), rows(12, seed=9), config(epochs=1), tmp_path / "one")
    first = len(calls)
    settings = config(epochs=4, feature_cache=str(tmp_path / "one" / "features"))
    fit(make_system("a", "b", encoder=encoder), rows(), rows(12, seed=9), settings, tmp_path / "two")
    assert len(calls) - first < first  # nothing is encoded again but what calibration and fingerprints ask for
    assert all(torch.equal(before[n], t) for n, t in encoder.state_dict().items())


@pytest.mark.parametrize("settings", [{}, {"encoder_lora_rank": 2}, {"pooling": "cls"}])
def test_equal_seeds_train_equal_weights(tmp_path: Path, settings: dict[str, object]) -> None:
    trained = []
    for number in range(2):
        system = make_system("a", "b", **settings)
        fit(system, rows(), rows(12, seed=9), config(), tmp_path / str(number))
        trained.append(weights(system))
    assert same(*trained)


def test_cached_and_fresh_features_train_the_same_system(tmp_path: Path) -> None:
    trained = []
    for cached in (True, False):
        system = make_system("a", "b", dropout=0.0)
        fit(system, rows(), rows(12, seed=9), config(cache_features=cached), tmp_path / str(cached))
        trained.append(weights(system))
    for name, tensor in trained[0].items():
        torch.testing.assert_close(tensor, trained[1][name], atol=2e-4, rtol=1e-3)


def test_accumulated_micro_batches_equal_the_whole_batch(tmp_path: Path) -> None:
    trained = []
    for steps in (1, 2):
        system = make_system("a", "b", dropout=0.0)
        fit(
            system,
            rows(),
            rows(0),
            config(accumulation_steps=steps, balance_loss_weight=0.0),
            tmp_path / str(steps),
        )
        trained.append(weights(system))
    for name, tensor in trained[0].items():
        torch.testing.assert_close(tensor, trained[1][name], atol=1e-5, rtol=1e-3)


def test_the_trunk_takes_the_statistics_of_the_encoders_vectors_of_the_training_rows(tmp_path: Path) -> None:
    system = make_system("a", "b")
    tokens, mask = system.encode_tokens(*system.encoder.pad(system.encoder.tokenize(rows().texts)))
    expected = system.trunk.pooling(tokens, mask)
    fit(system, rows(), rows(12, seed=9), config(epochs=1), tmp_path)
    standard = system.trunk.standardization
    torch.testing.assert_close(standard.mean, expected.mean(dim=0))
    torch.testing.assert_close(1 / standard.scale, expected.std(dim=0, correction=0))


def test_an_offset_that_all_vectors_share_does_not_slow_the_learning_down(tmp_path: Path) -> None:
    accuracies = []
    for offset in (0.0, 40.0):
        system = make_system("a", "b")
        with torch.no_grad():
            system.encoder.model.encoder.layer[-1].output.LayerNorm.bias += offset
        settings = config(epochs=5, head_start_epochs=20, lr_head=1e-2, lr_adapter=1e-2)
        result = fit(system, rows(180), rows(60, seed=9), settings, tmp_path / str(offset))
        accuracies.append(sum(m.accuracy for m in result.validation.values()) / 2)
    assert accuracies[1] > accuracies[0] - 0.05


def test_a_head_start_trains_heads_before_the_trunk(tmp_path: Path) -> None:
    plain, ahead = (make_system("a", "b", wide_terms=0) for _ in range(2))
    slow = {"epochs": 1, "lr_head": 1e-2, "lr_adapter": 1e-2, "warmup_steps": 0, "ridge": None}
    fit(plain, rows(120), rows(0), config(**slow), tmp_path / "plain")
    fit(ahead, rows(120), rows(0), config(**slow, head_start_epochs=20), tmp_path / "ahead")
    accuracy = [evaluate(system, rows(60, seed=30))["a"].accuracy for system in (plain, ahead)]
    assert accuracy[1] > accuracy[0]


def test_what_the_regression_knows_is_kept_until_an_epoch_is_better(tmp_path: Path) -> None:
    system = make_system("a", "b")
    ruinous = config(epochs=3, lr_moe=1.0, lr_head=1.0, lr_adapter=1.0, lr_wide=1.0, warmup_steps=0)
    result = fit(system, rows(120), rows(60, seed=9), ruinous, tmp_path)
    history = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (begun,) = [line["accuracy/mean"] for line in history if line.get("epoch") == 0.0]
    assert result.best_epoch == 0
    assert sum(m.accuracy for m in result.validation.values()) / 2 == pytest.approx(begun)
    assert begun > 0.9


@pytest.mark.parametrize("settings", [{}, {"encoder_lora_rank": 2}])
def test_a_run_resumed_in_mid_epoch_ends_in_the_same_bits(tmp_path: Path, settings: dict[str, object]) -> None:
    whole = make_system("a", "b", **settings)
    fit(whole, rows(), rows(12, seed=9), config(checkpoint_every_steps=2), tmp_path / "whole")

    stopped = make_system("a", "b", **settings)
    calls: list[int] = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 8:  # in the second epoch, one step after a checkpoint
            raise KeyboardInterrupt

    hook = stopped.trunk.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, rows(), rows(12, seed=9), config(checkpoint_every_steps=2), tmp_path / "stopped")
    hook.remove()
    assert CheckpointFolder(tmp_path / "stopped" / "checkpoints").steps()

    resumed = make_system("a", "b", **settings)
    fit(resumed, rows(), rows(12, seed=9), config(checkpoint_every_steps=2), tmp_path / "stopped", resume=True)
    assert same(weights(whole), weights(resumed))
    assert whole.cards == resumed.cards


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    system = make_system("a", "b")
    fit(system, rows(), rows(12, seed=9), config(checkpoint_every_steps=2, keep_checkpoints=3), tmp_path)
    folder = CheckpointFolder(tmp_path / "checkpoints")
    newest = folder.steps()[-1]
    damaged = tmp_path / "checkpoints" / f"step-{newest:08d}" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    found = folder.latest()
    assert found is not None
    assert found.step == folder.steps()[-2]


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    fit(make_system("a", "b"), rows(), rows(0), config(checkpoint_every_steps=2), tmp_path)
    with pytest.raises(ConfigError, match="lr_head"):
        fit(
            make_system("a", "b"), rows(), rows(0), config(checkpoint_every_steps=2, lr_head=0.5), tmp_path, resume=True
        )


def test_a_nan_loss_stops_the_run_names_the_step_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    system = make_system("a", "b")
    calls: list[int] = []

    def poison(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        calls.append(1) if module.training else None
        return output * float("nan") if module.training and len(calls) == 4 else output

    system.trunk.norm.register_forward_hook(poison)
    with pytest.raises(NonFiniteLossError, match=r"step 4.*checkpoint of step 2 is intact") as caught:
        fit(system, rows(), rows(0), config(checkpoint_every_steps=2), tmp_path)
    assert caught.value.step == 4
    kept = CheckpointFolder(tmp_path / "checkpoints").latest()
    assert kept is not None
    assert all(torch.isfinite(t).all() for t in kept.model.values())


def test_early_stopping_keeps_the_best_epochs_weights(tmp_path: Path) -> None:
    system = make_system("a", "b")
    settings = config(epochs=40, patience=3, lr_head=1e-2, lr_adapter=1e-2, lr_moe=3e-3)
    result = fit(system, rows(120), rows(30, seed=9), settings, tmp_path)
    history = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = {int(line["epoch"]): line["accuracy/mean"] for line in history if "epoch" in line}
    assert result.stopped_early
    assert result.epochs == result.best_epoch + 3
    assert scores[result.best_epoch] == max(scores.values())
    kept = sum(m.accuracy for m in result.validation.values()) / 2
    assert kept == pytest.approx(scores[result.best_epoch])


def test_only_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    fit(make_system("a", "b"), rows(), rows(12, seed=9), config(checkpoint_every_steps=1, keep_checkpoints=2), tmp_path)
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert len(kept) == 3
    assert kept[0] == "best"
    assert all(is_complete(tmp_path / "checkpoints" / name) for name in kept)
    assert not [p for p in (tmp_path / "checkpoints").rglob("*") if p.suffix in (".pt", ".bin", ".pkl")]


def test_everything_a_person_watches_is_in_the_metrics(tmp_path: Path) -> None:
    fit(make_system("a", "b"), rows(), rows(12, seed=9), config(monitors=["tensorboard"]), tmp_path)
    names = {name for line in (tmp_path / "metrics.jsonl").read_text().splitlines() for name in json.loads(line)}
    for name in (
        "loss/task", "loss/balance", "gradient_norm", "rows_per_second", "rate/moe", "rate/head", "rate/adapter",
        "accuracy/a", "accuracy/b", "train_loss/a", "train_accuracy/b",
        "routing/layer0/entropy", "routing/layer1/expert3", "routing/layer0/dead_experts",
    ):  # fmt: skip
        assert name in names
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


def test_a_row_may_have_labels_of_several_branches_or_of_none(tmp_path: Path) -> None:
    base = make_rows("a", 48)
    second: list[str | None] = ["yes" if i % 2 else "no" for i in range(48)]
    second[:10] = [None] * 10
    table = Rows(base.texts, {"a": base.labels["a"], "b": second})
    system = InterconnectedAISystem(
        encoder=make_encoder(),
        num_experts=2,
        branches=[*_specs(("a", ("animals", "money", "weather")), ("b", ("no", "yes")))],
    )
    result = fit(system, table, rows(0), config(epochs=1), tmp_path)
    assert result.steps == 3


def test_training_a_finished_trunk_again_is_refused(tmp_path: Path) -> None:
    system = make_system("a", "b")
    fit(system, rows(), rows(0), config(epochs=1), tmp_path)
    with pytest.raises(TrainingError, match="fit_branch"):
        fit(system, rows(), rows(0), config(epochs=1), tmp_path)


def test_rows_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got none"):
        fit(make_system("a"), Rows([], {}), rows(0), config(), tmp_path)
    with pytest.raises(DataError, match="'c' has no training rows"):
        fit(make_system("a", "b", "c"), rows(), rows(0), config(), tmp_path)
    with pytest.raises(ConfigError, match="batch_size=1"):
        fit(make_system("a", "b"), rows(), rows(0), config(batch_size=1), tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk "fills up" inside the write itself: every safetensors file after the first checkpoint fails."""
    from interconnected_ai import storage

    real, calls = storage.save_tensors, []

    def full(path: Path, tensors: object, metadata: object = None) -> None:
        calls.append(path)
        if len(calls) > 2:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(path, tensors)  # type: ignore[arg-type]

    monkeypatch.setattr("interconnected_ai.training.checkpoints.save_tensors", full)
    with pytest.raises(StorageError, match="No space left"):
        fit(make_system("a", "b"), rows(), rows(0), config(checkpoint_every_steps=1), tmp_path)
    kept = CheckpointFolder(tmp_path / "checkpoints")
    assert kept.steps() == [1]
    assert kept.latest() is not None
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    system = make_system("a", "b", encoder=make_encoder(seed=5))
    torch.manual_seed(5)
    fit(system, rows(), rows(0), config(epochs=1), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def _specs(*branches: tuple[str, tuple[str, ...]]) -> list:  # type: ignore[type-arg]
    from conftest import spec

    return [spec(name, *labels) for name, labels in branches]
