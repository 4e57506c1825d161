"""What a training computes with is chosen once: a clock that lies afterwards changes no bit of a resumed run."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from conftest import make_rows, make_system
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import IntegrityError
from interconnected_ai.training import computing, devices, fit
from interconnected_ai.training.computing import FILE, keep_computing, open_processes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many times as fast bfloat16 is by the clock: the last entry."""
    speedups = [10.0]
    monkeypatch.setattr(devices, "bfloat16_speedup", lambda device: speedups[-1])
    return speedups


def config() -> TrainingConfig:
    return TrainingConfig(
        epochs=2, batch_size=16, patience=None, device="cpu", precision="auto", monitors=(), head_start_epochs=0,
        checkpoint_every_steps=1,
    )  # fmt: skip


def trained(folder: Path, *, stop_after: int | None = None, resume: bool = False) -> tuple[str, dict[str, Tensor]]:
    """The precision of a training and the weights that it ends with."""
    system: InterconnectedAISystem = make_system("a")
    passes: list[int] = []

    def stop(*_: object) -> None:
        passes.append(1)
        if len(passes) == stop_after:
            raise KeyboardInterrupt

    hook = system.trunk.register_forward_hook(stop)
    result = fit(system, make_rows("a", 48), make_rows("a", 12, seed=9), config(), folder, resume=resume)
    hook.remove()
    return result.precision, system.state_dict()


def test_a_resumed_training_goes_on_in_the_precision_it_began_with_whatever_the_clock_says(
    tmp_path: Path, clock: list[float]
) -> None:
    precision, whole = trained(tmp_path / "whole")
    assert precision == "bfloat16"
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stop_after=3)
    clock.append(0.1)
    precision, resumed = trained(tmp_path / "stopped", resume=True)
    assert precision == "bfloat16"
    assert all(torch.equal(whole[name], tensor) for name, tensor in resumed.items())
    assert trained(tmp_path / "afresh")[0] == "float32"


def test_what_was_asked_for_is_what_a_resumed_training_computes_in(tmp_path: Path, clock: list[float]) -> None:
    keep_computing(open_processes("cpu", "auto", tmp_path, resume=False), tmp_path)
    assert open_processes("cpu", "auto", tmp_path, resume=True).precision == "bfloat16"
    assert open_processes("cpu", "float32", tmp_path, resume=True).precision == "float32"
    clock.append(0.1)
    assert open_processes("cpu", "auto", tmp_path, resume=False).precision == "float32"
    assert open_processes("cpu", "auto", tmp_path / "of an older version", resume=True).precision == "float32"


def test_a_training_that_began_on_another_kind_of_device_says_so_and_measures_anew(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_text('{"device": "cuda", "precision": "float32"}')
    with caplog.at_level(logging.WARNING, computing.__name__):
        assert open_processes("cpu", "auto", tmp_path, resume=True).precision == "bfloat16"
    assert "began on cuda and goes on on cpu" in caplog.text


@pytest.mark.parametrize("content", ['{"device": "cpu"}', '{"device": "cpu", "precision": "int3"}', "[]", "{"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(IntegrityError, match=r"computing\.json"):
        open_processes("cpu", "auto", tmp_path, resume=True)
