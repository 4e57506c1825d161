"""Processes of one training that do not see the same decide alike all the same, or they would wait for each other for ever."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from launching import in_two_processes

WORKER = Path(__file__).with_name("disagreeing.py")


def both(case: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each of two processes found."""
    paths = [str(WORKER.parent), str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")]
    settings = {
        "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }  # fmt: skip
    try:
        done = subprocess.run(
            [*in_two_processes(), str(WORKER), case, str(folder)],
            env={**os.environ, **settings}, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.fail("the processes wait for each other")
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return first, second


def test_what_must_be_decided_alike_is_the_main_processs_affair_on_any_device(tmp_path: Path) -> None:
    assert both("value", tmp_path) == ({"agreed": 0.1, "precision": "float32"},) * 2


def test_processes_that_score_otherwise_stop_at_the_same_step_with_the_same_best_weights(tmp_path: Path) -> None:
    assert both("scores", tmp_path) == ({"epochs": 4, "best_epoch": 4},) * 2


def test_processes_that_see_other_checkpoints_go_on_from_one(tmp_path: Path) -> None:
    first, second = both("checkpoints", tmp_path)
    assert first == second
    assert len(first["known"]) > 1
    assert first["steps"] == 24


def test_processes_whose_clocks_differ_train_for_as_many_steps(tmp_path: Path) -> None:
    first, second = both("minutes", tmp_path)
    assert first == second
    assert first["steps"] >= 1
    assert not (tmp_path / "expert-training" / "pacing").exists()
