"""Copies of a memory that is in use, put back whole; and a check that finds what is damaged or not explained by the log."""

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError, FormatVersionError, NotAMemoryError, StorageError
from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory, restore
from memory_stores import SMALL, MakeMemory, count_words, hashed, message_of


def opened(path: Path, **settings: object) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF"), background=False, **settings)  # type: ignore[arg-type]


def test_a_copy_made_while_a_thread_adds_is_whole_and_of_one_moment(tmp_path: Path) -> None:
    with opened(tmp_path / "memory.db") as memory:
        memory.add("user", "alpha", id="0")
        stopped = threading.Event()

        def add() -> None:
            number = 1
            while not stopped.is_set():
                memory.add("user", message_of(number), id=str(number))
                number += 1

        adding = threading.Thread(target=add)
        adding.start()
        try:
            sizes = [memory.backup(tmp_path / f"copy{number}.db") for number in range(3)]
        finally:
            stopped.set()
            adding.join()
        there = [m.id for m in memory.messages()]
    for number, size in enumerate(sizes):
        copy = tmp_path / f"copy{number}.db"
        assert (copy.stat().st_size, stat.S_IMODE(copy.stat().st_mode)) == (size, 0o600)
        with opened(copy) as kept:
            ids = [m.id for m in kept.messages()]
            assert ids == there[: len(ids)]
            assert kept.check().is_whole
            assert kept.search("alpha")[0].message.id == "0"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_restored_memory_is_what_it_was_for_those_who_have_it_open_too(tmp_path: Path) -> None:
    store, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    with opened(store, encode=hashed()) as memory:
        memory.add("user", "I live in Riga", id="old")
        memory.catch_up()
        memory.backup(copy)
        assert memory.search("Riga")[0].message.id == "old"
        memory.forget("old")
        memory.add("user", "I live in Oslo", id="new")
        memory.catch_up()
        assert memory.search("Oslo")[0].message.id == "new"
        with pytest.raises(StorageError, match="exists; use --overwrite"):
            restore(copy, store)
        restore(copy, store, overwrite=True)
        assert [m.id for m in memory.messages()] == ["old"]
        assert [f.message.id for f in memory.search("Riga")] == ["old"]
        memory.add("user", "And in Paris", id="later")
        assert memory.check().is_whole
    restore(copy, tmp_path / "fresh.db")
    assert stat.S_IMODE((tmp_path / "fresh.db").stat().st_mode) == 0o600
    with opened(tmp_path / "fresh.db") as fresh:
        assert [m.id for m in fresh.messages()] == ["old"]


def test_a_copy_replaces_an_older_copy_when_asked_and_never_a_memory_in_use(tmp_path: Path) -> None:
    with opened(tmp_path / "memory.db") as memory, opened(tmp_path / "other.db") as other:
        memory.add("user", "alpha")
        other.add("user", "beta")
        memory.backup(tmp_path / "copy.db")
        with pytest.raises(StorageError, match="exists; use --overwrite"):
            memory.backup(tmp_path / "copy.db")
        memory.add("user", "gamma")
        memory.backup(tmp_path / "copy.db", overwrite=True)
        for path, words in (
            (tmp_path / "memory.db", "the memory itself"),
            (tmp_path / "other.db", "in use"),
            (tmp_path, "no file"),
            (tmp_path / "nowhere" / "copy.db", "no folder"),
        ):
            with pytest.raises(StorageError, match=words):
                memory.backup(path, overwrite=True)
        assert other.search("beta")
    with opened(tmp_path / "copy.db") as copy:
        assert copy.stats().num_messages == 2


def test_what_is_no_sound_copy_of_this_version_is_not_restored(tmp_path: Path) -> None:
    store, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    with opened(store) as memory:
        for number in range(200):
            memory.add("user", message_of(number))
        memory.backup(copy)
    content = bytearray(copy.read_bytes())
    damaged, newer, text = tmp_path / "damaged.db", tmp_path / "newer.db", tmp_path / "notes.txt"
    damaged.write_bytes(bytes(content[:8192]) + os.urandom(8192) + bytes(content[16384:]))
    newer.write_bytes(bytes(content))
    database = sqlite3.connect(newer)
    database.execute("PRAGMA user_version = 99")
    database.close()
    text.write_text("my notes " * 100)
    for source, error in (
        (damaged, NotAMemoryError),
        (newer, FormatVersionError),
        (text, NotAMemoryError),
        (tmp_path, NotAMemoryError),
        (tmp_path / "missing.db", NotAMemoryError),
    ):
        with pytest.raises(error):
            restore(source, tmp_path / "fresh.db")
        assert not list(tmp_path.glob("fresh.db*"))
        with pytest.raises(error):
            restore(source, store, overwrite=True)
    with pytest.raises(NotAMemoryError, match="not an SQLite file"):
        restore(copy, text, overwrite=True)
    with opened(store) as memory:
        assert memory.stats().num_messages == 200


def test_a_server_is_copied_by_its_own_tools(postgres_server: str) -> None:
    from memory_stores import own_schema

    with ThreeLevelMemory(own_schema(postgres_server), background=False) as memory:
        with pytest.raises(ConfigError, match="pg_dump"):
            memory.backup("copy.db")
        with pytest.raises(ConfigError, match="pg_restore"):
            restore("copy.db", postgres_server)


def test_a_memory_of_all_kinds_of_rows_is_whole(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(200, 300, 300), encode=hashed())
    memory.pin("a pin")
    memory.pin("another", session="s1")
    for number in range(120):
        memory.add("user" if number % 3 else "assistant", f"{message_of(number)}. I like n{number}x.", id=str(number))
    assert memory.check().is_whole  # what waits to be made is no fault
    memory.catch_up()
    memory.forget("5", "80")
    assert memory.check().is_whole
    memory.catch_up()
    found = memory.check()
    assert (found.damage, found.unexplained, found.num_messages) == ((), (), 118)
    memory.rebuild()
    memory.catch_up()
    assert memory.check().is_whole


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("UPDATE facts SET source = source + 1000", "no message that it came from"),
        ("UPDATE facts SET superseded_by = 999", "superseded by one that is not there"),
        ("UPDATE sessions SET num_messages = num_messages + 1", "num_messages"),
        ("UPDATE summaries SET first_place = 900, last_place = 901", "speaks of no message"),
        ("DELETE FROM search", "is not in the index"),
        ("UPDATE messages SET num_words = num_words + 50", "is not in the index"),
    ],
)
def test_what_the_log_does_not_explain_is_named_and_made_anew(make: MakeMemory, spoil: str, words: str) -> None:
    memory = make(capacities=SMALL)
    for number in range(180):
        memory.add("user", message_of(number))
    memory.add("user", "I like tea.")
    memory.add("user", "I live in Berlin.")
    memory.catch_up()
    assert memory.summaries()
    assert memory.facts()
    with memory.store.write() as rows:
        rows.run(spoil)
    found = memory.check()
    assert any(words in one for one in found.unexplained), found
    memory.rebuild()
    memory.catch_up()
    assert memory.check().is_whole


def test_a_damaged_page_is_told(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with opened(file, count_tokens=count_words) as memory:
        for number in range(400):
            memory.add("user", message_of(number))
        with memory.store.read() as rows:
            ((root,),) = rows.all("SELECT rootpage FROM sqlite_schema WHERE name = 'messages_by_time'")
    content = bytearray(file.read_bytes())
    content[(root - 1) * 4096 + 200 : root * 4096] = os.urandom(4096 - 200)
    file.write_bytes(content)
    with opened(file) as memory:
        assert memory.check().damage
