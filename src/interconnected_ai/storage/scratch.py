"""Where something is written before it takes its place: a hidden sibling that one writer has to itself.

Its lock tells others that the writer lives; what a dead writer left is removed by the next one.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from interconnected_ai.errors import StorageError
from interconnected_ai.storage.locks import locked, locked_if_free


@contextmanager
def scratch_for(target: Path) -> Iterator[Path]:
    """A name beside `target` that no other thread or process uses; what stands there when the block ends is removed.

    Raises `OSError` where nothing can be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f"{_prefix(target)}{secrets.token_hex(6)}"
    owner = os.getpid()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(scratch, purpose=f"writing {target.name}"))
        except StorageError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None  # what stands in the way of the lock stands in the way of the file
            raise
        try:
            try:
                yield scratch
            finally:
                _remove_as(owner, scratch)
        finally:
            _remove_as(owner, scratch)  # Ctrl-C may have come in the midst of the first


def remove_leftovers(target: Path) -> None:
    """Remove what dead writers of `target` left. A living writer's scratch is locked, and stays."""
    for scratch in scratches_of(target):
        with locked_if_free(scratch) as is_free:
            if is_free:
                remove(scratch)


def scratches_of(target: Path) -> list[Path]:
    """What writers of `target`, living or dead, have beside it."""
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    found = {name.removesuffix(".lock") for name in names if name.startswith(_prefix(target))}
    return [target.parent / name for name in sorted(found)]


def remove(path: Path) -> None:
    """Remove a file or folder as far as the system lets us; what stays is left for the next writer."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


def _remove_as(owner: int, scratch: Path) -> None:
    if os.getpid() == owner:  # not in a forked child that leaves the block
        remove(scratch)


def _prefix(target: Path) -> str:
    return f".{target.name.lstrip('.')}.writing-"
