"""`accelerate launch` runs the loop unchanged: several processes reach the losses of one with the same whole batch."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from launching import ALONE, FSDP2, PARALLELISMS, by_torchrun, in_two_processes, needs_deepspeed, run_iai, zero

from conftest import make_rows, save_encoder
from interconnected_ai.data import write_rows
from interconnected_ai.storage import load_tensors

Weights = dict[str, torch.Tensor]


def write_config(folder: Path, encoder_folder: Path, name: str, **system: Any) -> Path:
    """A small training of two branches into folder/name."""
    for branch, count in (("a", 96), ("b", 64)):
        write_rows(folder / f"{branch}.jsonl", *make_rows(branch, count).of(branch))
    shape = {"base_model_name": str(encoder_folder), "num_experts": 4, "max_seq_len": 32, "dropout": 0.0, **system}
    config = {
        "output": str(folder / name),
        "system": shape,
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("a", "b")], "test_fraction": 0.0},
        "training": {
            "epochs": 5, "batch_size": 16, "patience": None, "precision": "float32", "device": "cpu", "monitors": [],
            "lr_moe": 1e-3, "z_loss_weight": 0.01, "checkpoint_every_steps": 20, "head_start_epochs": 2,
        },
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def train(
    config: Path, launcher: Sequence[str], *flags: str, environment: Mapping[str, str] | None = None, says: str = ""
) -> Weights:
    """Run it to its end; returns the saved weights."""
    done = run_iai(launcher, "train", str(config), *flags, environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert says in done.stderr, done.stderr[-3000:]
    return load_tensors(config.with_suffix("") / "model" / "model.safetensors")


def losses_of(config: Path) -> list[float]:
    lines = [json.loads(line) for line in (config.with_suffix("") / "metrics.jsonl").read_text().splitlines()]
    return [line["loss/task"] for line in lines if "loss/task" in line]


def assert_close(found: Weights, expected: Weights) -> None:
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-3, rtol=1e-2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, list[float]]:
    """Weights and losses of one process."""
    folder = tmp_path_factory.mktemp("alone")
    config = write_config(folder, save_encoder(folder / "tiny-bert"), "one")
    return train(config, ALONE), losses_of(config)


@pytest.mark.parametrize(("environment", "says"), PARALLELISMS)
def test_two_processes_reach_the_loss_of_one(
    tmp_path: Path, encoder_folder: Path, alone: tuple[Weights, list[float]], environment: Mapping[str, str], says: str
) -> None:
    two = write_config(tmp_path, encoder_folder, "two")
    weights, losses = alone
    launcher = in_two_processes() if environment else by_torchrun()
    weights_2 = train(two, launcher, environment=environment, says=says)
    assert losses[-1] < losses[0]
    assert losses_of(two) == pytest.approx(losses, rel=1e-4)
    assert_close(weights_2, weights)


def with_first_steps(config: Path) -> Path:
    content = yaml.safe_load(config.read_text())
    content["training"] |= {"encoder_steps": 8, "epochs": 2}
    config.write_text(yaml.safe_dump(content))
    return config


def test_an_encoder_learns_first_in_two_processes_what_it_learns_in_one(tmp_path: Path, encoder_folder: Path) -> None:
    settings = json.loads((encoder_folder / "config.json").read_text())
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # every process would draw its own
    (encoder_folder / "config.json").write_text(json.dumps(settings | dropouts))
    one, two = (
        with_first_steps(write_config(tmp_path, encoder_folder, name, encoder_lora_rank=2)) for name in ("one", "two")
    )
    weights, weights_2 = train(one, ALONE), train(two, in_two_processes())
    assert_close(weights_2, weights)
    assert any(".lora.lora_b" in name and bool(tensor.any()) for name, tensor in weights.items())


def test_an_encoder_does_not_learn_first_where_weights_are_spread(tmp_path: Path, encoder_folder: Path) -> None:
    config = with_first_steps(write_config(tmp_path, encoder_folder, "one", encoder_lora_rank=2))
    done = run_iai(in_two_processes(), "train", str(config), environment=FSDP2)
    assert done.returncode != 0
    assert "FSDP2 spreads them; set training.encoder_steps to 0" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "says"), PARALLELISMS[1:])
def test_spread_weights_with_an_encoder_lora_reach_the_loss_of_one(
    tmp_path: Path, encoder_folder: Path, environment: Mapping[str, str], says: str
) -> None:
    settings = json.loads((encoder_folder / "config.json").read_text())
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # every process would draw its own
    (encoder_folder / "config.json").write_text(json.dumps(settings | dropouts))
    one = write_config(tmp_path, encoder_folder, "one", encoder_lora_rank=2, pooling="attention")
    two = write_config(tmp_path, encoder_folder, "two", encoder_lora_rank=2, pooling="attention")
    weights = train(one, ALONE)
    environment = {"FSDP_CPU_RAM_EFFICIENT_LOADING": "true", **environment}
    weights_2 = train(two, in_two_processes(), environment=environment, says=says)
    assert losses_of(two) == pytest.approx(losses_of(one), rel=1e-4)
    assert_close(weights_2, weights)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(FSDP2, FSDP2, id="fsdp2"),
        pytest.param(zero(2), zero(3), id="zero2 to zero3", marks=needs_deepspeed),
        pytest.param(zero(3), zero(1), id="zero3 to zero1", marks=needs_deepspeed),
    ],
)
def test_a_stopped_run_goes_on_though_spread_otherwise(
    tmp_path: Path, encoder_folder: Path, first: Mapping[str, str], then: Mapping[str, str]
) -> None:
    config = write_config(tmp_path, encoder_folder, "run")
    weights = train(config, in_two_processes(), environment=first)
    checkpoints = tmp_path / "run" / "checkpoints"
    before, last = sorted(checkpoints.glob("step-*"))
    for ended in (last, tmp_path / "run" / "model"):
        shutil.rmtree(ended)  # as if it had been stopped after the checkpoint before
    assert list(checkpoints.glob("step-*")) == [before]
    assert_close(train(config, in_two_processes(), "--resume", environment=then), weights)


def test_fsdp_of_the_first_version_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    config = write_config(tmp_path, encoder_folder, "one")
    done = run_iai(in_two_processes(), "train", str(config), environment=FSDP2 | {"FSDP_VERSION": "1"})
    assert done.returncode != 0
    assert "FSDP version 1 is not supported" in done.stderr
    assert "--fsdp_version 2" in done.stderr


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed here")
def test_deepspeed_that_is_not_installed_is_named_with_its_extra(tmp_path: Path, encoder_folder: Path) -> None:
    config = write_config(tmp_path, encoder_folder, "one")
    done = run_iai(ALONE, "train", str(config), environment=zero(2))
    assert done.returncode == 2
    assert 'pip install "interconnected-ai[deepspeed]"' in done.stderr


@needs_deepspeed
@pytest.mark.parametrize("environment", [{}, zero(2)], ids=["installed only", "zero2"])
def test_deepspeed_leaves_stdout_to_the_command(
    tmp_path: Path, encoder_folder: Path, environment: Mapping[str, str]
) -> None:
    config = write_config(tmp_path, encoder_folder, "one")
    done = run_iai(
        in_two_processes() if environment else ALONE, "train", str(config), "--json", environment=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["fit"]["steps"] == 50
