"""One file under many: stores of one process beside other processes, and files that are taken away while they are open."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError, DataError, StorageError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, restore
from memory_stores import python

ADDS = """
import sys
from interconnected_ai.memory import ThreeLevelMemory
with ThreeLevelMemory(sys.argv[1], background=False, key=sys.argv[2] or None) as memory:
    memory.add("user", "said elsewhere")
    print(len(list(memory.messages())))
"""
KEY = "correct horse"
Look = Callable[[ThreeLevelMemory, Path], Any]


def a_second_store(memory: ThreeLevelMemory, file: Path) -> None:
    with ThreeLevelMemory(file, background=False) as second:
        second.add("user", "said through the second")


def a_store_by_another_name(memory: ThreeLevelMemory, file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    with ThreeLevelMemory(link, background=False) as second:
        assert second.search("first")


def an_export_onto_itself(memory: ThreeLevelMemory, file: Path) -> None:
    with pytest.raises(StorageError, match="is a database"):
        memory.export_jsonl(file, overwrite=True)


def an_import_of_itself(memory: ThreeLevelMemory, file: Path) -> None:
    with pytest.raises(DataError, match="is a memory that is in use"):
        memory.import_file(file)


def a_copy_put_back(memory: ThreeLevelMemory, file: Path) -> None:
    memory.backup(file.with_name("copy.db"))
    restore(file.with_name("copy.db"), file, overwrite=True)


def a_store_with_a_key(memory: ThreeLevelMemory, file: Path) -> None:
    pytest.importorskip("sqlcipher3", reason='needs the extra "encryption"')
    with pytest.raises(ConfigError, match="open in this process already"):
        ThreeLevelMemory(file, key="x")


def said_by_another_process(file: Path, key: str = "") -> int:
    done = python(ADDS, str(file), key)
    out, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    return int(out)


LOOKS: list[Look] = [
    a_second_store, a_store_by_another_name, an_export_onto_itself, an_import_of_itself, a_copy_put_back, a_store_with_a_key,
]  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_who_looks_at_an_open_file_leaves_its_locks_alone(look: Look, tmp_path: Path) -> None:
    """Else the other process thinks that it is the last one, and deletes the write-ahead log that this one writes on."""
    file = tmp_path / "memory.db"
    with ThreeLevelMemory(file, background=False) as memory:
        memory.add("user", "said first")
        look(memory, file)
        log = os.stat(f"{file}-wal").st_ino
        before = len(list(memory.messages()))
        assert said_by_another_process(file) == before + 1
        assert os.stat(f"{file}-wal").st_ino == log
        memory.add("user", "said last")
        assert said_by_another_process(file) == before + 3


def test_a_second_store_of_an_encrypted_file_leaves_its_locks_alone(tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3", reason='needs the extra "encryption"')
    file = tmp_path / "memory.db"
    with ThreeLevelMemory(file, background=False, key=KEY) as memory:
        memory.add("user", "said first")
        with ThreeLevelMemory(file, background=False, key=KEY) as second:
            second.add("user", "said second")
        with pytest.raises(ConfigError, match="give its key"):
            ThreeLevelMemory(file)
        with pytest.raises(ConfigError, match="does not open it"):
            ThreeLevelMemory(file, key="wrong")
        log = os.stat(f"{file}-wal").st_ino
        assert said_by_another_process(file, KEY) == 3
        assert os.stat(f"{file}-wal").st_ino == log


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_lost_its_name_while_it_was_open_takes_nothing_more(replaced: bool, tmp_path: Path) -> None:
    file, other = tmp_path / "memory.db", tmp_path / "other.db"
    with ThreeLevelMemory(other, background=False) as memory:
        memory.add("user", "of the other", id="other")
    with ThreeLevelMemory(file, background=False) as memory:
        memory.add("user", "of the first", id="first")
        if replaced:
            os.replace(other, file)
        else:
            file.unlink()
        for call in (
            lambda: memory.add("user", "lost"),
            lambda: memory.search("first"),
            lambda: memory.context("first"),
            lambda: memory.forget("first"),
            memory.catch_up,
            memory.rebuild,
            memory.stats,
        ):
            with pytest.raises(StorageError, match="was removed or replaced"):
                call()
        assert file.exists() == replaced, "nothing new was made in its place"
    if replaced:
        for suffix in ("-wal", "-shm"):  # they are of the file that is gone
            Path(f"{file}{suffix}").unlink(missing_ok=True)
    with ThreeLevelMemory(file, background=False) as memory:
        assert memory.stats().num_messages == int(replaced)


def test_a_file_that_was_moved_away_and_back_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with ThreeLevelMemory(file, background=False) as memory:
        memory.add("user", "alpha")
        shutil.move(file, tmp_path / "away.db")
        with pytest.raises(StorageError, match="was removed or replaced"):
            memory.add("user", "lost")
        shutil.move(tmp_path / "away.db", file)
        memory.add("user", "bravo")
        assert [one.content for one in memory.messages()] == ["alpha", "bravo"]


@pytest.mark.parametrize("name", [":memory:", "file:memory.db", "file:memory.db?mode=ro"])
def test_sqlites_own_names_of_files_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="a memory is a file"):
        ThreeLevelMemory(name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["a?b#c%20d.db", "my memory.db", "память.db", "a&mode=ro.db", "-memory.db", "x'; --.db"]
)
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    for _ in range(2):
        with ThreeLevelMemory(tmp_path / name, background=False) as memory:
            memory.add("user", "alpha")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that start others, as clients of MCP do, expand nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for store in ("~/memory.db", Path("~/memory.db"), SQLiteStore("~/memory.db")):
        with ThreeLevelMemory(store, background=False) as memory:
            memory.add("user", "alpha")
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
        assert memory.stats().num_messages == 3
