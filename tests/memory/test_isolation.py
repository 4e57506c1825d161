"""Every read names its user, and gives nobody else's words: whatever the name is made of, and where none is given."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory
from memory_stores import MakeMemory
from properties import examples

SECRET = "zanzibar"
READS: dict[str, Callable[[ThreeLevelMemory, Any], Any]] = {
    "context": lambda memory, user: memory.context(f"I like {SECRET}", user=user, session="s").text,
    "search": lambda memory, user: memory.search(f"I like {SECRET}", user=user),
    "search in a session": lambda memory, user: memory.search(f"I like {SECRET}", user=user, session="s"),
    "facts": lambda memory, user: memory.facts(user=user, superseded=True),
    "facts about": lambda memory, user: memory.facts(f"likes {SECRET}", user=user),
    "pins": lambda memory, user: memory.pins(user=user),
    "pins of a session": lambda memory, user: memory.pins(user=user, session="s"),
    "messages": lambda memory, user: list(memory.messages(user=user, session="s")),
    "summaries": lambda memory, user: memory.summaries(user=user, session="s"),
    "sessions": lambda memory, user: memory.sessions(user=user),
    "stats": lambda memory, user: memory.stats(user=user).num_messages or "",
}
NAMES = (
    "ann",
    "Ann",
    "аnn",
    "ａｎｎ",
    " ann",
    "ann ",
    "ann\u200b",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "İ",
    "i̇",
    "default",
    "%",
    "_nn",
)


def fill(memory: ThreeLevelMemory, user: str) -> None:
    memory.add("user", f"I like {SECRET}. I live in {SECRET.title()}.", user=user, session="s")
    memory.pin(f"{SECRET} is pinned", user=user)
    memory.pin(f"{SECRET} is pinned here", user=user, session="s")


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("nobody", [None, "", " ", "\t\n", "\u00a0", 0, True, b"ann"])
def test_a_read_that_names_nobody_is_refused(make: MakeMemory, read: str, nobody: Any) -> None:
    memory = make()
    fill(memory, "ann")
    memory.catch_up()
    with pytest.raises(DataError, match="user="):
        READS[read](memory, nobody)


@examples(25)
@given(
    owner=st.sampled_from(NAMES) | st.text(min_size=1, max_size=8), reader=st.sampled_from(NAMES) | st.text(max_size=8)
)
def test_a_name_reads_its_own_words_and_those_of_no_name_that_looks_like_it(owner: str, reader: str) -> None:
    with (
        TemporaryDirectory() as folder,
        ThreeLevelMemory(SQLiteStore(f"{folder}/memory.db", synchronous="OFF"), background=False) as memory,
    ):
        try:
            fill(memory, owner)
        except DataError:
            return
        memory.catch_up()
        for name, read in READS.items():
            assert SECRET in str(read(memory, owner)).lower() or name in ("summaries", "sessions", "stats"), name
            try:
                found = read(memory, reader)
            except (DataError, UnknownNameError):
                continue
            assert owner == reader or not found, (name, found)


def test_names_that_look_alike_are_apart_on_every_store(make: MakeMemory) -> None:
    memory = make()
    for name in NAMES:
        memory.add("user", f"I like {SECRET} of {name!a}", user=name, session="s")
    memory.catch_up()
    for name in NAMES:
        assert [f.message.user for f in memory.search(SECRET, user=name)] == [name]
        assert {f.user for f in memory.facts(user=name)} == {name}
        assert [s.user for s in memory.sessions(user=name)] == [name]


def test_without_a_user_the_default_user_is_read_and_everyone_takes_a_word(make: MakeMemory) -> None:
    memory = make()
    fill(memory, "ann")
    assert (memory.sessions(), memory.search(SECRET), memory.pins(), memory.stats().num_messages) == ([], [], [], 0)
    assert [s.user for s in memory.sessions(everyone=True)] == ["ann"]
    assert memory.stats(everyone=True).num_messages == 1
    for contrary in (memory.sessions, memory.stats):
        with pytest.raises(ConfigError, match="contradict"):
            contrary(user="ann", everyone=True)  # type: ignore[operator]


@pytest.mark.parametrize("session", ["", " ", "\n"])
def test_a_blank_session_stands_for_no_session(make: MakeMemory, session: str) -> None:
    memory = make()
    fill(memory, "ann")
    for read in (memory.search, memory.context, memory.facts):
        with pytest.raises(DataError, match="session="):
            read(SECRET, user="ann", session=session)  # type: ignore[operator]
