"""`accelerate launch` runs the loop unchanged: several processes reach the losses of one with the same whole batch."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from launching import ALONE, FSDP2, in_two_processes, run_iai

from conftest import make_rows
from interconnected_ai.storage import load_tensors
from interconnected_ai.training.data import write_rows

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


def train(config: Path, launcher: Sequence[str], *flags: str, environment: Mapping[str, str] | None = None) -> Weights:
    """Run it to its end; returns the saved weights."""
    done = run_iai(launcher, "train", str(config), *flags, environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("weights spread over 2 processes" in done.stderr) == bool(environment), done.stderr[-3000:]
    return load_tensors(config.with_suffix("") / "model" / "model.safetensors")


def losses_of(config: Path) -> list[float]:
    lines = [json.loads(line) for line in (config.with_suffix("") / "metrics.jsonl").read_text().splitlines()]
    return [line["loss/task"] for line in lines if "loss/task" in line]


def assert_close(found: Weights, expected: Weights) -> None:
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("environment", [{}, FSDP2], ids=["ddp", "fsdp2"])
def test_two_processes_reach_the_loss_of_one(
    tmp_path: Path, encoder_folder: Path, environment: Mapping[str, str]
) -> None:
    one = write_config(tmp_path, encoder_folder, "one")
    two = write_config(tmp_path, encoder_folder, "two")
    weights = train(one, ALONE)
    weights_2 = train(two, in_two_processes(), environment=environment)
    losses = losses_of(one)
    assert losses[-1] < losses[0]
    assert losses_of(two) == pytest.approx(losses, rel=1e-4)
    assert_close(weights_2, weights)


def test_spread_weights_with_an_encoder_lora_reach_the_loss_of_one(tmp_path: Path, encoder_folder: Path) -> None:
    settings = json.loads((encoder_folder / "config.json").read_text())
    dropouts = {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # the encoder's own; each process draws its own
    (encoder_folder / "config.json").write_text(json.dumps(settings | dropouts))
    one = write_config(tmp_path, encoder_folder, "one", encoder_lora_rank=2, pooling="attention")
    two = write_config(tmp_path, encoder_folder, "two", encoder_lora_rank=2, pooling="attention")
    weights = train(one, ALONE)
    loading = {"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    weights_2 = train(two, in_two_processes(), environment=FSDP2 | loading)
    assert losses_of(two) == pytest.approx(losses_of(one), rel=1e-4)
    assert_close(weights_2, weights)


def test_a_run_of_spread_weights_goes_on_in_one_process(tmp_path: Path, encoder_folder: Path) -> None:
    whole = write_config(tmp_path, encoder_folder, "whole")
    weights = train(whole, in_two_processes(), environment=FSDP2)
    checkpoints = tmp_path / "whole" / "checkpoints"
    last = sorted(checkpoints.glob("step-*"))[-1]
    shutil.rmtree(last)  # as if it had been stopped after the last but one
    shutil.rmtree(tmp_path / "whole" / "model")
    assert sorted(checkpoints.glob("step-*")), "there must be an earlier checkpoint to go on from"
    assert_close(train(whole, ALONE, "--resume"), weights)


def test_each_process_holds_about_half_of_the_weights(tmp_path: Path, encoder_folder: Path) -> None:
    config = write_config(tmp_path, encoder_folder, "two")
    done = run_iai(in_two_processes(), "train", str(config), environment=FSDP2)
    found = re.search(r"weights spread over 2 processes: (\d+) of (\d+) parameters here", done.stderr)
    assert found is not None, done.stderr[-3000:]
    assert int(found[1]) <= 0.55 * int(found[2])


def test_fsdp_of_the_first_version_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    config = write_config(tmp_path, encoder_folder, "one")
    done = run_iai(in_two_processes(), "train", str(config), environment=FSDP2 | {"FSDP_VERSION": "1"})
    assert done.returncode != 0
    assert "FSDP version 1 is not supported" in done.stderr
    assert "--fsdp_version 2" in done.stderr
