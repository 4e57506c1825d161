"""A file that is never half-written, what its bytes hash to, and how to have it on the disk for good."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interconnected_ai.errors import StorageError
from interconnected_ai.storage.scratch import remove_leftovers, scratch_for


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """A scratch file that becomes `target` when the block ends well; `target` is never half-written.

    Threads and processes may write the same target at once: each has a scratch of its own, and the last one to end stays.
    Raises `StorageError` when the disk is full or not writable; the old file is unchanged then.
    """
    target = Path(target)
    try:
        remove_leftovers(target)
        with scratch_for(target) as scratch:
            yield scratch
            sync_file(scratch)
            os.replace(scratch, target)
            sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"could not write {target}: {error.strerror or error}; the old file is unchanged") from error


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_tree(folder: Path) -> None:
    """Have every file below a folder on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
    sync_folder(folder)


def sync_file(path: Path) -> None:
    """Have a file's bytes on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk."""
    if os.name == "nt":  # Windows cannot open a folder for fsync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
