"""A file that is never half-written, what its bytes hash to, and how to have it on the disk for good."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from interconnected_ai.errors import StorageError
from interconnected_ai.storage.scratch import remove_leftovers, scratch_for


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """A scratch file that becomes `target` when the block ends well; `target` is never half-written.

    Threads and processes may write the same target at once: each has a scratch of its own, and the last one to end stays.
    A link stays a link, and who may read the old file may read the new one. Raises `StorageError` when the disk is full or not
    writable, or something else than a file stands there; it is unchanged then.
    """
    target = Path(os.path.realpath(target))
    try:
        _refuse_other_than_a_file(target)
        remove_leftovers(target)
        with scratch_for(target) as scratch:
            yield scratch
            sync_file(scratch)
            _refuse_other_than_a_file(target)
            keep_mode(target, scratch)
            os.replace(scratch, target)
            sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"could not write {target}: {error.strerror or error}; the old file is unchanged") from error


def keep_mode(old: Path, new: Path) -> None:
    """Let the same people read and write `new` as `old`, where there is one."""
    with suppress(FileNotFoundError):
        new.chmod(stat.S_IMODE(old.stat().st_mode))


def _refuse_other_than_a_file(target: Path) -> None:
    # A rename would put a file in the place of a device: root could take /dev/null from everybody.
    if target.exists() and not target.is_file():
        kind = "folder" if target.is_dir() else "device, pipe or socket"
        raise StorageError(f"could not write {target}: it is a {kind}; give the name of a file")


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
