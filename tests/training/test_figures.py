"""What the loop logs for the doctor: how far weights went, rows in a batch, the highest loss, what ended a run."""

import json
import math
from pathlib import Path

import pytest
import torch

from conftest import make_rows, make_system
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.errors import NonFiniteLossError, TrainingError
from interconnected_ai.training import Failure, branch_metrics, failure_of, fit
from interconnected_ai.training.failures import is_out_of_memory, noting_errors
from interconnected_ai.training.system.figures import Drift

QUICK = {"batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [], "patience": None}


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.from_mapping({**QUICK, **changes})


def rows(count: int = 48, seed: int = 0) -> Rows:
    return Rows.joined([make_rows("a", count, seed=seed), make_rows("b", count // 2, seed=seed + 1, marker="today")])


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_drift_by_hand() -> None:
    weight, bias = torch.full((4, 3), 2.0), torch.zeros(4)
    groups = [{"name": "head", "params": [weight, bias]}, {"name": "still", "params": [torch.ones(5)]}]
    drift = Drift(groups)
    assert set(drift.figures(groups).values()) == {0.0}
    weight += 0.5
    bias -= 1.0
    moved = 12 * 0.25 + 4 * 1.0
    assert drift.figures(groups) == pytest.approx(
        {
            "drift/head": math.sqrt(moved / (12 * 4.0)), "moved/head": math.sqrt(moved / 16),
            "drift/still": 0.0, "moved/still": 0.0,
        }
    )  # fmt: skip


def test_drift_of_a_large_tensor_is_estimated_from_a_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    large, small = torch.randn(400, 500, generator=generator), torch.randn(3, generator=generator)
    groups = [{"name": "moe", "params": [large, small]}]
    drift = Drift(groups)
    start, step = large.clone(), 0.3 * torch.randn(400, 500, generator=generator)
    large += step
    exact = float(step.norm() / torch.cat([start.flatten(), small]).norm())
    assert drift.figures(groups)["drift/moe"] == pytest.approx(exact, rel=0.05)
    assert drift.figures(groups)["moved/moe"] == pytest.approx(0.3, rel=0.05)


def test_weights_that_began_at_zero_have_no_relative_distance() -> None:
    weight = torch.zeros(7)
    groups = [{"name": "moe", "params": [weight]}]
    drift = Drift(groups)
    weight += 0.1
    assert drift.figures(groups) == pytest.approx({"drift/moe": 0.0, "moved/moe": 0.1})


def test_the_loss_of_a_branch_is_the_cross_entropy() -> None:
    logits, targets = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    found = branch_metrics(logits.softmax(dim=-1), targets)
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), rel=1e-5)
    certain = branch_metrics(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert math.isfinite(certain.loss)


def test_a_run_logs_them(tmp_path: Path) -> None:
    fit(make_system("a", "b"), rows(), rows(12, seed=9), config(epochs=5, head_start_epochs=2), tmp_path)
    lines = lines_of(tmp_path)
    steps, epochs = [line for line in lines if "loss/task" in line], [line for line in lines if "epoch" in line]
    for line in steps:
        assert line["loss/highest"] >= line["loss/task"]
        assert (line["batch_rows/a"], line["batch_rows/b"]) in {
            (a, b) for a in (9, 10) for b in (4, 5)
        }  # 72 rows, 5 steps
    assert [line["epoch"] for line in epochs] == [0, 1, 2, 3, 4, 5]
    assert "drift/moe" not in epochs[0]  # the trunk has not begun
    for line in epochs:
        assert line["validation_loss/a"] > 0
        assert 0 <= line["calibration_error/b"] <= 1
    far = [line["drift/moe"] for line in epochs[1:]]
    assert 0 < far[0] < far[-1]
    assert epochs[1]["drift/head"] > far[0]


def test_without_validation_rows_epochs_and_drift_are_still_logged(tmp_path: Path) -> None:
    fit(make_system("a", "b"), rows(), rows(0), config(epochs=2), tmp_path)
    epochs = [line for line in lines_of(tmp_path) if "epoch" in line]
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert epochs[-1]["drift/moe"] > 0


def test_a_resumed_run_logs_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    settings = config(epochs=4, checkpoint_every_steps=2)
    fit(make_system("a", "b"), rows(), rows(12, seed=9), settings, tmp_path / "whole")
    stopped, calls = make_system("a", "b"), list[int]()

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt

    hook = stopped.trunk.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, rows(), rows(12, seed=9), settings, tmp_path / "stopped")
    hook.remove()
    fit(make_system("a", "b"), rows(), rows(12, seed=9), settings, tmp_path / "stopped", resume=True)

    def comparable(folder: Path) -> list[dict[str, float]]:
        """The highest loss since the last line is that since the resumption, once."""
        return [
            {name: value for name, value in line.items() if name not in ("rows_per_second", "loss/highest")}
            for line in lines_of(folder)
        ]

    assert comparable(tmp_path / "whole") == comparable(tmp_path / "stopped")


def test_a_loss_that_is_no_number_is_noted_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError):
        fit(make_system("a", "b"), rows(), rows(0), config(epochs=2, lr_moe=1e30), tmp_path)
    failure = failure_of(tmp_path)
    assert failure is not None
    assert (failure.step, failure.kind) == (1, "NonFiniteLossError")
    fit(make_system("a", "b"), rows(), rows(0), config(epochs=1), tmp_path)
    assert failure_of(tmp_path) is None


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyError("a"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(tmp_path: Path, error: Exception, lacks: bool) -> None:
    assert is_out_of_memory(error) == lacks
    with (
        pytest.raises(TrainingError if lacks else type(error)),
        noting_errors(tmp_path, lambda: 4, advice="Take less."),
    ):
        raise error
    noted = failure_of(tmp_path)
    if isinstance(error, KeyError):  # a mistake of ours, not the run's
        assert noted is None
    else:
        assert noted is not None
        assert noted.kind == ("OutOfMemory" if lacks else "RuntimeError")
        assert noted.step == 4


def test_a_real_allocation_that_is_too_large_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_an_ending_reads_back(tmp_path: Path) -> None:
    with pytest.raises(TrainingError), noting_errors(tmp_path, lambda: 7, advice="Take less."):
        raise TrainingError("one line\nand another")
    assert failure_of(tmp_path) == Failure(7, "TrainingError", "one line")
