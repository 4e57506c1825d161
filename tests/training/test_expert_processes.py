"""Two processes train an expert to the losses of one with the same whole batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from expert_texts import documents

from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.storage import load_tensors


def launch(folder: Path, name: str, launcher: list[str]) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train on a few texts; returns the final weights and the losses that were logged."""
    texts = folder / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(60)), encoding="utf-8")
    settings = {
        "output": str(folder / name), "text": {"paths": [str(texts)]},
        "model": {
            "vocab_size": 330, "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16, "norm": "pre", "dropout": 0.0,
        },
        "training": {
            "epochs": 1, "batch_size": 8, "accumulation_steps": 2, "lr": 2e-3, "precision": "float32", "device": "cpu",
            "monitors": [], "samples": ["the"], "sample_tokens": 3,
        },
    }  # fmt: skip
    config = folder / f"{name}.yaml"
    config.write_text(ExpertRunConfig.from_mapping(settings).to_yaml(), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launcher, "-m", "interconnected_ai.cli", "expert", "train", "--config", str(config)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in (folder / f"{name}-training" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/task"] for line in lines if "loss/task" in line]
    return load_tensors(folder / name / "model.safetensors"), losses


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_reach_the_losses_of_one(tmp_path: Path) -> None:
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", str(free_port()),
    ]  # fmt: skip
    weights, losses = launch(tmp_path, "one", [sys.executable])
    weights_2, losses_2 = launch(tmp_path, "two", torchrun)
    assert losses[-1] < losses[0]
    assert losses_2 == pytest.approx(losses, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_2[name], tensor, atol=2e-3, rtol=1e-2)
