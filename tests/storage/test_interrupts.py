"""Ctrl-C at every step of a writer: what stands there is the old or the new, whole, and nothing lies beside it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from interconnected_ai import storage
from interconnected_ai.storage import atomic_file, atomic_folder, check_folder, folders

KIND = "test-model"
# A line that was never reached closes no file; Python does, with a warning.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_FILES = tuple(str(path) for path in Path(storage.__file__).parent.glob("*.py"))


class Interrupts:
    """Raises KeyboardInterrupt before the n-th line of the storage room that this thread runs."""

    def __init__(self, at: int) -> None:
        self.left, self.where = at, ""

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename in _FILES else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.left -= 1
            if self.left == -1:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
                raise KeyboardInterrupt
        return self._line

    @contextmanager
    def coming(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)


def write_folder(target: Path, word: str) -> None:
    with atomic_folder(target, kind=KIND) as scratch:
        (scratch / "word.txt").write_text(word)
        (scratch / "inside").mkdir()
        (scratch / "inside" / "rows.txt").write_text(word)


def write_file(target: Path, word: str) -> None:
    with atomic_file(target) as scratch:
        scratch.write_text(word)


def word_of(target: Path) -> str:
    if target.is_file():
        return target.read_text()
    check_folder(target, kind=KIND)
    return (target / "word.txt").read_text()


@pytest.mark.parametrize("way", ["exchanged", "renamed twice"])
def test_a_folder_is_the_old_or_the_new_wherever_its_writer_is_interrupted(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "renamed twice":
        monkeypatch.setattr(folders, "exchange", lambda first, second: False)
    interrupted_everywhere(write_folder, tmp_path)


def test_a_file_is_the_old_or_the_new_wherever_its_writer_is_interrupted(tmp_path: Path) -> None:
    interrupted_everywhere(write_file, tmp_path)


def interrupted_everywhere(write: Callable[[Path, str], None], folder: Path) -> None:
    target, wrong = folder / "kept", []
    write(target, "old")
    for number in count():
        interrupts = Interrupts(number)
        try:
            with interrupts.coming():
                write(target, "new")
        except KeyboardInterrupt:
            # where a lock is being signed its file may stay, free, until the next writer comes
            beside = sorted(path.name for path in folder.iterdir() if path != target and path.suffix != ".lock")
            if beside or not target.exists() or word_of(target) not in ("old", "new"):
                wrong.append((interrupts.where, beside))
        else:
            break
        write(target, "old")
        assert [path.name for path in folder.iterdir()] == ["kept"]
    assert number > 100
    assert wrong == []
