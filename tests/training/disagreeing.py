"""One of two processes that do not see the same: `disagreeing.py FOLDER CASE=PORT…`; test_disagreement.py starts it.

What a process found stands in FOLDER/CASE/RANK.json afterwards, or why it found nothing.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from expert_texts import documents

from conftest import make_rows, make_system
from interconnected_ai.config import ExpertRunConfig, TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.training import FitResult, devices, fit, train_expert
from interconnected_ai.training.checkpoints import Checkpoint, CheckpointFolder
from interconnected_ai.training.learner import Learner, TrainingState, Validation
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.system.learner import SystemLearner
from interconnected_ai.training.trainer import Trainer

RANK = int(os.environ["RANK"])


class Elsewhere(str):
    """The name of a device that is none of the CPU's, though it computes there."""

    type = "cuda"


@contextmanager
def tensors_elsewhere() -> Iterator[None]:
    """As on a GPU: the processes' device is another one than that of a new tensor, and `to` gives a copy."""
    to, device = torch.Tensor.to, Processes.device
    torch.Tensor.to = lambda self, *where, **how: to(self, *where, **how).clone()  # type: ignore[method-assign]
    Processes.device = property(lambda self: Elsewhere("cpu"))  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        torch.Tensor.to, Processes.device = to, device  # type: ignore[method-assign]


def agree_elsewhere(self: Processes, value: float, *, agree: Any = Processes.agree) -> float:
    with tensors_elsewhere():
        return float(agree(self, value))


def train(folder: Path, *, resume: bool = False, **settings: Any) -> FitResult:
    rows = Rows.joined([make_rows("a", 64), make_rows("b", 32)])
    config = {
        "epochs": 4, "batch_size": 16, "patience": None, "precision": "float32", "device": "cpu", "monitors": [],
        "head_start_epochs": 0, "checkpoint_every_steps": 3, **settings,
    }  # fmt: skip
    return fit(make_system("a", "b"), rows, make_rows("a", 16), TrainingConfig(**config), folder, resume=resume)


def value(folder: Path) -> dict[str, Any]:
    """Each has a value of its own, with more digits than float32 has; and the second measures that bfloat16 is faster."""
    devices.bfloat16_speedup = lambda place: 1.0 + 8 * RANK  # type: ignore[assignment]
    opened = Processes.open("cpu", "auto")
    return {"agreed": agree_elsewhere(opened, 0.1 + RANK), "precision": opened.precision}


def scores(folder: Path) -> dict[str, Any]:
    """The first process sees the weights get better and better, the second worse and worse."""

    def validate(self: SystemLearner, state: TrainingState) -> Validation:
        return Validation(state.step * (1 - 2 * RANK), {})

    SystemLearner.validate = validate  # type: ignore[method-assign]
    Processes.agree = agree_elsewhere  # type: ignore[method-assign]
    found = train(folder / "run", patience=1)
    return {"epochs": found.epochs, "best_epoch": found.best_epoch}


def checkpoints(folder: Path) -> dict[str, Any]:
    """The second process does not see the newest checkpoint yet."""
    evaluate, latest = Trainer._evaluate, CheckpointFolder.latest

    def interrupted(self: Trainer, learner: Learner) -> None:
        evaluate(self, learner)
        raise KeyboardInterrupt

    def late(self: CheckpointFolder) -> Checkpoint | None:
        return self.at(self.steps()[0]) if RANK else latest(self)

    Trainer._evaluate = interrupted  # type: ignore[method-assign]
    try:
        train(folder / "run", checkpoint_every_steps=2)
    except KeyboardInterrupt:
        known = CheckpointFolder(folder / "run" / "checkpoints").steps()
    Trainer._evaluate, CheckpointFolder.latest = evaluate, late  # type: ignore[method-assign]
    return {"known": known, "steps": train(folder / "run", checkpoint_every_steps=2, resume=True).steps}


def minutes(folder: Path) -> dict[str, Any]:
    """Their clocks differ, so each finds another number of steps that fit."""
    text, scratch = folder / "text.txt", folder / f"{RANK}.txt"
    scratch.write_text("\n\n".join(documents(200)), encoding="utf-8")
    scratch.replace(text)  # whole, whichever of the two comes first
    config = ExpertRunConfig.from_mapping(
        {
            "output": str(folder / "expert"),
            "text": {"paths": [str(text)]},
            "model": {"vocab_size": 300, "d_model": 32, "n_layers": 1, "n_heads": 2, "max_seq_len": 32},
            "training": {"batch_size": 4, "monitors": [], "samples": [], "device": "cpu", "precision": "float32"},
        }
    )
    return {"steps": train_expert(config, minutes=0.01).fit.steps}


CASES = {case.__name__: case for case in (value, scores, checkpoints, minutes)}


def in_a_fork(case: str, folder: Path, port: str) -> None:
    """What is imported is imported once for all cases; what they change and open is each one's own."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.environ["MASTER_PORT"] = port
    folder.mkdir(exist_ok=True)
    try:
        told = CASES[case](folder)
    except BaseException:  # noqa: BLE001 - it is told, and the next case has its turn
        told = {"fault": traceback.format_exc()}
    (folder / f"{RANK}.json").write_text(json.dumps(told))
    if torch.distributed.is_initialized():  # or threads that still run abort the process when it ends
        torch.distributed.destroy_process_group()
    os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for asked in sys.argv[2:]:
        case, _, port = asked.partition("=")
        in_a_fork(case, Path(sys.argv[1]) / case, port)
