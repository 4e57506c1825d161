"""`accelerate launch` runs the loop unchanged: two processes reach the loss of one with the same whole batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from conftest import make_rows
from interconnected_ai.storage import load_tensors
from interconnected_ai.training.data import write_rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(
    folder: Path, encoder_folder: Path, name: str, launcher: list[str]
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train on a few rows; returns the final weights and the losses that were logged."""
    for branch, count in (("a", 96), ("b", 64)):
        write_rows(folder / f"{branch}.jsonl", *make_rows(branch, count).of(branch))
    config = {
        "output": str(folder / name),
        "system": {"base_model_name": str(encoder_folder), "num_experts": 4, "max_seq_len": 32, "dropout": 0.0},
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("a", "b")], "test_fraction": 0.0},
        "training": {
            "epochs": 5, "batch_size": 16, "patience": None, "precision": "float32", "device": "cpu", "monitors": [],
            "lr_moe": 1e-3, "z_loss_weight": 0.01, "checkpoint_every_steps": 20,
        },
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launcher, "-m", "interconnected_ai.cli", "train", str(path)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return load_tensors(folder / name / "model" / "model.safetensors"), [
        r["loss/task"] for r in lines if "loss/task" in r
    ]


def torchrun(*flags: str) -> list[str]:
    """What `accelerate launch` starts for several processes of one machine (on CPUs it would want mpirun instead)."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", str(free_port()), *flags,
    ]  # fmt: skip


def test_two_processes_reach_the_loss_of_one(tmp_path: Path, encoder_folder: Path) -> None:
    weights, losses = launch(tmp_path, encoder_folder, "one", [sys.executable])
    weights_2, losses_2 = launch(tmp_path, encoder_folder, "two", torchrun())
    assert losses[-1] < losses[0]
    assert losses_2 == pytest.approx(losses, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_2[name], tensor, atol=1e-3, rtol=1e-2)
