"""Many writers and readers of one folder, some of them killed: every read is whole, every acknowledged save is there."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import crowd
import pytest

from interconnected_ai.errors import BusyError, ConflictError, IntegrityError, NotAModelError
from interconnected_ai.storage import (
    atomic_file,
    atomic_folder,
    folders,
    read_folder,
    read_json,
    recover,
    version_of,
    write_folder,
)
from interconnected_ai.storage.locks import lock_path

WAYS = ["exchange", "two renames"]


class Crowd:
    """Four writers and four readers, each a process that is started again when it was killed."""

    def __init__(self, place: Path, way: str) -> None:
        self.folder, self.way = place / "counts", way
        crowd.save(self.folder, {}, None)
        self.writers = [f"writer-{number}" for number in range(4)]
        self.readers = [f"reader-{number}" for number in range(4)]
        self.members = {name: self.start(name) for name in self.writers + self.readers}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        what = "write" if name in self.writers else "read"
        with self.errors(name).open("w") as errors:
            return subprocess.Popen(
                [sys.executable, crowd.__file__, what, str(self.folder), name, self.way],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stderr=errors,
            )

    def errors(self, name: str) -> Path:
        return self.folder.parent / f"{name}.errors"

    def kill(self, name: str) -> None:
        self.members[name].kill()
        self.members[name].wait()
        self.members[name] = self.start(name)

    def marks(self, name: str) -> int:
        """Saves that a writer has acknowledged, readings that a reader has done."""
        file = self.folder.parent / f"{name}.{'acknowledged' if name in self.writers else 'reads'}"
        return file.stat().st_size if file.exists() else 0

    def require_alive(self) -> None:
        for name, process in self.members.items():
            if process.poll() is not None:
                pytest.fail(f"{name} ended with {process.returncode}: {self.errors(name).read_text()}")

    def stop(self) -> None:
        (self.folder.parent / "stop").touch()
        for name, process in self.members.items():
            assert process.wait() == 0, f"{name}: {self.errors(name).read_text()}"

    def require_every_acknowledged_save(self, kills: dict[str, int]) -> None:
        _, counts = crowd.load(self.folder)
        for name in self.writers:
            done, acknowledged = counts.get(name, 0), self.marks(name)
            assert acknowledged <= done <= acknowledged + kills.get(name, 0), name  # killed between save and its mark


def let_them_work(place: Path, way: str, seed: int, goes_on: Callable[[Crowd], bool]) -> None:
    """Kill one of the crowd at random, whenever a few more saves are done, as long as `goes_on`."""
    chance, kills, seen = random.Random(seed), dict[str, int](), 0
    members = Crowd(place, way)
    try:
        while goes_on(members):
            members.require_alive()
            total = sum(members.marks(name) for name in members.writers)
            if total >= seen + 4:
                victim = chance.choice(members.writers * 2 + members.readers)
                time.sleep(chance.random() * 0.02)  # anywhere in what it is doing
                members.kill(victim)
                kills[victim] = kills.get(victim, 0) + 1
                seen = total
            time.sleep(0.01)
        members.stop()
    finally:
        for process in members.members.values():
            process.kill()
            process.wait()
    assert kills
    members.require_every_acknowledged_save(kills)
    recover(members.folder)
    known = {"counts", "stop"}
    assert {p.name for p in place.iterdir() if p.suffix not in (".acknowledged", ".reads", ".errors")} == known


@pytest.mark.parametrize("way", WAYS)
def test_a_crowd_that_is_killed_at_random_loses_nothing_and_reads_whole_folders(tmp_path: Path, way: str) -> None:
    def until_each_has_done_some(members: Crowd) -> bool:
        return not all(members.marks(name) >= 6 for name in members.writers + members.readers)

    let_them_work(tmp_path, way, 1, until_each_has_done_some)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_crowd_that_is_killed_at_random_for_a_minute_loses_nothing(tmp_path: Path, way: str) -> None:
    end = time.monotonic() + 60

    def for_a_minute_and_until_each_has_done_one(members: Crowd) -> bool:
        return time.monotonic() < end or not all(members.marks(name) for name in members.writers + members.readers)

    let_them_work(tmp_path, way, 2, for_a_minute_and_until_each_has_done_one)


def run_all(*work: Callable[[], None]) -> None:
    """Run these at once, each in a thread; what one raises is raised."""
    failures: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_crowd_of_threads_loses_nothing_and_reads_whole_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "two renames":
        monkeypatch.setattr(folders, "exchange", lambda first, second: False)
    folder = tmp_path / "counts"
    crowd.save(folder, {}, None)

    def writer(name: str) -> None:
        for _ in range(5):
            crowd.add_one(folder, name)

    def reader() -> None:
        for _ in range(20):
            crowd.load(folder)

    run_all(*(lambda name=f"writer-{n}": writer(name) for n in range(8)), *[reader] * 8)  # type: ignore[misc]
    assert crowd.load(folder)[1] == {f"writer-{n}": 5 for n in range(8)}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_reader_beside_constant_writers_comes_to_an_end(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    crowd.save(folder, {}, None)
    done = threading.Event()

    def writer() -> None:
        while not done.is_set():
            with atomic_folder(folder, kind=crowd.KIND) as scratch:
                (scratch / "a.json").write_text("{}")

    def slow_reading(place: Path) -> dict[str, int]:
        before = version_of(place), place.stat().st_ino
        for _ in range(50):  # long enough that some writer is always through before the end, unless all wait
            time.sleep(0.005)
            read_json(place / "a.json")
        assert (version_of(place), place.stat().st_ino) == before or not done.is_set()
        return read_json(place / "a.json")

    def reader() -> None:
        try:
            read_folder(folder, slow_reading, kind=crowd.KIND)
        finally:
            done.set()

    run_all(writer, writer, reader)


# One reader and one writer, step by step


def saved(folder: Path, word: str) -> Path:
    with atomic_folder(folder, kind=crowd.KIND) as scratch:
        (scratch / "a.txt").write_text(word)
        (scratch / "b.txt").write_text(word)
    return folder


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_what_was_read_half_from_the_old_and_half_from_the_new_is_read_again(tmp_path: Path, times: int) -> None:
    folder, calls = saved(tmp_path / "model", "old"), []

    def read(place: Path) -> tuple[str, str]:
        first = (place / "a.txt").read_text()
        calls.append(first)
        if len(calls) <= times:
            saved(folder, f"new {len(calls)}")  # in the thread that holds the lock in the end: it is let in again
        return first, (place / "b.txt").read_text()

    found = read_folder(folder, read, kind=crowd.KIND)
    assert len(calls) == min(times, 3) + 1
    if times <= 3:
        assert found == (f"new {times}", f"new {times}")


def test_a_folder_that_comes_back_with_the_same_contents_was_still_replaced(tmp_path: Path) -> None:
    folder, calls = saved(tmp_path / "model", "one"), []

    def read(place: Path) -> tuple[str, str]:
        calls.append(1)
        if len(calls) == 1:
            saved(folder, "two")
        first = (place / "a.txt").read_text()
        if len(calls) == 1:
            saved(folder, "one")
        return first, (place / "b.txt").read_text()

    version = version_of(folder)
    assert read_folder(folder, read, kind=crowd.KIND) == ("one", "one")
    assert len(calls) == 2
    assert version_of(folder) == version


def test_an_error_that_a_replacement_caused_is_forgotten_and_any_other_is_raised(tmp_path: Path) -> None:
    folder, calls = saved(tmp_path / "model", "old"), []

    def read(place: Path) -> str:
        calls.append(1)
        if len(calls) == 1:
            saved(folder, "new")
            raise FileNotFoundError("a file of the old folder")
        return (place / "a.txt").read_text()

    assert read_folder(folder, read, kind=crowd.KIND) == "new"

    def fail(place: Path) -> None:
        calls.append(1)
        raise ZeroDivisionError

    calls.clear()
    with pytest.raises(ZeroDivisionError):
        read_folder(folder, fail, kind=crowd.KIND)
    assert len(calls) == 1


def test_damage_and_absence_are_told_at_once_and_without_a_trace(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "old")
    (folder / "a.txt").write_text("odl")
    with pytest.raises(IntegrityError, match="altered"):
        read_folder(folder, lambda place: pytest.fail("must not be read"), kind=crowd.KIND)
    with pytest.raises(NotAModelError, match="no folder at"):
        read_folder(tmp_path / "nowhere" / "model", lambda place: pytest.fail("must not be read"), kind=crowd.KIND)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_reader_who_can_make_nobody_wait_gives_up_with_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "model", "old")

    def read(place: Path) -> str:
        saved(folder, "new")
        return (place / "a.txt").read_text()

    monkeypatch.setattr(folders, "_MOST_READS", 3)
    monkeypatch.setattr(folders, "_read_with_writers_waiting", folders._read_again_and_again)
    with pytest.raises(BusyError, match="replaced each of the 3 times"):
        read_folder(folder, read, kind=crowd.KIND)


@pytest.mark.parametrize("look", ["exists", "is_dir", "iterdir", "samefile"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_writer_that_looks_in_the_midst_of_anothers_two_renames_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str, nth: int
) -> None:
    folder, aside, looks = saved(tmp_path / "model", "old"), tmp_path / ".model.replaced", []
    real = getattr(Path, look)

    def look_between_the_renames(path: Path, *arguments: object) -> object:
        if path == folder:
            looks.append(look)
        if path != folder or len(looks) != nth or lock_path(folder).exists():
            return real(path, *arguments)
        os.rename(folder, aside)
        try:
            return real(path, *arguments)
        finally:
            os.rename(aside, folder)

    monkeypatch.setattr(Path, look, look_between_the_renames)
    saved(folder, "new")
    monkeypatch.undo()
    assert read_folder(folder, lambda place: (place / "a.txt").read_text(), kind=crowd.KIND) == "new"


# Compare and swap


def test_a_version_is_that_of_the_contents(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "one")
    first = version_of(folder)
    assert version_of(saved(tmp_path / "other", "one")) == first
    assert version_of(saved(folder, "two")) != first
    assert version_of(tmp_path / "absent") is None
    assert version_of(tmp_path) is None
    assert version_of(folder / "a.txt") is None


def test_who_writes_a_folder_is_told_its_version_for_the_next_time(tmp_path: Path) -> None:
    def write(scratch: Path) -> None:
        (scratch / "a.txt").write_text(f"{len(versions)}")

    folder, versions = tmp_path / "model", list[str | None]([None])
    for _ in range(3):
        versions.append(write_folder(folder, write, kind=crowd.KIND, replaces=versions[-1]))
        assert versions[-1] == version_of(folder)
    assert len(set(versions)) == 4
    with pytest.raises(ConflictError):
        write_folder(folder, write, kind=crowd.KIND, replaces=versions[1])
    assert (folder / "a.txt").read_text() == "3"


def change_beside(folder: Path, scratch: Path) -> None:
    """What somebody else saves while this writer writes."""
    (scratch / "a.txt").write_text("mine")
    saved(folder, "theirs")


def test_the_second_of_two_changes_to_one_version_is_refused_and_the_first_one_stays(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "one")
    loaded = version_of(folder)
    with (
        pytest.raises(ConflictError, match="changed by someone else"),
        atomic_folder(folder, kind=crowd.KIND, replaces=loaded) as scratch,
    ):
        change_beside(folder, scratch)
    assert (folder / "a.txt").read_text() == "theirs"
    with (
        pytest.raises(ConflictError, match="load it again"),
        atomic_folder(folder, kind=crowd.KIND, replaces=loaded),
    ):
        pytest.fail("what is known to be in vain must not be begun")
    with atomic_folder(folder, kind=crowd.KIND, replaces=version_of(folder)) as scratch:
        (scratch / "a.txt").write_text("mine")
    assert (folder / "a.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_what_must_not_exist_yet_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with atomic_folder(folder, kind=crowd.KIND, replaces=None) as scratch:
        (scratch / "a.txt").write_text("first")
    with (
        pytest.raises(ConflictError, match="nothing was to stand there"),
        atomic_folder(folder, kind=crowd.KIND, replaces=None),
    ):
        pytest.fail("the block must not be entered")
    version = version_of(folder)
    with (
        pytest.raises(ConflictError, match="nothing stands there any more"),
        atomic_folder(tmp_path / "gone", kind=crowd.KIND, replaces=version),
    ):
        pytest.fail("the block must not be entered")


# Scratch


def test_nothing_of_a_living_writer_is_touched(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "old")
    with atomic_folder(folder, kind=crowd.KIND) as scratch:
        (scratch / "a.txt").write_text("slow")
        for clear in (lambda: recover(folder), lambda: saved(folder, "fast"), lambda: crowd_thread(recover, folder)):
            clear()
            assert (scratch / "a.txt").read_text() == "slow"
    assert (folder / "a.txt").read_text() == "slow"
    assert list(tmp_path.iterdir()) == [folder]


def crowd_thread(function: Callable[[Path], object], folder: Path) -> None:
    run_all(lambda: function(folder) and None)


def test_two_writers_of_one_file_do_not_meet_in_one_scratch(tmp_path: Path) -> None:
    target = tmp_path / "rows.txt"
    both_inside = threading.Barrier(2)

    def write(word: str) -> None:
        for _ in range(5):
            with atomic_file(target) as scratch:
                scratch.write_text(word * 1000)
                both_inside.wait()
                assert scratch.read_text() == word * 1000
            both_inside.wait()
            assert set(target.read_text()) in ({"a"}, {"b"})
            both_inside.wait()

    run_all(lambda: write("a"), lambda: write("b"))
    assert list(tmp_path.iterdir()) == [target]


KILLED_WHILE_WRITING = """
import os, sys
from interconnected_ai.storage import atomic_file
with atomic_file(sys.argv[1]) as scratch:
    scratch.write_bytes(bytes(1000))
    os._exit(9)
"""


def test_what_a_killed_writer_of_a_file_left_goes_with_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "[rows] *.txt"  # no pattern
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(target)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 9
    assert len(list(tmp_path.iterdir())) == 2  # the scratch and its lock
    with atomic_file(target) as scratch:
        scratch.write_text("new")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python warns of fork in a process with threads
def test_a_forked_child_that_leaves_the_block_takes_nothing_with_it(tmp_path: Path) -> None:
    class ChildLeavesError(Exception):
        pass

    target = tmp_path / "model"
    child = 0
    try:
        with atomic_folder(target, kind=crowd.KIND) as scratch:
            (scratch / "a.txt").write_text("parent")
            child = os.fork()
            if not child:
                raise ChildLeavesError
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert (scratch / "a.txt").read_text() == "parent"
    except ChildLeavesError:
        os._exit(0)
    assert (target / "a.txt").read_text() == "parent"
