"""Adapters that begin where another one of their base ended: the same weights, refusals, resumes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from expert_texts import documents
from tests.training.tiny_base import tiny_base

from interconnected_ai.cli.expert.adapt import config_in
from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.experts import AdapterWeights, LowRank, read_adapter, save_adapter
from interconnected_ai.storage import sha256_of
from interconnected_ai.training import TrainingStoppedError, look_ahead, train_adapter
from interconnected_ai.training.adapter import fit as adapter_fit
from interconnected_ai.training.trainer import Trainer

TRAINING = {
    "max_steps": 4, "batch_size": 4, "seq_len": 32, "lr": 1e-2, "warmup_steps": 1, "precision": "float32", "device": "cpu",
    "monitors": [],
}  # fmt: skip
STILL = {**TRAINING, "max_steps": 1, "lr": 1e-12}


def config_of(home: Path, folder: Path, name: str, **changes: Any) -> AdapterRunConfig:
    settings = {
        "output": str(folder / name), "base": str(home / "base"), "text": {"paths": [str(home / "texts.jsonl")]},
        "adapter": {"rank": 4}, "training": TRAINING, **changes,
    }  # fmt: skip
    return AdapterRunConfig.from_mapping(settings)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, texts, and an adapter `seed`."""
    folder = tmp_path_factory.mktemp("home")
    tiny_base(folder / "base")
    lines = [json.dumps({"text": text}) + "\n" for text in documents(60)]
    (folder / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    train_adapter(config_of(folder, folder, "seed"))
    return folder


def branch_of(home: Path, folder: Path, name: str = "branch", **changes: Any) -> AdapterRunConfig:
    return config_of(home, folder, name, **{"init": str(home / "seed"), **changes})


def test_an_adapter_begins_where_its_seed_ended(home: Path, tmp_path: Path) -> None:
    train_adapter(branch_of(home, tmp_path, training=STILL))
    seed, branch = read_adapter(home / "seed"), read_adapter(tmp_path / "branch")
    assert set(branch.weights.modules) == set(seed.weights.modules)
    assert max(float(part.b.abs().max()) for _, part in seed.weights.named()) > 0
    for name, part in branch.weights.named():
        torch.testing.assert_close(part.delta(), seed.weights.modules[name].delta(), atol=1e-7, rtol=1e-5)
    assert branch.card.training["init"] == "seed"
    assert branch.card.training["init_key"] == seed.key
    assert "init" not in seed.card.training


def test_a_seed_of_another_scale_and_fewer_layers_is_the_same_change_of_the_base(home: Path, tmp_path: Path) -> None:
    files = read_adapter(home / "seed")
    kept = {name: part for name, part in files.weights.named() if name.endswith("q_proj")}
    small = AdapterWeights({name: LowRank(part.a, part.b, part.scale * 3) for name, part in kept.items()})
    save_adapter(small, tmp_path / "small", files.card)
    train_adapter(branch_of(home, tmp_path, init=str(tmp_path / "small"), training=STILL))
    for name, part in read_adapter(tmp_path / "branch").weights.named():
        wanted = small.modules[name].delta() if name in kept else torch.zeros_like(part.delta())
        torch.testing.assert_close(part.delta(), wanted, atol=1e-6, rtol=1e-4)


def _other_base(home: Path, folder: Path) -> dict[str, Any]:
    other = tiny_base(folder / "other", window=64)
    train_adapter(config_of(home, folder, "stranger", base=str(other)))
    return {"init": str(folder / "stranger")}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"adapter": {"rank": 8}}, r"adapter\.rank=8, .* has rank 4 at"),
        ({"adapter": {"rank": 4, "targets": ["q_proj"]}}, r"changes .*, which adapter\.targets leaves out"),
        (_other_base, "stands on another base"),
    ],
)
def test_a_seed_that_does_not_fit_is_refused_and_nothing_is_left(
    home: Path, tmp_path: Path, changes: Any, says: str
) -> None:
    config = branch_of(home, tmp_path, **(changes(home, tmp_path) if callable(changes) else changes))
    with pytest.raises(ConfigError, match=says):
        look_ahead(config)
    with pytest.raises(ConfigError, match=says):
        train_adapter(config)
    assert not [path for path in tmp_path.glob("branch*") if not path.name.endswith(".lock")]


def test_preferences_do_not_begin_with_another_adapter_than_their_reference(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="measured against the base alone"):
        branch_of(home, tmp_path, text=None, preferences={"paths": ["pairs.jsonl"]})


def test_an_overwriting_branch_that_is_refused_leaves_the_old_one_whole(home: Path, tmp_path: Path) -> None:
    train_adapter(branch_of(home, tmp_path))
    before = sha256_of(tmp_path / "branch" / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="rank"):
        train_adapter(branch_of(home, tmp_path, adapter={"rank": 2}), overwrite=True)
    assert sha256_of(tmp_path / "branch" / "adapter_model.safetensors") == before
    assert (tmp_path / "branch-training" / "results.json").is_file()


def test_a_branch_is_not_written_over_its_own_seed(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "seed", tmp_path / "seed")
    with pytest.raises(ConfigError):
        train_adapter(branch_of(home, tmp_path, "seed", init=str(tmp_path / "seed")), overwrite=True)


def test_a_config_file_names_its_seed_from_its_folder_and_takes_its_rank(home: Path, tmp_path: Path) -> None:
    settings = {"output": "branch", "base": "base", "init": "seed", "text": {"paths": ["texts.jsonl"]}}
    (home / "branch.json").write_text(json.dumps(settings), encoding="utf-8")
    config = config_in(home / "branch.json", ["training.max_steps=1"])
    assert (config.init, config.adapter.rank) == (str(home / "seed"), 4)
    assert config_in(home / "branch.json", ["adapter.rank=2"]).adapter.rank == 2


def _stopped_after(step: int, monkeypatch: pytest.MonkeyPatch, config: AdapterRunConfig) -> None:
    """As if Ctrl-C came in this step: the trainer keeps a checkpoint and raises."""
    real = Trainer._is_told_to_stop

    def told(self: Trainer) -> bool:
        if self.step == step:
            raise self._stopped()
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(adapter_fit.Trainer, "_is_told_to_stop", told)
        with pytest.raises(TrainingStoppedError):
            train_adapter(config)


def test_a_resumed_branch_ends_in_the_same_bits_though_its_seed_has_gone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home / "seed", tmp_path / "seed")
    whole = train_adapter(branch_of(home, tmp_path, "whole", init=str(tmp_path / "seed")))
    config = branch_of(home, tmp_path, "stopped", init=str(tmp_path / "seed"))
    _stopped_after(2, monkeypatch, config)
    shutil.rmtree(tmp_path / "seed")
    resumed = train_adapter(config, resume=True)
    weights = [run.folder / "adapter_model.safetensors" for run in (whole, resumed)]
    assert sha256_of(weights[0]) == sha256_of(weights[1])
    assert (
        read_adapter(resumed.folder).card.training["init_key"] == read_adapter(whole.folder).card.training["init_key"]
    )


def test_a_branch_without_a_checkpoint_is_not_resumed_from_another_seed(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "seed", tmp_path / "seed")
    config = branch_of(home, tmp_path, init=str(tmp_path / "seed"))
    run = train_adapter(config)
    shutil.rmtree(run.folder)
    shutil.rmtree(run.training_folder / "checkpoints")
    train_adapter(config_of(home, tmp_path, "seed", training={**TRAINING, "seed": 7}), overwrite=True)
    with pytest.raises(DataError, match="--overwrite begins anew"):
        train_adapter(config, resume=True)
