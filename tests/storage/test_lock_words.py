"""What is said of a lock whose file tells less than it should: another release wrote it, or nobody."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from interconnected_ai.errors import BusyError
from interconnected_ai.storage import locked
from interconnected_ai.storage.locks import lock_path


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    """A path that another thread holds."""
    target, held, done = tmp_path / "model", threading.Event(), threading.Event()

    def hold() -> None:
        with locked(target, purpose="testing words"):
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    yield target
    done.set()
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells when a process began")
def test_an_owner_is_named_with_its_start_and_its_purpose(taken: Path) -> None:
    told = rf"another thread of this process \({os.getpid()}\), running since 20\d\d-[-: \d]{{14}} \(testing words\);"
    with pytest.raises(BusyError, match=told), locked(taken, purpose="reading", timeout_seconds=0.0):
        pass


@pytest.mark.parametrize("words", ["", "{", '{"unknown": 1}', "[1, 2]", "null", "\x00\xff"])
def test_an_owner_that_cannot_be_read_is_another_process(taken: Path, words: str) -> None:
    lock_path(taken).write_text(words, encoding="latin-1")
    with (
        pytest.raises(BusyError, match="in use by another process; wait until that has ended") as caught,
        locked(taken, purpose="reading", timeout_seconds=0.0),
    ):
        pass
    assert (caught.value.pid, caught.value.purpose) == (None, None)


def test_a_free_lock_is_taken_whatever_its_file_says(tmp_path: Path) -> None:
    lock_path(tmp_path / "model").write_text('{"pid": 1, "host": "elsewhere"}', encoding="utf-8")
    with locked(tmp_path / "model", purpose="reading", timeout_seconds=0.0):
        pass
    assert not lock_path(tmp_path / "model").exists()
