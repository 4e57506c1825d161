"""The files of a training's folder: which process writes them, and how they are written whole and read with care."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from interconnected_ai.errors import IntegrityError
from interconnected_ai.storage import atomic_file, write_json

T = TypeVar("T")


def process_rank() -> int:
    """This process's number under `accelerate launch` or torchrun; 0 when it is the only one. The first one writes."""
    return int(os.environ.get("RANK", "0"))


def write_json_safely(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as scratch:
        write_json(scratch, content)


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
