"""JSON objects in files, readable by people."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import IntegrityError, NotAModelError


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file; `IntegrityError` when it is not one. Any number of threads may read at once."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise IntegrityError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds a JSON {type(content).__name__}, needed is an object")
    return content


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object (indented, UTF-8) into a file that nobody else reads or writes yet: see `atomic_file`."""
    Path(path).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
