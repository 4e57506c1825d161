"""What is on disk, and plans, which are made of configs alone."""

from collections.abc import Callable
from pathlib import Path

import torch

from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.planner import PlanRequest, SystemShape, plan, training_step
from interconnected_ai.storage import atomic_folder, check_folder, load_tensors, read_folder, save_tensors

Call = Callable[[], object]
_KIND = "growth"


def _write(count: int, folder: Path) -> Call:
    def write() -> None:
        with atomic_folder(folder / "kept", kind=_KIND) as scratch:
            for number in range(count):
                (scratch / f"{number}.bin").write_bytes(b"0" * 4096)

    return write


def _read(count: int, folder: Path) -> Call:
    _write(count, folder)()
    return lambda: read_folder(folder / "kept", lambda place: check_folder(place, kind=_KIND), kind=_KIND)


def _tensors(count: int) -> dict[str, torch.Tensor]:
    return {f"tensor.{number}": torch.full((64,), float(number)) for number in range(count)}


def _save_tensors(count: int, folder: Path) -> Call:
    given = _tensors(count)
    return lambda: save_tensors(folder / "t.safetensors", given)


def _load_tensors(count: int, folder: Path) -> Call:
    save_tensors(folder / "t.safetensors", _tensors(count))
    return lambda: load_tensors(folder / "t.safetensors")


def _request(num_branches: int) -> PlanRequest:
    branches = [{"name": f"branch-{number}", "num_classes": 10} for number in range(num_branches)]
    return PlanRequest.from_mapping({"system": {"branches": branches}, "training": {"batch_size": 4096}})


def _plan(num_branches: int) -> Call:
    request = _request(num_branches)
    return lambda: plan(request)


def _shape(num_branches: int) -> Call:
    request = _request(num_branches)
    return lambda: training_step(SystemShape.of(request.system), 64, 32, cached=True)


VERBS = (
    Verb("storage", "write a folder", "files", 100, _write),
    Verb("storage", "read a folder", "files", 300, _read),
    Verb("storage", "save tensors", "tensors", 2000, _save_tensors),
    Verb("storage", "load tensors", "tensors", 2000, _load_tensors),
    Verb("planner", "plan", "branches", 200, lambda n, to: _plan(n)),
    Verb("planner", "count the products of a step", "branches", 1000, lambda n, to: _shape(n)),
)
