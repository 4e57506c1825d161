"""Processes of one training that do not see the same decide alike all the same, or they would wait for each other for ever."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from launching import in_two_processes

from ports import own_port

WORKER = Path(__file__).with_name("disagreeing.py")
CASES = ("value", "scores", "checkpoints", "minutes")
Found = dict[str, tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disagreeing")


@pytest.fixture(scope="module")
def found(place: Path) -> Found:
    """What each of two processes found, in each case."""
    paths = [str(WORKER.parent), str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")]
    settings = {
        "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }  # fmt: skip
    cases = [f"{case}={own_port(case)}" for case in CASES]  # or the second process might meet the first one's last case
    try:
        done = subprocess.run(
            [*in_two_processes(), str(WORKER), str(place), *cases],
            env={**os.environ, **settings}, capture_output=True, text=True, timeout=480, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.fail("the processes wait for each other")
    assert done.returncode == 0, done.stderr[-3000:]
    told = {case: [json.loads((place / case / f"{rank}.json").read_text()) for rank in (0, 1)] for case in CASES}
    return {case: (first, second) for case, (first, second) in told.items()}


def test_what_must_be_decided_alike_is_the_main_processs_affair_on_any_device(found: Found) -> None:
    assert found["value"] == ({"agreed": 0.1, "precision": "float32"},) * 2


def test_processes_that_score_otherwise_stop_at_the_same_step_with_the_same_best_weights(found: Found) -> None:
    assert found["scores"] == ({"epochs": 4, "best_epoch": 4},) * 2


def test_processes_that_see_other_checkpoints_go_on_from_one(found: Found) -> None:
    first, second = found["checkpoints"]
    assert first == second
    assert len(first["known"]) > 1
    assert first["steps"] == 24


def test_processes_whose_clocks_differ_train_for_as_many_steps(found: Found, place: Path) -> None:
    first, second = found["minutes"]
    assert first == second
    assert first["steps"] >= 1
    assert not (place / "minutes" / "expert-training" / "pacing").exists()
