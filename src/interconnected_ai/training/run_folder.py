"""The folder of a training: which process writes it, and how."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.storage import atomic_file, write_json


def process_rank() -> int:
    """This process's number under `accelerate launch` or torchrun; 0 when it is the only one. The first one writes."""
    return int(os.environ.get("RANK", "0"))


def write_json_safely(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as scratch:
        write_json(scratch, content)
