"""What is known of messages without their words comes from an index that holds none; files that lack it serve as well."""

import os
import sqlite3
from pathlib import Path

from interconnected_ai.memory import Context, SQLiteStore, ThreeLevelMemory, restore
from memory_stores import message_of

INDEX = "messages_in_outline"
QUESTIONS = ("what about alpha?", "message 7", "nothing that anybody said")


def opened(path: Path) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF"), background=False, time_zone="UTC")


def contexts(memory: ThreeLevelMemory) -> list[Context]:
    return [memory.context(question, budget_tokens=budget) for question in QUESTIONS for budget in (200, 600)]


def texts(memory: ThreeLevelMemory) -> list[str]:
    return [one.text for one in contexts(memory)]


def filled(path: Path) -> list[str]:
    with opened(path) as memory:
        for number in range(120):
            memory.add(("user", "assistant", "Ann")[number % 3], f"{message_of(number)} alpha {number}", id=str(number))
        memory.catch_up()
        return texts(memory)


def without_index(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"DROP INDEX {INDEX}")
    connection.close()


def indexes(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    connection.close()
    return found


def test_outlines_are_read_from_the_index_and_are_those_of_the_messages(tmp_path: Path) -> None:
    filled(tmp_path / "memory.db")
    with opened(tmp_path / "memory.db") as memory, memory.store.read() as rows:
        every = {row[0]: row for row in rows.all("SELECT number, is_reply, num_tokens, time, role FROM messages")}
        numbers = [*every, max(every) + 1, min(every)]
        assert memory.store.outlines(rows, numbers) == every
        assert memory.store.outlines(rows, []) == {}
        plan = rows.all(
            f"EXPLAIN QUERY PLAN SELECT number, is_reply, num_tokens, time, role FROM messages INDEXED BY {INDEX} "
            "WHERE number IN (?, ?)", *numbers[:2],
        )  # fmt: skip
        assert "COVERING INDEX" in plan[0][-1]


def test_a_file_of_before_has_the_index_once_it_is_opened_and_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    told = filled(file)
    without_index(file)
    with opened(file) as memory:
        assert texts(memory) == told
    assert INDEX in indexes(file)


def test_a_file_of_before_that_cannot_be_written_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    told = filled(file)
    without_index(file)
    file.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        if os.access(file, os.W_OK):  # root may write everything
            store = SQLiteStore(file)
            with store.write() as rows:
                rows.run(f"DROP INDEX {INDEX}")
            memory = ThreeLevelMemory(store, background=False, time_zone="UTC")
        else:
            memory = opened(file)
        with memory:
            assert texts(memory) == told
    finally:
        tmp_path.chmod(0o700)
        file.chmod(0o600)


def test_a_copy_of_before_may_be_restored_under_those_who_have_it_open(tmp_path: Path) -> None:
    file, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    told = filled(file)
    with opened(file) as memory:
        memory.backup(copy)
        without_index(copy)
        memory.add("user", "alpha of later", id="later")
        restore(copy, file, overwrite=True)
        assert texts(memory) == told
