"""Trainings that begin with another expert's weights: what must agree, what is kept, and what a resume goes on with."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from expert_texts import documents

from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.errors import ConfigError, DataError, TokenizerError
from interconnected_ai.experts import expert_key, load_card, load_model
from interconnected_ai.storage import sha256_of
from interconnected_ai.training import TrainingStoppedError, train_expert
from interconnected_ai.training.expert import fit as expert_fit

MODEL = {
    "vocab_size": 330,
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 2,
    "max_seq_len": 16,
    "norm": "pre",
    "dropout": 0.0,
}
TRAINING = {
    "epochs": 1, "batch_size": 4, "lr": 5e-3, "precision": "float32", "device": "cpu", "monitors": [], "warmup_steps": 1,
}  # fmt: skip


def config_of(folder: Path, name: str, **changes: object) -> ExpertRunConfig:
    texts = folder / "texts.jsonl"
    if not texts.is_file():
        lines = [json.dumps({"text": text}) + "\n" for text in documents(60)]
        texts.write_text("".join(lines), encoding="utf-8")
    settings = {"output": str(folder / name), "text": {"paths": [str(texts)]}, "model": MODEL, "training": TRAINING}
    return ExpertRunConfig.from_mapping({**settings, **changes})


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seed")
    train_expert(config_of(folder, "seed"))
    return folder / "seed"


def branch_of(seed: Path, folder: Path, name: str = "branch", **changes: object) -> ExpertRunConfig:
    return config_of(folder, name, **{"init": str(seed), **changes})


def test_a_branch_begins_where_its_seed_ended(tmp_path: Path, seed: Path) -> None:
    still = {**TRAINING, "max_steps": 1, "lr": 1e-12, "weight_decay": 0.0}
    run = train_expert(branch_of(seed, tmp_path, training=still))
    theirs = dict(load_model(seed).named_parameters())
    for name, parameter in run.model.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], atol=1e-9, rtol=0)
    card = load_card(tmp_path / "branch")
    assert card.training["init"] == "seed"
    assert card.training["init_key"] == expert_key(seed)
    assert card.tokenizer_sha256 == load_card(seed).tokenizer_sha256
    assert "init" not in load_card(seed).training


def test_a_branch_may_have_another_window_and_dropout(tmp_path: Path, seed: Path) -> None:
    run = train_expert(branch_of(seed, tmp_path, model={**MODEL, "max_seq_len": 24, "dropout": 0.1}))
    assert run.model.config.max_seq_len == 24


@pytest.mark.parametrize(
    "wrong", [{"d_model": 32}, {"n_layers": 2}, {"norm": "post"}, {"d_ff": 24}, {"tie_weights": True}]
)
def test_a_seed_of_another_shape_is_refused_and_nothing_is_left(
    tmp_path: Path, seed: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(wrong))}="):
        train_expert(branch_of(seed, tmp_path, model={**MODEL, **wrong}))
    assert not list(tmp_path.glob("branch*"))


def test_a_seed_that_reads_other_tokens_is_refused(tmp_path: Path, seed: Path) -> None:
    other = train_expert(config_of(tmp_path, "other", model={**MODEL, "vocab_size": 300}))
    with pytest.raises(TokenizerError, match="reads with another tokenizer"):
        train_expert(branch_of(seed, tmp_path, tokenizer=str(other.folder)))


def test_an_overwriting_branch_that_is_refused_leaves_the_old_one_whole(tmp_path: Path, seed: Path) -> None:
    train_expert(branch_of(seed, tmp_path))
    before = sha256_of(tmp_path / "branch" / "model.safetensors")
    with pytest.raises(ConfigError, match="n_layers"):
        train_expert(branch_of(seed, tmp_path, model={**MODEL, "n_layers": 2}), overwrite=True)
    assert sha256_of(tmp_path / "branch" / "model.safetensors") == before
    assert (tmp_path / "branch-training" / "results.json").is_file()


def test_a_branch_is_not_written_over_its_own_seed(tmp_path: Path, seed: Path) -> None:
    shutil.copytree(seed, tmp_path / "seed")
    with pytest.raises(ConfigError):
        train_expert(branch_of(tmp_path / "seed", tmp_path, "seed"), overwrite=True)


def _stopped_after(step: int, monkeypatch: pytest.MonkeyPatch, config: ExpertRunConfig) -> None:
    """As if Ctrl-C came in this step: the trainer keeps a checkpoint and raises."""
    from interconnected_ai.training.trainer import Trainer

    real = Trainer._is_told_to_stop

    def told(self: Trainer) -> bool:
        if self.step == step:
            raise self._stopped()
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(expert_fit.Trainer, "_is_told_to_stop", told)
        with pytest.raises(TrainingStoppedError):
            train_expert(config)


def test_a_resumed_branch_ends_in_the_same_bits_though_its_seed_has_gone(
    tmp_path: Path, seed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(seed, tmp_path / "seed")
    whole = train_expert(branch_of(tmp_path / "seed", tmp_path, "whole"))
    config = branch_of(tmp_path / "seed", tmp_path, "stopped")
    _stopped_after(2, monkeypatch, config)
    shutil.rmtree(tmp_path / "seed")
    resumed = train_expert(config, resume=True)
    assert sha256_of(whole.folder / "model.safetensors") == sha256_of(resumed.folder / "model.safetensors")
    assert load_card(resumed.folder).training["init_key"] == load_card(whole.folder).training["init_key"]


def test_a_branch_without_a_checkpoint_is_not_resumed_from_another_seed(tmp_path: Path, seed: Path) -> None:
    shutil.copytree(seed, tmp_path / "seed")
    config = branch_of(tmp_path / "seed", tmp_path)
    run = train_expert(config)
    shutil.rmtree(run.folder)
    shutil.rmtree(run.training_folder / "checkpoints")
    train_expert(config_of(tmp_path, "seed", tokenizer=str(seed), training={**TRAINING, "seed": 7}), overwrite=True)
    with pytest.raises(DataError, match="--overwrite begins anew"):
        train_expert(config, resume=True)
    assert train_expert(config, overwrite=True).folder.is_dir()
