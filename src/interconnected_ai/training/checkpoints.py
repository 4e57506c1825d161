"""Checkpoints of a running training: weights, optimiser and place in the data, whole or absent.

Without pickle: tensors in safetensors, the rest in JSON. A folder counts only with its manifest, which is written last.
Random states are not kept: the loop derives its randomness from seed, step and process.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from interconnected_ai.errors import IntegrityError, NotAModelError, StorageError
from interconnected_ai.storage import (
    atomic_folder,
    is_complete,
    load_arrays,
    load_tensors,
    read_folder,
    read_json,
    save_arrays,
    save_tensors,
    write_json,
)
from interconnected_ai.training.learner import DataRecord
from interconnected_ai.training.run_folder import drop_folder

KIND = "interconnected_ai checkpoint"
_NAME = re.compile(r"^step-(\d{8})$")
BEST = "best"
_DATA = "data.npz"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on as if nothing had happened.

    model: trainable tensors by name. optimizer: AdamW's tensors as "name/key". progress: step, epoch and whatever else
    is plain JSON. data: what was learnt from, None in checkpoints that say nothing of it.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    progress: dict[str, Any] = field(default_factory=dict)
    data: DataRecord | None = None

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return int(self.progress["step"])


class CheckpointFolder:
    """The checkpoints of one run: step-00000500, … and best.

    One process writes; any number of threads and processes may read beside it, and each gets a whole checkpoint.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then drop the oldest beyond `keep`. On a full disk the old ones stay as they are."""
        self._write(self._place(checkpoint.step), checkpoint)
        for old in self.steps()[: -self.keep]:
            drop_folder(self._place(old))

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Replace the weights of the best epoch."""
        self._write(self.folder / BEST, checkpoint)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        if not self.folder.is_dir():
            return []
        names = [(_NAME.match(f.name), f) for f in self.folder.iterdir()]
        return sorted(int(match[1]) for match, f in names if match and is_complete(f))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole and unaltered, or None. Damaged ones are passed over, newest first."""
        known = self.steps()
        damage: StorageError | None = None
        for step in reversed(known):
            try:
                return self.at(step)
            except (IntegrityError, NotAModelError) as error:
                damage = damage or error
        if self.steps() != known:  # a training beside us dropped what we read, for newer ones
            return self.latest()
        if damage is not None:
            raise damage
        return None

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step. Raises `NotAModelError` where there is none, `IntegrityError` for a damaged one."""
        return read_folder(self._place(step), _checkpoint_in, kind=KIND)

    def best(self) -> Checkpoint | None:
        """The best epoch's weights, or None before the first evaluation."""
        try:
            return read_folder(self.folder / BEST, _checkpoint_in, kind=KIND)
        except NotAModelError:
            return None

    def clear(self) -> None:
        """Remove all checkpoints."""
        drop_folder(self.folder)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _write(self, folder: Path, checkpoint: Checkpoint) -> None:
        with atomic_folder(folder, kind=KIND) as scratch:
            save_tensors(scratch / "model.safetensors", checkpoint.model)
            if checkpoint.optimizer:
                save_tensors(scratch / "optimizer.safetensors", checkpoint.optimizer)
            if checkpoint.data is not None:
                save_arrays(scratch / _DATA, checkpoint.data.arrays)
                write_json(scratch / "data.json", checkpoint.data.facts)
            write_json(scratch / "progress.json", checkpoint.progress)


def _checkpoint_in(folder: Path) -> Checkpoint:
    optimizer = folder / "optimizer.safetensors"
    return Checkpoint(
        model=load_tensors(folder / "model.safetensors"),
        optimizer=load_tensors(optimizer) if optimizer.is_file() else {},
        progress=read_json(folder / "progress.json"),
        data=_data_in(folder) if (folder / _DATA).is_file() else None,
    )


def _data_in(folder: Path) -> DataRecord:
    return DataRecord(load_arrays(folder / _DATA), read_json(folder / "data.json"))
