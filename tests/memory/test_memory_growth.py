"""Nothing grows faster than its input. Work is counted, not timed: SQLite's steps and Python's calls."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.jobs import want
from memory_stores import count_words, message_of

Call = Callable[[], object]
_EVERY = 10  # steps of SQLite's machine from one count to the next
_SIZES = (100, 200, 400)
_LINEAR = 2.4  # n log n gives 2.3 at these sizes, a tenth of n² beside n already more
MANY_SUMMARIES = Capacities(90, 180, 10**9)  # one for every message


class CountingStore(SQLiteStore):
    """Counts the steps that SQLite takes, on whatever connection."""

    num_steps = 0

    def _connect(self, mode: str) -> Any:
        connection = super()._connect(mode)
        connection.set_progress_handler(self._count, _EVERY)
        return connection

    def _count(self) -> None:
        self.num_steps += _EVERY


def work_of(store: CountingStore, call: Call) -> int:
    """Steps of SQLite and calls of Python functions in this thread."""
    num_calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal num_calls
        num_calls += event == "call" and frame.f_code is not store._count.__func__.__code__  # type: ignore[attr-defined]

    before, watching = store.num_steps, sys.getprofile()
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(watching)
    return store.num_steps - before + num_calls


def opened(file: Path, capacities: Capacities | None = None) -> tuple[ThreeLevelMemory, CountingStore]:
    store = CountingStore(file, synchronous="OFF")
    return ThreeLevelMemory(store, capacities, count_tokens=count_words, background=False), store


def growth_of(tmp_path: Path, prepare: Callable[[int, Path], tuple[CountingStore, Call]]) -> float:
    """How much more work the second doubling adds than the first: 2 where work grows with its input, 4 with its square."""
    work = []
    for size in (8, *_SIZES):  # the first is not counted: it fills the caches of words
        store, call = prepare(size, tmp_path / f"{size}.db")
        work.append(work_of(store, call))
        store.close()
    return (work[3] - work[2]) / (work[2] - work[1])


def learning(said: Callable[[int], str]) -> Callable[[int, Path], tuple[CountingStore, Call]]:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        memory, store = opened(file)
        for number in range(size):
            memory.add("user", said(number), id=f"m{number}", time=number)
        return store, memory.catch_up

    return prepare


SAID: dict[str, Callable[[int], str]] = {
    "many values": lambda number: f"I like thing{number}x.",
    "one value after the other": lambda number: f"I live in Town{number}x.",
    "one back and forth": lambda number: "I like opera." if number % 2 else "I no longer like opera.",
}


@pytest.mark.parametrize("said", SAID.values(), ids=list(SAID))
def test_learning_facts_takes_work_by_their_number(tmp_path: Path, said: Callable[[int], str]) -> None:
    assert growth_of(tmp_path, learning(said)) < _LINEAR


@pytest.mark.parametrize("said", SAID.values(), ids=list(SAID))
def test_forgetting_facts_takes_work_by_their_number(tmp_path: Path, said: Callable[[int], str]) -> None:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        store, learn = learning(said)(size, file)
        learn()
        # In how many parts the index lies differs from size to size, and so what a word costs.
        with store.write() as rows:
            rows.run("INSERT INTO search (search) VALUES ('optimize')")
        memory = ThreeLevelMemory(store, background=False)
        return store, lambda: memory.forget(*(f"m{number}" for number in range(0, size, 2)))

    assert growth_of(tmp_path, prepare) < _LINEAR


def long_talk(size: int, file: Path, capacities: Capacities) -> tuple[ThreeLevelMemory, CountingStore]:
    memory, store = opened(file, capacities)
    for number in range(size):
        memory.add("user", message_of(number), id=f"m{number}", time=number)
    return memory, store


def test_moving_what_overflows_takes_work_by_the_number_of_messages(tmp_path: Path) -> None:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        memory, store = opened(file, MANY_SUMMARIES)

        def add() -> None:
            for number in range(size):
                memory.add("user", message_of(number), id=f"m{number}", time=number)

        return store, add

    assert growth_of(tmp_path, prepare) < _LINEAR


def test_compressing_takes_work_by_the_number_of_summaries(tmp_path: Path) -> None:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        memory, store = long_talk(size, file, MANY_SUMMARIES)
        return store, memory.catch_up

    assert growth_of(tmp_path, prepare) < _LINEAR


def test_merging_the_timeline_takes_work_by_the_number_of_its_summaries(tmp_path: Path) -> None:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        memory, store = long_talk(size, file, MANY_SUMMARIES)
        memory.catch_up()
        shorter = ThreeLevelMemory(store, Capacities(90, 180, 1), count_tokens=count_words, background=False)
        with store.write() as rows:
            want(rows, "merge", 1)
        return store, shorter.catch_up

    assert growth_of(tmp_path, prepare) < _LINEAR


def test_forgetting_messages_takes_work_by_their_number_though_each_has_its_summary(tmp_path: Path) -> None:
    def prepare(size: int, file: Path) -> tuple[CountingStore, Call]:
        memory, store = long_talk(size, file, MANY_SUMMARIES)
        memory.catch_up()
        return store, lambda: memory.forget(*(f"m{number}" for number in range(0, size, 2)))

    assert growth_of(tmp_path, prepare) < _LINEAR
