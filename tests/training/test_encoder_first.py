"""The encoder's LoRA learns before all else: it parts the classes, stands then, and goes on to the same bits after a cut."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import make_encoder, make_rows, make_system, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import Branch, class_directions, fit_branch, growth, scale_beside_learnt_vectors
from interconnected_ai.branches.convex import choose_scale
from interconnected_ai.config import NO_FIRST_STEPS, FirstSteps, RunConfig, TrainingConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError
from interconnected_ai.training import EncoderChoice, encoder_of_run, fit, train_run, with_encoder
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.failures import failure_of
from interconnected_ai.training.system.encoder_learner import kullback_leibler_both_ways

QUICK = {
    "epochs": 2, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [], "patience": None,
    "encoder_steps": 12, "lr_encoder": 1e-2,
}  # fmt: skip


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.from_mapping({**QUICK, **changes})


def rows(count: int = 96, seed: int = 0) -> Rows:
    return Rows.joined([make_rows("a", count, seed=seed), make_rows("b", count // 2, seed=seed + 1, marker="today")])


def system_that_learns(**settings: object) -> InterconnectedAISystem:
    return make_system("a", "b", **{"encoder_lora_rank": 4, **settings})


def weights(system: InterconnectedAISystem) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in system.state_dict().items()}


def same(one: InterconnectedAISystem, other: InterconnectedAISystem) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def nearness(system: InterconnectedAISystem, learnt: Rows) -> float:
    """Mean cosine of a row's vector with its class's direction, less that with the nearest other's."""
    texts, labels = learnt.of("a")
    trunk, encoder = system.trunk, system.encoder
    with torch.no_grad():
        pooled = trunk.pooling(*system.encode_tokens(*encoder.pad(encoder.tokenize(texts))))
    vectors = torch.nn.functional.normalize(pooled - pooled.mean(dim=0), dim=-1)
    names = sorted(set(labels))
    targets = torch.tensor([names.index(label) for label in labels])
    cosines = vectors @ class_directions(vectors, targets, len(names)).T
    own = cosines.gather(1, targets[:, None])[:, 0]
    others = cosines.scatter(1, targets[:, None], -2.0).amax(dim=1)
    return float((own - others).mean())


def test_the_classes_of_new_rows_lie_farther_apart(tmp_path: Path) -> None:
    begun, learnt = system_that_learns(), system_that_learns()
    result = fit(learnt, rows(320), rows(24, seed=9), config(encoder_steps=60), tmp_path)
    assert result.encoder_steps == 60
    assert result.encoder_seconds > 0
    new = rows(60, seed=30)
    assert nearness(learnt, new) > nearness(begun, new) + 0.05


def test_it_takes_six_epochs_at_the_most(tmp_path: Path) -> None:
    result = fit(system_that_learns(), rows(32), rows(8, seed=9), config(encoder_steps=10_000), tmp_path)
    assert result.encoder_steps == 6 * 2  # 48 rows, 32 in each step


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_what_the_encoder_gives_then_is_kept_and_stays(tmp_path: Path, pooling: str) -> None:
    system = system_that_learns(pooling=pooling)
    fit(system, rows(), rows(12, seed=9), config(), tmp_path)
    assert not system.encoder.learns
    assert list((tmp_path / "features").glob("*/segment-*.npy"))
    settled = {name: tensor for name, tensor in system.encoder.state_dict().items() if ".lora." in name}
    checkpoint = CheckpointFolder(tmp_path / "encoder" / "checkpoints").latest()
    assert checkpoint is not None
    kept = {name.removeprefix("encoder."): tensor for name, tensor in checkpoint.model.items() if ".lora." in name}
    assert settled.keys() == kept.keys()
    assert all(torch.equal(settled[name], kept[name]) for name in kept)
    joint = CheckpointFolder(tmp_path / "checkpoints").latest()
    assert joint is not None
    assert not [name for name in joint.model if ".lora." in name and name.startswith("encoder.")]
    assert all(parameter.grad is None for parameter in system.parameters())


def test_features_are_those_of_the_encoder_that_has_learnt(tmp_path: Path) -> None:
    """One folder of features for an encoder before and after: neither gets the other's."""
    features = str(tmp_path / "features")
    plain, learnt = make_system("a", "b"), system_that_learns()
    for name, one, steps in (("plain", plain, 0), ("learnt", learnt, 12)):
        settings = config(feature_cache=features, encoder_steps=steps)
        fit(one, rows(), rows(12, seed=9), settings, tmp_path / name)
    assert len(list((tmp_path / "features").iterdir())) == 2
    alone = system_that_learns()
    fit(alone, rows(), rows(12, seed=9), config(feature_cache=str(tmp_path / "others")), tmp_path / "alone")
    assert same(learnt, alone)


def test_a_saved_system_answers_alike(tmp_path: Path, encoder_folder: Path) -> None:
    system = make_system(
        "a", "b", encoder=make_encoder(), base_model_name=str(encoder_folder), encoder_lora_rank=4
    )  # fmt: skip
    fit(system, rows(), rows(12, seed=9), config(), tmp_path / "run")
    system.save_pretrained(tmp_path / "model")
    loaded = InterconnectedAISystem.from_pretrained(tmp_path / "model")
    assert not loaded.encoder.learns
    texts = rows(12, seed=30).texts
    assert torch.equal(system.encode(texts), loaded.encode(texts))
    assert loaded.encoder.outputs_fingerprint == system.encoder.outputs_fingerprint
    assert all(check.identical for check in loaded.verify())


@pytest.mark.parametrize(("cut_after", "rdrop"), [(3, None), (7, None), (14, None), (13, 2.0)])
def test_a_run_that_is_cut_ends_in_the_same_bits(tmp_path: Path, cut_after: int, rdrop: float | None) -> None:
    """In the encoder's training before and after a checkpoint, and in the joint one."""
    settings = config(checkpoint_every_steps=5, epochs=3, encoder_rdrop=rdrop)
    whole, stopped, resumed = (system_that_learns() for _ in range(3))
    fit(whole, rows(), rows(12, seed=9), settings, tmp_path / "whole")
    steps: list[int] = []

    class Cut(BaseException):
        pass

    def count(*_: object) -> None:
        if torch.is_grad_enabled():
            steps.append(1)
            if len(steps) > cut_after:
                raise Cut

    hooks = [module.register_forward_hook(count) for module in (stopped.encoder, stopped.trunk)]
    with pytest.raises(Cut):
        fit(stopped, rows(), rows(12, seed=9), settings, tmp_path / "cut")
    for hook in hooks:
        hook.remove()
    fit(resumed, rows(), rows(12, seed=9), settings, tmp_path / "cut", resume=True)
    assert same(whole, resumed)


def test_parts_of_a_batch_teach_what_the_whole_does(tmp_path: Path) -> None:
    """A config that computes few rows at once has its reason: memory."""
    learnt, rows_at_once = [], []
    for parts in (1, 4):
        system = system_that_learns(dropout=0.0)
        system.encoder.model.config.hidden_dropout_prob = 0.0
        for module in system.encoder.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        most: list[int] = []

        def count(_module: object, inputs: tuple[torch.Tensor, ...], _out: object, most: list[int] = most) -> None:
            if torch.is_grad_enabled():
                most.append(len(inputs[0]))

        system.encoder.register_forward_hook(count)
        fit(system, rows(), rows(0), config(accumulation_steps=parts, epochs=1), tmp_path / str(parts))
        learnt.append({n: t for n, t in system.encoder.state_dict().items() if ".lora." in n})
        rows_at_once.append(max(most))
    assert 4 < rows_at_once[0] <= 16
    assert rows_at_once[1] <= 4
    for name, tensor in learnt[0].items():
        torch.testing.assert_close(tensor, learnt[1][name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_two_readings_teach_more_than_one_where_masks_differ(tmp_path: Path, dropout: float) -> None:
    """R-Drop. Without dropout both readings are one, and so is what is learnt; no more rows are computed at once either way."""
    learnt, most = [], []
    for weight in (0.0, 2.0):
        system = system_that_learns(dropout=dropout)
        for module in system.encoder.modules():
            if hasattr(module, "p"):
                module.p = dropout
        at_once: list[int] = []

        def count(
            _module: object, inputs: tuple[torch.Tensor, ...], _out: object, at_once: list[int] = at_once
        ) -> None:
            if torch.is_grad_enabled():
                at_once.append(len(inputs[0]))

        system.encoder.register_forward_hook(count)
        fit(system, rows(), rows(0), config(encoder_rdrop=weight, epochs=1), tmp_path / str(weight))
        learnt.append(torch.cat([t.flatten() for n, t in system.encoder.state_dict().items() if ".lora." in n]))
        most.append(max(at_once))
    assert max(most) <= 16
    assert torch.allclose(*learnt, atol=1e-4, rtol=1e-3) == (dropout == 0.0)


def test_how_far_two_readings_are_apart() -> None:
    one, other = torch.randn(2, 7, 5, dtype=torch.double, generator=torch.Generator().manual_seed(0)).unbind()
    first, second = (torch.distributions.Categorical(logits=each) for each in (one, other))
    both_ways = [torch.distributions.kl_divergence(a, b) for a, b in ((first, second), (second, first))]
    torch.testing.assert_close(kullback_leibler_both_ways(one, other), sum(both_ways).sum() / 2)  # type: ignore[union-attr]
    assert kullback_leibler_both_ways(one, one) == 0
    far = torch.tensor([[1e4, -1e4]], requires_grad=True)
    kullback_leibler_both_ways(far, -far.detach()).backward()
    assert far.grad is not None
    assert torch.isfinite(far.grad).all()


def test_a_checkpoint_of_before_there_were_such_steps_is_gone_on_with(tmp_path: Path) -> None:
    settings = config(encoder_steps=0, checkpoint_every_steps=3)
    whole, stopped, resumed = (make_system("a", "b") for _ in range(3))
    fit(whole, rows(), rows(12, seed=9), settings, tmp_path / "whole")
    steps: list[int] = []

    def stop(*_: object) -> None:
        if torch.is_grad_enabled():
            steps.append(1)
            if len(steps) == 8:
                raise KeyboardInterrupt

    stopped.trunk.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, rows(), rows(12, seed=9), settings, tmp_path / "cut")
    folder = CheckpointFolder(tmp_path / "cut" / "checkpoints")
    latest = folder.latest()
    assert latest is not None
    for later in ("encoder_steps", "encoder_rdrop", "lr_encoder"):
        del latest.progress["training"][later]
    folder.save(latest)
    fit(resumed, rows(), rows(12, seed=9), settings, tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    latest = folder.latest()
    assert latest is not None
    latest.progress["training"]["lr_moe"] = 1.0
    folder.save(latest)
    with pytest.raises(ConfigError, match=r"other settings \(lr_moe\)"):
        fit(make_system("a", "b"), rows(), rows(12, seed=9), settings, tmp_path / "cut", resume=True)


def test_once_settled_new_rows_do_not_move_it(tmp_path: Path) -> None:
    first, more = rows(48), Rows.joined([rows(48), make_rows("a", 30, seed=77)])
    fit(system_that_learns(), first, rows(12, seed=9), config(), tmp_path)
    kept = CheckpointFolder(tmp_path / "encoder" / "checkpoints").latest()
    resumed = system_that_learns()
    fit(resumed, more, rows(12, seed=9), config(), tmp_path, resume=True, new_rows=True)
    assert kept is not None
    now = {f"encoder.{name}": tensor for name, tensor in resumed.encoder.state_dict().items() if ".lora." in name}
    assert all(torch.equal(now[name], kept.model[name]) for name in now)


def test_other_rows_are_refused_in_mid_training(tmp_path: Path) -> None:
    stopped = system_that_learns()
    steps: list[int] = []

    def stop(*_: object) -> None:
        if torch.is_grad_enabled():
            steps.append(1)
            if len(steps) == 8:
                raise KeyboardInterrupt

    stopped.encoder.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, rows(), rows(12, seed=9), config(checkpoint_every_steps=2), tmp_path)
    with pytest.raises(DataError, match="begun with other rows"):
        fit(
            system_that_learns(), rows(seed=5), rows(12, seed=9), config(checkpoint_every_steps=2), tmp_path,
            resume=True,
        )  # fmt: skip


def test_what_ends_it_is_noted_where_the_doctor_looks(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="lr_encoder"):
        fit(system_that_learns(), rows(), rows(12, seed=9), config(lr_encoder=1e30), tmp_path)
    noted = failure_of(tmp_path)
    assert noted is not None
    assert noted.kind == "NonFiniteLossError"


def test_steps_without_a_lora_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"encoder_steps=12.*no LoRA.*encoder_lora_rank"):
        fit(make_system("a", "b"), rows(), rows(12, seed=9), config(), tmp_path)


def test_a_lora_that_shall_not_learn_first_learns_with_the_rest(tmp_path: Path) -> None:
    system = system_that_learns()
    result = fit(system, rows(), rows(12, seed=9), config(encoder_steps=None), tmp_path)
    assert result.encoder_steps == 0
    assert not (tmp_path / "encoder").exists()
    checkpoint = CheckpointFolder(tmp_path / "checkpoints").latest()
    assert checkpoint is not None
    assert [name for name in checkpoint.model if name.startswith("encoder.") and ".lora." in name]


# Which runs do


def run_config(folder: Path, **training: object) -> RunConfig:
    return RunConfig.from_mapping(
        {
            "output": str(folder), "data": {"branches": [{"name": "a", "path": "a.csv"}]},
            "training": {**QUICK, "encoder_steps": None, **training},
        }
    )  # fmt: skip


RUSSIAN = Splits(*(Rows.of_branch("a", ["Где моя карта", "Заблокируйте счёт"] * 4, ["x", "y"] * 4) for _ in range(3)))
ENGLISH = Splits(
    *(Rows.of_branch("a", ["Where is my card", "Close the account"] * 4, ["x", "y"] * 4) for _ in range(3))
)


def resolved(
    config: RunConfig, splits: Splits = RUSSIAN, *, resume: bool = False
) -> tuple[str | None, int, int | None]:
    made = with_encoder(config, encoder_of_run(config, splits, resume=resume))
    return made.system.base_model_name, made.system.encoder_lora_rank, made.training.encoder_steps


def test_the_embedded_multilingual_encoder_learns_unless_told_otherwise(tmp_path: Path) -> None:
    plain = run_config(tmp_path)
    assert resolved(plain) == ("multilingual", 32, 400)
    assert resolved(plain, ENGLISH) == (None, 0, 0)
    named = plain.with_changes(system={"base_model_name": "multilingual"})
    assert resolved(named, ENGLISH) == ("multilingual", 32, 400)
    assert resolved(run_config(tmp_path, encoder_steps=0)) == ("multilingual", 0, 0)
    asked = plain.with_changes(system={"encoder_lora_rank": 4})
    assert resolved(asked) == ("multilingual", 4, 0)
    layers = plain.with_changes(system={"encoder_lora_layers": 9})
    made = with_encoder(layers, encoder_of_run(layers, RUSSIAN)).system
    assert (made.encoder_lora_rank, made.encoder_lora_layers) == (32, 9)


def test_a_run_that_an_older_version_began_goes_on_as_it_was(tmp_path: Path) -> None:
    plain = run_config(tmp_path)
    began = plain.with_changes(system={"base_model_name": "multilingual"}).to_dict()
    del began["training"]["encoder_steps"]
    (tmp_path / "run.yaml").write_text(RunConfig.from_mapping(began).to_yaml().replace("  encoder_steps: null\n", ""))
    assert resolved(plain, resume=True) == ("multilingual", 0, 0)


def test_a_run_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    plain = run_config(tmp_path)
    began = with_encoder(plain, encoder_of_run(plain, RUSSIAN))
    (tmp_path / "run.yaml").write_text(began.to_yaml())
    assert with_encoder(plain, encoder_of_run(plain, ENGLISH, resume=True)) == began
    assert began.system.encoder_lora_alpha == 2.0 * began.system.encoder_lora_rank
    in_half = began.with_changes(system={**began.system.to_dict(), "encoder_lora_layers": 6})
    (tmp_path / "run.yaml").write_text(in_half.to_yaml())
    assert with_encoder(plain, encoder_of_run(plain, ENGLISH, resume=True)) == in_half


def test_an_encoder_at_hand_is_left_alone(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.name = "multilingual"
    choice = encoder_of_run(run_config(tmp_path), RUSSIAN, encoder=encoder)
    assert choice.first_steps == NO_FIRST_STEPS


def test_a_run_says_that_the_encoder_learns_and_keeps_it(
    tmp_path: Path, encoder_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = run_config(tmp_path / "run", encoder_steps=8).with_changes(
        system={
            "base_model_name": str(encoder_folder),
            "encoder_lora_rank": 4,
            "d_ff": 16,
            "num_experts": 2,
            "top_k": 1,
        }
    )
    splits = Splits(make_rows("a", 64, seed=0), make_rows("a", 16, seed=1), make_rows("a", 16, seed=2))
    with caplog.at_level(logging.INFO):
        result = train_run(settings, splits=splits, baseline=False)
    assert "the encoder learns first" in caplog.text
    assert result.fit.encoder_steps == 8
    again = train_run(settings, splits=splits, baseline=False, resume=True)
    assert again.was_finished
    assert again.fit.encoder_steps == 8
    assert np.allclose(result.system.encode(["today"]).numpy(), again.system.encode(["today"]).numpy())


def test_a_choice_of_a_begun_run_knows_what_it_learnt_with(tmp_path: Path) -> None:
    began = run_config(tmp_path, encoder_steps=5).with_changes(system={"encoder_lora_rank": 3})
    assert EncoderChoice.of_begun(began) == EncoderChoice(None, "as this run began", FirstSteps(3, 32.0, 5))


def test_no_padding_is_computed_where_it_can_be_left_out(tmp_path: Path) -> None:
    """The model's own pass, over padded rows, is not taken in the encoder's steps; gradients are those that it gives."""
    system = system_that_learns(dropout=0.0)
    texts = ["storm", "cash cash cash in transfer and then some more words of no use at all", "sheep dog cow"]
    ids, mask = system.encoder.pad(system.encoder.tokenize(texts))
    learnt = [parameter for parameter in system.encoder.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in learnt:  # a LoRA of zeros has no gradient but one half of its matrices'
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    system.eval()
    found = []
    for way in (system.encoder.attention_that_trains_fast, system.encoder.training_without_padding):
        with way():
            out = system.encoder(ids, mask)[mask]
        found.append((out.detach(), torch.autograd.grad(out.square().sum(), learnt)))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-4, rtol=1e-4)
    with system.encoder.training_without_padding():
        assert system.encoder.leaves_out_padding
    assert not system.encoder.train().leaves_out_padding


@pytest.mark.parametrize(("num_rows", "scale"), [(2, 0.5), (2_000, 0.5), (2_001, 1.0)])
def test_the_more_rows_the_longer_words_beside_learnt_vectors(num_rows: int, scale: float) -> None:
    assert scale_beside_learnt_vectors(num_rows) == scale


def test_rows_that_the_encoder_has_learnt_do_not_tell_how_long_words_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    usual = choose_scale

    def watched(branch: Branch, *given: Any, **named: Any) -> float:
        asked.append(branch.card.name)
        return usual(branch, *given, **named)

    monkeypatch.setattr(growth, "choose_scale", watched)
    for folder, changes in (("learns", {}), ("asked", {"wide_scale": 2.0}), ("stands", {"encoder_steps": 0})):
        system = system_that_learns(wide_terms=500, encoder_lora_rank=0 if folder == "stands" else 4)
        fit(system, rows(), rows(24, seed=3), config(**changes), tmp_path / folder)
        scales = {"learns": 0.5, "asked": 2.0}
        for name in ("a", "b"):
            branch = system.branch(name)
            assert branch.wide is not None
            if folder in scales:
                assert float(branch.wide.scale) == pytest.approx(branch.length_of_words(scales[folder]))
        assert asked == ([] if folder in scales else ["a", "b"])
    fit_branch(system_with_learnt(tmp_path), "c", *make_rows("c", 60, seed=5).of("c"), config=config())
    assert asked == ["a", "b", "c"]


def system_with_learnt(folder: Path) -> InterconnectedAISystem:
    """Its encoder has learnt rows of other branches."""
    system = system_that_learns(wide_terms=500)
    fit(system, rows(), rows(24, seed=3), config(), folder / "grown")
    system.add_branch(spec("c", *sorted(set(make_rows("c", 60).of("c")[1]))))
    return system
