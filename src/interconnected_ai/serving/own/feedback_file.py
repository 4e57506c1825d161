"""What people thought of answers, a line each in a file that only grows."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import StorageError


class FeedbackFile:
    """Lines of JSON. What `add` returned from is on disk; a line that a sudden end cut short is passed over.

    Threads: any number at once, in one process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()

    def add(self, line: Mapping[str, Any]) -> None:
        """Keep one line. Raises `StorageError` where the disk refuses."""
        # A line begins with its own line end, so that one that was cut short spoils no other.
        data = b"\n" + json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._guard:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    _write_whole(descriptor, data)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise StorageError(f"could not write {self.path}: {error.strerror or error}") from error

    def of(self, owner: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest lines of an owner, the newest last."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"could not read {self.path}: {error.strerror or error}") from error
        found: list[dict[str, Any]] = []
        for line in reversed(lines):
            if len(found) == limit:
                break
            read = _read(line)
            if read is not None and read.get("owner") == owner:
                found.append(read)
        return found[::-1]


def _write_whole(descriptor: int, data: bytes) -> None:
    """A disk that is nearly full takes a part of what it is given, and says so by a number alone."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:  # empty, or cut short
        return None
    return content if isinstance(content, dict) else None
