"""`kill -9` at any moment, saving included, then resume: the weights of a run that was never interrupted."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import make_rows
from interconnected_ai.cli import main
from interconnected_ai.data import write_rows
from interconnected_ai.storage import sha256_of

IAI = [sys.executable, "-m", "interconnected_ai.cli"]


def write_run(folder: Path, encoder_folder: Path, output: str, epochs: int = 40) -> Path:
    for name, count in (("a", 72), ("b", 40)):
        write_rows(folder / f"{name}.jsonl", *make_rows(name, count).of(name))
    config = {
        "output": str(folder / output),
        "system": {"base_model_name": str(encoder_folder), "num_experts": 4, "max_seq_len": 32},
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("a", "b")]},
        "training": {
            "epochs": epochs, "batch_size": 16, "patience": None, "checkpoint_every_steps": 1, "precision": "float32",
            "device": "cpu", "monitors": [],
        },
    }  # fmt: skip
    path = folder / f"{output}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def run_here(capsys: pytest.CaptureFixture[str], config: Path, *flags: str) -> tuple[int, Any, str]:
    """(exit code, the one JSON object, stderr) of the command in this process, which need not start."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["train", str(config), *flags, "--json"])
    said = capsys.readouterr()
    return int(left.value.code or 0), json.loads(said.out), said.err


def start(config: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*IAI, "train", str(config), *flags, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(
    tmp_path: Path, encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, whole, error = run_here(capsys, write_run(tmp_path, encoder_folder, "whole", 16))
    assert code == 0, error
    steps = whole["fit"]["steps"]

    moment = random.Random(time.time_ns())
    config = write_run(tmp_path, encoder_folder, "killed", 16)
    survived = []
    for attempt in range(2):
        run = start(config, *(["--resume"] if attempt else []))
        checkpoints = tmp_path / "killed" / "checkpoints"
        deadline = time.monotonic() + 600
        # Every step saves, so most random moments fall into a save.
        wanted = (steps * (attempt + 1)) // 3
        while time.monotonic() < deadline and run.poll() is None and newest(checkpoints) < wanted:
            time.sleep(0.02)
        time.sleep(moment.random() * 0.2)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=60)
        survived.append(newest(checkpoints))
    code, _, error = run_here(capsys, config, "--resume")
    assert code == 0, error
    assert 0 < survived[0] < steps, "the first kill came too late to show anything"
    weights = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "killed")]
    assert sha256_of(weights[0]) == sha256_of(weights[1])


def newest(checkpoints: Path) -> int:
    """The newest complete checkpoint's step."""
    steps = [int(p.parent.name[5:]) for p in checkpoints.glob("step-*/manifest.json")]
    return max(steps, default=0)


def test_an_interrupt_leaves_with_130_and_can_be_resumed(tmp_path: Path, encoder_folder: Path) -> None:
    config = write_run(tmp_path, encoder_folder, "interrupted")
    run = start(config)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and newest(tmp_path / "interrupted" / "checkpoints") < 3:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    out, error = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in error
    kept = newest(tmp_path / "interrupted" / "checkpoints")
    message = f"stopped with a checkpoint of step {kept}. Go on with: iai train {config} --json --resume"
    assert json.loads(out) == {"error": {"kind": "Interrupted", "message": message}}


def test_a_second_process_beside_a_running_training_is_refused_with_its_pid_and_touches_nothing(
    tmp_path: Path, encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, folder = write_run(tmp_path, encoder_folder, "running"), tmp_path / "running"
    run = start(config)
    try:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and newest(folder / "checkpoints") < 1:
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGSTOP)  # whatever changes from here on, the second process did it
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for flags in (["--resume"], ["--overwrite"]):
            code, second, error = run_here(capsys, config, *flags)
            assert code == 2, error
            assert second["error"]["kind"] == "BusyError"
            assert f"process {run.pid}" in error
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        run.send_signal(signal.SIGCONT)
        run.send_signal(signal.SIGTERM)  # it goes on unharmed, and stops when it is told to
        out, error = run.communicate(timeout=300)
        assert run.returncode == 143, error
        assert "stopped with a checkpoint of step" in json.loads(out)["error"]["message"]
    finally:
        run.kill()
        run.communicate()


@pytest.mark.parametrize("flags", [[], ["--resume", "--overwrite"]])
def test_a_taken_folder_needs_a_decision(
    tmp_path: Path, encoder_folder: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_run(tmp_path, encoder_folder, "taken")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.yaml").write_text("output: taken\n")
    code, told, error = run_here(capsys, config, *flags)
    assert code == 2
    assert "overwrite" in told["error"]["message"]
    assert "Traceback" not in error
