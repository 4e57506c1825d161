"""The planner's bench: predictions for every case, a case measured in a process of its own, a short calibration."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interconnected_ai.bench import calibration
from interconnected_ai.bench.cases import Case, measured, predicted
from interconnected_ai.bench.plan import CASES, _row
from interconnected_ai.planner import Device, load_calibration, save_calibration


@pytest.fixture(scope="module")
def device() -> Device:
    """This machine, measured in short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "_SECONDS_EACH", 0.01)
        patch.setattr(calibration, "_DISK_BYTES", 2**20)
        patch.setattr(calibration, "_REPEATS", 1)
        for reference in ("_TRAINING", "_ANSWERS"):
            small = replace(getattr(calibration, reference), system={"d_ff": 96}, batch=16, tokens=8)
            patch.setattr(calibration, reference, small)
        return calibration.calibrate(say=lambda sentence: None)


def test_a_calibration_measures_every_kind_of_work(device: Device, tmp_path: Path) -> None:
    found = device.calibration
    assert found is not None
    assert {"float32", "bfloat16"} <= found.products.keys()
    rates = (found.bandwidth, found.activations_per_second, found.updates_per_second, found.op_seconds)
    assert min(rates) > 0
    assert load_calibration(save_calibration(device, tmp_path / "calibration.yaml")) == device


@pytest.mark.parametrize(("seconds", "runs"), [(0.001, 603), (0.1, 10), (0.5, 8), (2.0, 2), (30.0, 1)])
def test_long_runs_are_repeated_less(seconds: float, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A precision that the processor only imitates may be a hundred times slower."""
    now, done = [0.0], []

    def run() -> None:
        done.append(1)
        now[0] += seconds

    monkeypatch.setattr(calibration.time, "perf_counter", lambda: now[0])
    assert calibration._seconds(run, torch.device("cpu")) == pytest.approx(seconds)
    assert len(done) == pytest.approx(runs, abs=2 if runs > 100 else 0)


def test_a_slow_precision_is_said_to_be() -> None:
    curves = {"float32": [(1e6, 1e11)], "bfloat16": [(1e6, 1e10)], "float16": [(1e6, 2e11)]}
    notes = calibration._slow_precisions(curves)
    assert notes == ["bfloat16 products run at 0.10 × the speed of float32: train in float32 here"]


def test_there_are_cases_enough_and_each_is_predicted(device: Device) -> None:
    assert len(CASES) >= 8
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        plan = predicted(case, device)
        assert 0 < plan["low"] < plan["seconds"] < plan["high"]
        assert plan["bytes"] > 1e6


def test_more_work_is_predicted_to_take_longer(device: Device) -> None:
    small, large = (predicted(Case("", {"d_ff": d_ff}), device) for d_ff in (96, 1536))
    assert large["seconds"] > small["seconds"]
    assert large["bytes"] > small["bytes"]


def test_a_case_is_measured_in_a_process_of_its_own(device: Device) -> None:
    case = Case("tiny", {"d_ff": 96}, batch=16, tokens=8)
    found = measured(case, 3)
    assert found["seconds"] > 0
    assert found["bytes"] > 20e6  # the encoder's weights alone are more
    row = _row(case, predicted(case, device), found)
    assert row["time_error"] == pytest.approx(row["predicted_seconds"] / row["measured_seconds"] - 1)
    assert row["memory_error"] == pytest.approx(row["predicted_bytes"] / row["measured_bytes"] - 1)
