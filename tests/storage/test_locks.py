"""The lock of a path: between threads, between processes, after the death of its owner, and across a fork."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import filelock
import pytest

from interconnected_ai.errors import BusyError, StorageError
from interconnected_ai.storage import locked, locks

OWNER = """
import sys, time
from interconnected_ai.storage import locked
with locked(sys.argv[1], purpose="testing locks"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `tmp_path / "model"` until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OWNER, str(tmp_path / "model")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "model", purpose="testing"):
        assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]
    assert list(tmp_path.iterdir()) == []


def test_who_waits_too_long_is_told_who_holds_the_lock(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(BusyError, match=rf"process {owner.pid}.*\(testing locks\)") as caught,
        locked(tmp_path / "model", purpose="waiting", timeout_seconds=0),
    ):
        pytest.fail("the block must not be entered")
    assert "of waiting" not in str(caught.value)
    with (
        pytest.raises(BusyError, match=r"after 0\.02 s of waiting too; wait until"),
        locked(tmp_path / "model", purpose="waiting", timeout_seconds=0.02),
    ):
        pytest.fail("the block must not be entered")
    assert (caught.value.pid, caught.value.purpose) == (owner.pid, "testing locks")
    if sys.platform == "linux":
        assert "running since 20" in str(caught.value)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with locked(tmp_path / "model", purpose="after it", timeout_seconds=30):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_given_to_a_waiting_thread_when_its_owner_ends(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    had = threading.Event()

    def wait_for_it() -> None:
        with locked(tmp_path / "model", purpose="waiting"):
            had.set()

    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    assert not had.wait(0.2)
    owner.communicate()
    waiting.join()
    assert had.is_set()


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most, total = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, total
        for _ in range(5):
            with locked(tmp_path / "model", purpose="counting"):
                inside += 1
                most = max(most, inside)
                total += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, total) == (1, 40)
    assert list(tmp_path.iterdir()) == []


def test_another_thread_of_the_process_is_named_as_such(tmp_path: Path) -> None:
    refusals: list[str] = []

    def try_it() -> None:
        try:
            with locked(tmp_path / "model", purpose="trying", timeout_seconds=0):
                pass
        except BusyError as error:
            refusals.append(str(error))

    with locked(tmp_path / "model", purpose="saving"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert len(refusals) == 1
    assert f"another thread of this process ({os.getpid()})" in refusals[0]


def test_a_thread_may_take_its_lock_again_and_holds_it_to_the_outer_end(tmp_path: Path) -> None:
    with locked(tmp_path / "model", purpose="outer"):
        with locked(tmp_path / "model", purpose="inner", timeout_seconds=0):
            pass
        assert (tmp_path / ".model.lock").exists()
        with locks.locked_if_free(tmp_path / "model") as is_free:
            assert not is_free
    with locks.locked_if_free(tmp_path / "model") as is_free:
        assert is_free


def test_a_folder_and_a_link_to_it_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    assert locks.lock_path(tmp_path / "link") == locks.lock_path(tmp_path / "model")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python warns of fork in a process with threads
def test_a_forked_child_neither_holds_nor_frees_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "model", purpose="forking"):
        child = os.fork()
        if not child:
            code = 1
            try:
                with ExitStack() as stack:
                    stack.enter_context(locked(tmp_path / "model", purpose="child", timeout_seconds=0))
            except BusyError as error:
                code = 42 if error.pid == os.getppid() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        with pytest.raises(BusyError), ExitStack() as stack:
            thread_locked(stack, tmp_path / "model")


FORKING_OWNER = """
import os, sys
from interconnected_ai.storage import locked
with locked(sys.argv[1], purpose="forking"):
    if os.fork():
        os._exit(9)  # the owner dies, its child lives
print("child left", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_outlives_its_parent_keeps_no_lock_of_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKING_OWNER, str(tmp_path / "model")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child left\n"
        with locked(tmp_path / "model", purpose="after it", timeout_seconds=30):
            assert (tmp_path / ".model.lock").exists()


def thread_locked(stack: ExitStack, target: Path) -> None:
    """Take the lock as another thread would."""
    paths, locks._held.paths = locks._held.paths, set()
    try:
        stack.enter_context(locked(target, purpose="another", timeout_seconds=0))
    finally:
        locks._held.paths = paths


def test_a_lock_file_that_was_removed_under_its_owner_keeps_nobody_out_and_is_not_trusted(tmp_path: Path) -> None:
    with locked(tmp_path / "model", purpose="first"):
        (tmp_path / ".model.lock").unlink()
        with ExitStack() as stack:
            thread_locked(stack, tmp_path / "model")
            inode = (tmp_path / ".model.lock").stat().st_ino
    assert inode
    assert list(tmp_path.iterdir()) == []


class NoSystemLocks(filelock.FileLock):  # type: ignore[misc, valid-type]
    """A file system without locks of its own, such as some network and FUSE mounts."""

    def acquire(self, *arguments: Any, **settings: Any) -> Any:
        raise OSError(38, "Function not implemented")


SOFT_OWNER = (
    """
import filelock
class NoSystemLocks(filelock.FileLock):
    def acquire(self, *arguments, **settings):
        raise OSError(38, "Function not implemented")
filelock.FileLock = NoSystemLocks
"""
    + OWNER
)


def test_where_the_file_system_has_no_locks_a_dead_owner_is_told_from_a_living_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock, "FileLock", NoSystemLocks)
    with subprocess.Popen(
        [sys.executable, "-c", SOFT_OWNER, str(tmp_path / "model")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=f"process {process.pid}"),
            locked(tmp_path / "model", purpose="waiting", timeout_seconds=0),
        ):
            pytest.fail("the block must not be entered")
        process.kill()
        process.wait()
    with locked(tmp_path / "model", purpose="after it", timeout_seconds=30):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StorageError, match="could not lock"), locked(tmp_path / "file" / "model", purpose="x"):
        pytest.fail("the block must not be entered")


def test_an_owner_of_whom_only_the_process_is_known_is_told_by_it_alone() -> None:
    assert str(locks._Owner(pid=1)) == "process 1"
    assert str(locks._Owner()) == "another process"
    assert str(locks._Owner(pid=1, host="elsewhere", purpose="saving")) == "process 1 on elsewhere (saving)"
