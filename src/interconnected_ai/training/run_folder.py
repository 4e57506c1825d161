"""The folder of a training: who writes in it, and how its files are written whole, read with care, and dropped."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from interconnected_ai.arguments import checked
from interconnected_ai.errors import IntegrityError
from interconnected_ai.storage import atomic_file, lock_path, locked, read_json, write_json

T = TypeVar("T")


def process_rank() -> int:
    """This process's number under `accelerate launch` or torchrun; 0 when it is the only one. The first one writes."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def owned(folder: Path, *, is_main: bool = True) -> Iterator[None]:
    """Hold a training's folder, so that no other training writes there meanwhile; the main process does so for all of its own.

    The thread that holds it may hold it again; when its process dies, it is free. Raises `BusyError`, which names the process
    that trains there.
    """
    if not is_main:
        yield
        return
    with locked(folder, purpose="training", timeout_seconds=0.0):
        yield


def refuse_busy_folder(folder: Path) -> None:
    """Raise `BusyError` where a training is at work, before anything is read or computed for another. Makes no file."""
    if lock_path(folder).exists():
        with owned(folder):
            pass


@checked
def drop_folder(folder: Path) -> None:
    """Remove a folder that others may be reading: it goes at once, and never stands there with half of its files."""
    aside = folder.with_name(f".{folder.name}.dropped")
    shutil.rmtree(aside, ignore_errors=True)  # of a process that died while it dropped one
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@checked
def write_json_safely(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as scratch:
        write_json(scratch, content)


def content_of(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run; raises `IntegrityError` for whatever else stands there."""
    try:
        return read_json(path)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}; a run writes a JSON file there") from error


def as_record(path: Path, content: Any, kind: TypeAdapter[T]) -> T:
    """What was read from a file as the record that a run writes there; raises `IntegrityError` that names the file."""
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise IntegrityError(
            f"{path} does not hold what a run writes there ({where}: {first['msg']}); restore it from a copy, or train again"
        ) from error
