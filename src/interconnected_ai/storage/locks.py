"""One writer at a time: an advisory lock beside a path, between threads and between processes.

The lock itself is filelock's: the system's own (flock, LockFileEx), which ends with its owner, or where a file system has
none, a marker whose owner is told from a dead one by process id and start time. This file adds who holds it and for what.
"""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from interconnected_ai.errors import BusyError, StorageError

_POLL_SECONDS = 0.01
_NO_SYSTEM_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


class _Held(threading.local):
    """The locks that this thread holds. A forked child has a copy of its parent's list and holds none of them."""

    def __init__(self) -> None:
        self.pid, self.paths = os.getpid(), set[Path]()


_held = _Held()


@dataclass(frozen=True)
class _Owner:
    """Who holds a lock, as the lock file says it. started: when the process began, where the system tells."""

    pid: int | None = None
    host: str | None = None
    started: str | None = None
    purpose: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        process = f"process {self.pid}" if self.pid != os.getpid() else f"another thread of this process ({self.pid})"
        elsewhere = f" on {self.host}" if self.host not in (None, socket.gethostname()) else ""
        since = f", running since {self.started}" if self.started else ""
        purpose = f" ({self.purpose})" if self.purpose else ""
        return f"{process}{elsewhere}{since}{purpose}"


@contextmanager
def locked(target: str | Path, *, purpose: str, timeout_seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock of a file or folder: no other thread or process is inside such a block for the same path.

    purpose: what the owner does, for others' error messages: "saving a system". The thread that holds a lock may take it again.
    The lock is advisory, a hidden file beside `target` that is gone afterwards; it is free when its owner dies.
    Raises `BusyError`, which names the owner, after `timeout_seconds`, and `StorageError` where no file can be made.
    """
    path = lock_path(target)
    if path in _paths_of_this_thread():
        yield
        return
    owner = os.getpid()
    lock, identity = _acquire(Path(target), path, purpose, timeout_seconds)
    _paths_of_this_thread().add(path)
    try:
        yield
    finally:
        _paths_of_this_thread().discard(path)
        if os.getpid() == owner:  # a forked child that leaves the block has nothing to give back
            _release(lock, path, identity)


@contextmanager
def locked_if_free(target: Path) -> Iterator[bool]:
    """Hold the lock if nobody has it, the calling thread included, and say whether it is held."""
    if lock_path(target) in _paths_of_this_thread():
        yield False
        return
    try:
        lock, identity = _acquire(target, lock_path(target), "clearing up", 0.0)
    except StorageError:
        yield False
        return
    try:
        yield True
    finally:
        _release(lock, lock_path(target), identity)


def lock_path(target: str | Path) -> Path:
    """The hidden sibling file that is locked; links to one folder have one lock."""
    place = Path(os.path.realpath(target))
    return place.parent / f".{place.name.lstrip('.')}.lock"


def _paths_of_this_thread() -> set[Path]:
    if _held.pid != os.getpid():
        _held.pid, _held.paths = os.getpid(), set()
    return _held.paths


def _acquire(
    target: Path, path: Path, purpose: str, timeout_seconds: float
) -> tuple[filelock.BaseFileLock, tuple[int, int] | None]:
    """The lock, held, and the device and inode of its file where the system has locks."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            lock, identity = _take(path, purpose, max(0.0, deadline - time.monotonic()))
        except filelock.Timeout as error:
            owner = _owner_of(path)
            waited = f", after {timeout_seconds:g} s of waiting too" if timeout_seconds else ""
            raise BusyError(
                f"{target} is in use by {owner}{waited}; wait until that has ended, or end it, then try again",
                pid=owner.pid,
                purpose=owner.purpose,
            ) from error
        except OSError as error:
            raise StorageError(
                f"could not lock {target}: {error.strerror or error}; a file must be writable beside it"
            ) from error
        if identity is None or _identity(path) == identity:
            return lock, identity
        lock.release()  # its file was removed by the owner before: this lock keeps nobody out


def _take(path: Path, purpose: str, timeout_seconds: float) -> tuple[filelock.BaseFileLock, tuple[int, int] | None]:
    identity: list[tuple[int, int]] = []

    def sign(descriptor: int) -> None:
        status = os.fstat(descriptor)
        identity.append((status.st_dev, status.st_ino))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(_this_process(purpose))).encode())

    lock: filelock.BaseFileLock = filelock.FileLock(path, thread_local=False, on_acquired=sign)
    try:
        lock.acquire(timeout=timeout_seconds, poll_interval=_POLL_SECONDS)
        return lock, identity[0]
    except filelock.Timeout:
        raise
    except OSError as error:
        if error.errno not in _NO_SYSTEM_LOCKS:
            raise
    lock = filelock.SoftFileLock(path, thread_local=False)
    lock.acquire(timeout=timeout_seconds, poll_interval=_POLL_SECONDS)
    return lock, None


def _release(lock: filelock.BaseFileLock, path: Path, identity: tuple[int, int] | None) -> None:
    """Remove the lock file while it is held, so that whoever waits for it sees that it is another, and let go."""
    if os.name != "nt" and identity is not None and _identity(path) == identity:
        path.unlink(missing_ok=True)
    lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _this_process(purpose: str) -> _Owner:
    return _Owner(os.getpid(), socket.gethostname(), _started(), purpose)


def _started() -> str | None:
    """When this process began, to the second, in local time; None where the system has no /proc."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        after_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began))
    return None


def _owner_of(path: Path) -> _Owner:
    """Who holds the lock, as far as its file tells."""
    with suppress(OSError, ValueError, TypeError):
        return _Owner(**json.loads(path.read_text(encoding="utf-8")))
    return _Owner(pid=filelock.SoftFileLock(path).pid)
