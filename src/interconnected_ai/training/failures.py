"""A training that an error ended: what is noted of it in the run's folder, for `iai doctor`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter

from interconnected_ai.arguments import checked
from interconnected_ai.errors import StorageError, TrainingError
from interconnected_ai.storage import atomic_file, write_json
from interconnected_ai.training.run_folder import as_record, content_of

_FILE = "ended.json"
OUT_OF_MEMORY = "OutOfMemory"


@dataclass(frozen=True)
class Failure:
    """After how many steps an error ended the training, its class ("OutOfMemory" whichever library raised it), its words."""

    step: int
    kind: str
    message: str


@contextmanager
def noting_errors(folder: Path, steps_done: Callable[[], int], *, advice: str) -> Iterator[None]:
    """Run a training; an error that ends it is noted in `folder`. A lack of memory becomes a `TrainingError` with advice."""
    (folder / _FILE).unlink(missing_ok=True)  # what ended an earlier attempt is history
    try:
        yield
    except (TrainingError, StorageError, RuntimeError, MemoryError) as error:
        short_of_memory = is_out_of_memory(error)
        _note(
            folder,
            Failure(steps_done(), OUT_OF_MEMORY if short_of_memory else type(error).__name__, _first_line(error)),
        )
        if not short_of_memory:
            raise
        raise TrainingError(f"memory ran out at step {steps_done() + 1} ({_first_line(error)}). {advice}") from error


@checked
def failure_of(folder: Path) -> Failure | None:
    """What ended the training in this folder, if an error did. Raises `IntegrityError` for a damaged note."""
    path = folder / _FILE
    return as_record(path, content_of(path), TypeAdapter(Failure)) if path.exists() else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU torch has a class for it, its CPU allocator raises a plain RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATORS_WORDS)


def _note(folder: Path, failure: Failure) -> None:
    with suppress(OSError, StorageError):  # a full disk may be what ended it
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / _FILE) as scratch:
            write_json(scratch, asdict(failure))


# c10/core/impl/alloc_cpu.cpp, on Linux and macOS, and on Windows.
_ALLOCATORS_WORDS = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
