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
    lock = _Lock(Path(target), purpose)
    try:
        try:
            lock.take(timeout_seconds)
            yield
        finally:
            lock.give_back()
    finally:
        lock.give_back()  # Ctrl-C may have come in the midst of the first


@contextmanager
def locked_if_free(target: Path) -> Iterator[bool]:
    """Hold the lock if nobody has it, the calling thread included, and say whether it is held."""
    if lock_path(target) in _paths_of_this_thread():
        yield False
        return
    lock = _Lock(target, "clearing up")
    try:
        try:
            is_held = True
            try:
                lock.take(0.0)
            except StorageError:
                is_held = False
            yield is_held
        finally:
            lock.give_back()
    finally:
        lock.give_back()  # as above


def lock_path(target: str | Path) -> Path:
    """The hidden sibling file that is locked; links to one folder have one lock."""
    place = Path(os.path.realpath(target))
    return place.parent / f".{place.name.lstrip('.')}.lock"


def _paths_of_this_thread() -> set[Path]:
    if _held.pid != os.getpid():
        _held.pid, _held.paths = os.getpid(), set()
    return _held.paths


class _Lock:
    """A target's lock for one block of this thread. `give_back` may be called at any time, and again."""

    def __init__(self, target: Path, purpose: str) -> None:
        self._target, self._path, self._purpose = target, lock_path(target), purpose
        self._pid = os.getpid()
        self._lock: filelock.BaseFileLock | None = None
        self._inode: tuple[int, int] | None = None  # of the file that is locked, where the system has locks

    def take(self, timeout_seconds: float) -> None:
        """Wait for it; `BusyError` after so many seconds, `StorageError` where no file can be made."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._acquire(max(0.0, deadline - time.monotonic()))
            except filelock.Timeout as error:
                owner = _owner_of(self._path)
                waited = f", after {timeout_seconds:g} s of waiting too" if timeout_seconds else ""
                raise BusyError(
                    f"{self._target} is in use by {owner}{waited}; wait until that has ended, or end it, then try again",
                    pid=owner.pid,
                    purpose=owner.purpose,
                ) from error
            except OSError as error:
                raise StorageError(
                    f"could not lock {self._target}: {error.strerror or error}; a file must be writable beside it"
                ) from error
            if self._inode is None or _identity(self._path) == self._inode:
                _paths_of_this_thread().add(self._path)
                return
            self._release()  # its file was removed by the owner before: this lock keeps nobody out

    def give_back(self) -> None:
        """Remove the lock file while it is held, so that whoever waits for it sees that it is another, and let go."""
        if (
            self._lock is None or os.getpid() != self._pid
        ):  # a forked child that leaves the block has nothing to give back
            return
        if os.name != "nt" and self._inode is not None and _identity(self._path) == self._inode:
            self._path.unlink(missing_ok=True)
        _paths_of_this_thread().discard(self._path)
        self._release()

    def _acquire(self, timeout_seconds: float) -> None:
        self._lock = filelock.FileLock(self._path, thread_local=False, on_acquired=self._sign)
        try:
            self._lock.acquire(timeout=timeout_seconds, poll_interval=_POLL_SECONDS)
        except filelock.Timeout:
            raise
        except OSError as error:
            if error.errno not in _NO_SYSTEM_LOCKS:
                raise
        else:
            return
        self._lock, self._inode = filelock.SoftFileLock(self._path, thread_local=False), None
        self._lock.acquire(timeout=timeout_seconds, poll_interval=_POLL_SECONDS)

    def _sign(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._inode = status.st_dev, status.st_ino
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(_this_process(self._purpose))).encode())

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release(force=True)
        self._lock, self._inode = None, None


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
