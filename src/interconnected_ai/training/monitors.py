"""Where a run's figures go: metrics.jsonl always, TensorBoard by default, Weights & Biases when asked."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file
from interconnected_ai.training.curves import lines_until


class Monitor(Protocol):
    """Takes figures as they come."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note named figures at an optimiser step."""

    def close(self) -> None:
        """Write out what is held back."""


class JsonLines:
    """One JSON object per line: {"step": …, name: figure, …}. A resumed run drops the lines after its checkpoint."""

    def __init__(self, path: Path, *, resume_at: int = 0) -> None:
        kept = lines_until(path, resume_at) if resume_at else []
        with atomic_file(path) as scratch:  # whoever reads beside us sees the old lines or the kept ones
            scratch.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one line."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Scalars for `tensorboard --logdir RUN/logs`."""

    def __init__(self, folder: Path, *, resume_at: int = 0) -> None:
        tensorboard = require("torch.utils.tensorboard", "training", "the TensorBoard monitor")
        self._writer = tensorboard.SummaryWriter(str(folder), purge_step=resume_at + 1 if resume_at else None)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class WeightsAndBiases:
    """A W&B run; WANDB_MODE=offline keeps it on this machine. A training that goes on goes on with the same run."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, resume_at: int = 0) -> None:
        wandb = require("wandb", "wandb", "the W&B monitor")
        place = folder / "wandb-run-id"
        if not (resume_at and place.is_file()):
            with atomic_file(place) as scratch:
                scratch.write_text(secrets.token_hex(4), encoding="utf-8")
        identity = place.read_text(encoding="utf-8").strip()
        self._run = wandb.init(
            project="interconnected-ai", dir=str(folder), config=dict(config), id=identity, resume="allow"
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures at a step."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def open_monitors(
    names: Sequence[str], folder: Path, config: Mapping[str, Any], *, resume_at: int = 0
) -> list[Monitor]:
    """metrics.jsonl in `folder`, and the named monitors."""
    folder.mkdir(parents=True, exist_ok=True)
    monitors: list[Monitor] = [JsonLines(folder / "metrics.jsonl", resume_at=resume_at)]
    if "tensorboard" in names:
        monitors.append(TensorBoard(folder / "logs", resume_at=resume_at))
    if "wandb" in names:
        monitors.append(WeightsAndBiases(folder, config, resume_at=resume_at))
    return monitors
