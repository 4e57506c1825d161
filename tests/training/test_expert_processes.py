"""Two processes train an expert to the losses of one with the same whole batch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from expert_texts import documents
from launching import ALONE, PARALLELISMS, in_two_processes, run_iai

from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.storage import load_tensors


def train(
    folder: Path, name: str, launcher: Sequence[str], environment: Mapping[str, str] | None = None, says: str = ""
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train on a few texts; returns the final weights and the losses that were logged."""
    texts = folder / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(60)), encoding="utf-8")
    settings = {
        "output": str(folder / name), "text": {"paths": [str(texts)]},
        "model": {
            "vocab_size": 330, "d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": 16, "norm": "pre", "dropout": 0.0,
        },
        "training": {
            "epochs": 1, "batch_size": 8, "accumulation_steps": 2, "lr": 2e-3, "precision": "float32", "device": "cpu",
            "monitors": [], "samples": ["the"], "sample_tokens": 3, "gradient_checkpointing": bool(environment),
        },
    }  # fmt: skip
    config = folder / f"{name}.yaml"
    config.write_text(ExpertRunConfig.from_mapping(settings).to_yaml(), encoding="utf-8")
    done = run_iai(launcher, "expert", "train", "--config", str(config), environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert says in done.stderr, done.stderr[-3000:]
    lines = [json.loads(line) for line in (folder / f"{name}-training" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/task"] for line in lines if "loss/task" in line]
    return load_tensors(folder / name / "model.safetensors"), losses


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights and losses of one process."""
    return train(tmp_path_factory.mktemp("alone"), "one", ALONE)


@pytest.mark.parametrize(("environment", "says"), PARALLELISMS)
def test_two_processes_reach_the_losses_of_one(
    tmp_path: Path, alone: tuple[dict[str, torch.Tensor], list[float]], environment: Mapping[str, str], says: str
) -> None:
    weights, losses = alone
    weights_2, losses_2 = train(tmp_path, "two", in_two_processes(), environment, says)
    assert losses[-1] < losses[0]
    assert losses_2 == pytest.approx(losses, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_2[name], tensor, atol=2e-3, rtol=1e-2)
