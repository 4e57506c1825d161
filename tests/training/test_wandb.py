"""The Weights & Biases monitor, where the package is installed, without a network."""

from pathlib import Path

import pytest

from interconnected_ai.training.monitors import open_monitors

pytest.importorskip("wandb")


def test_a_training_that_goes_on_goes_on_with_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def run(resume_at: int) -> str:
        monitors = open_monitors(("wandb",), tmp_path, {"seed": 0}, resume_at=resume_at)
        for monitor in monitors:
            monitor.log(resume_at + 1, {"loss/task": 1.0})
            monitor.close()
        return (tmp_path / "wandb-run-id").read_text()

    first = run(0)
    assert run(10) == first
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{first}/run-{first}.wandb"))) >= 1
    assert run(0) != first, "a training from the beginning is another run"
