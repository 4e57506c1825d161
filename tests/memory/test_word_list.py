"""Words that are like those of a question come from a list beside the index; it follows the index, and files may lack it."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, restore
from interconnected_ai.memory.editing import edit
from interconnected_ai.memory.log import new_message, session_number
from interconnected_ai.memory.schema import SCHEMA_VERSION
from memory_stores import MakeMemory, message_of
from properties import examples

QUESTIONS = ("hipopotamus", "сабака", "lighthose", "nothing that anybody said", "цапля")


def opened(path: Path) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF"), background=False, time_zone="UTC")


def said(memory: ThreeLevelMemory, user: str = "default") -> list[str]:
    contexts = [memory.context(question, budget_tokens=300, user=user).text for question in QUESTIONS]
    found = [[one.message.id for one in memory.search(question, user=user)] for question in QUESTIONS]
    return [*contexts, str(found)]


def filled(path: Path) -> list[str]:
    with opened(path) as memory:
        memory.add("user", "Моя собака любит гулять у маяка.", id="dog")
        memory.add("user", "the hippopotamus yawned at the lighthouse of v2.13.0", id="hippo")
        for number in range(60):
            memory.add("user", message_of(number), id=str(number))
        memory.catch_up()
        return said(memory)


def as_of_before(path: Path) -> None:
    """Make a file what the version of before would have left."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE words")
        connection.execute("DROP INDEX facts_by_kind")
        connection.execute("UPDATE meta SET value = '2' WHERE name = 'schema_version'")
        connection.execute("PRAGMA user_version = 2")
    connection.close()


def faults(memory: ThreeLevelMemory) -> list[str]:
    with memory.store.read() as rows:
        return memory.store.unexplained(rows)


def listed(memory: ThreeLevelMemory) -> str:
    with memory.store.read() as rows:
        owners = rows.column("SELECT number FROM sessions")
        return "".join(text for owner in owners for text in memory.store.vocabulary(rows, owner).values())


def test_a_file_of_before_has_the_list_once_it_is_opened_and_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    told = filled(file)
    as_of_before(file)
    with opened(file) as memory:
        assert "\nhippopotamus\n" in listed(memory)
        assert faults(memory) == []
        assert said(memory) == told
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == (
            str(SCHEMA_VERSION),
        )
    connection.close()


def test_a_file_of_before_that_cannot_be_written_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.db"
    told = filled(file)
    as_of_before(file)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everything
    with opened(file) as memory:
        assert not memory.store.is_writable
        assert said(memory) == told
        assert faults(memory) == []
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_copy_of_before_may_be_restored_under_those_who_have_it_open(tmp_path: Path) -> None:
    file, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    told = filled(file)
    with opened(file) as memory:
        memory.backup(copy)
        as_of_before(copy)
        memory.add("user", "a heron of later", id="later")
        restore(copy, file, overwrite=True)
        assert said(memory) == told
        memory.add("user", "a walrus of later still", id="walrus")
        assert "heron" not in listed(memory)
        assert [one.message.id for one in memory.search("wallrus")] == ["walrus"]
        assert faults(memory) == []


def test_who_has_a_file_open_that_lacks_the_list_can_write_and_forget(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled(file)
    with opened(file) as memory:
        with memory.store.write() as rows:
            rows.run("DROP TABLE words")
        memory.add("user", "a walrus of later", id="walrus")
        assert memory.search("wallrus")[0].message.id == "walrus"
        memory.forget("hippo")
        assert memory.search("hipopotamus") == []


def test_what_is_forgotten_is_on_no_list(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled(file)
    with opened(file) as memory:
        assert "hippopotamus" in listed(memory)
        memory.forget("hippo")
        assert "hippopotamus" not in listed(memory)
        assert "yawn" not in listed(memory)
        assert "alpha" in listed(memory)
        assert faults(memory) == []
    assert b"hippopotamus" not in file.read_bytes()


def test_a_check_says_that_the_list_is_not_that_of_the_index_and_a_rebuild_makes_it_anew(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    told = filled(file)
    with opened(file) as memory:
        assert memory.check().is_whole
        with memory.store.write() as rows:
            rows.run("DELETE FROM words WHERE word IN ('hippopotamus', 'yawn')")
            rows.run("INSERT INTO words (owner, kind, word) VALUES (1, 's', 'zebra')")
        assert memory.check().unexplained == (
            "the list of words lacks 2 that stand in the index",
            "the list of words has 1 that do not stand in the index",
        )
        memory.rebuild()
        memory.catch_up()
        assert memory.check().is_whole
        assert said(memory) == told


def test_like_words_are_those_of_the_user_alone(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "the hippopotamus yawned", user="Ann", id="hippo")
    memory.add("user", "a walrus slept", user="Bob", id="walrus")
    assert [one.message.id for one in memory.search("hipopotamus", user="Ann")] == ["hippo"]
    assert memory.search("hipopotamus", user="Bob") == []
    assert [one.message.id for one in memory.search("wallrus", user="Bob")] == ["walrus"]


_steps = st.lists(
    st.tuples(st.sampled_from(["add", "edit", "forget", "late", "fact"]), st.integers(0, 5), st.integers(0, 9)),
    max_size=14,
)


@examples(12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_the_list_follows_the_index_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    with opened(tmp_path_factory.mktemp("list") / "memory.db") as memory:
        there: set[str] = set()
        for number, (what, which, word) in enumerate(steps):
            id, content = str(which), f"I like word{word}. Я люблю слово{word}. {message_of(word, 4)}"
            if what == "forget" and id in there:
                memory.forget(id)
                there.discard(id)
            elif what == "fact":
                memory.set_fact("likes", f"thing{word}")
            elif what in ("add", "late") and id not in there:
                memory.add("user", content, id=id, time=1e9 - number if what == "late" else 1e9 + number)
                there.add(id)
            elif what == "edit" and id in there:
                with memory.store.write() as rows:
                    new = new_message("user", content, time=1e9, id=id, num_tokens=9)
                    edit(memory.store, rows, session_number(rows, "default", "default"), new, 1e9, embeds=False)
            memory.catch_up()
            assert faults(memory) == []
