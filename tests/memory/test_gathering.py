"""The pieces that the index grows by are put together by the worker: the same is found, in fewer look-ups."""

from pathlib import Path

from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.sqlite import _MOST_SEGMENTS
from memory_stores import message_of


def opened(path: Path) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF"), background=False, time_zone="UTC")


def sizes(memory: ThreeLevelMemory) -> list[int]:
    """Pages of each of the index's segments."""
    with memory.store.read() as rows:
        return rows.column("SELECT count(*) FROM search_idx GROUP BY segid")


def found(memory: ThreeLevelMemory) -> list[object]:
    return [
        (
            memory.context(f"n{number}x alpha", budget_tokens=400).text,
            [m.message.id for m in memory.search(f"n{number}x")],
        )
        for number in (3, 7, 13)
    ]


def add(memory: ThreeLevelMemory, first: int, last: int) -> None:
    for number in range(first, last):
        memory.add("user", message_of(number), id=str(number), time=1e9 + number)


def test_what_is_put_together_finds_the_same(tmp_path: Path) -> None:
    with opened(tmp_path / "memory.db") as memory:
        add(memory, 0, 14)
        before, many = found(memory), sizes(memory)
        assert len(many) > _MOST_SEGMENTS
        memory.catch_up()
        assert len(sizes(memory)) == 1
        assert found(memory) == before
        assert memory.check().is_whole


def test_beside_a_large_piece_only_small_ones_are_put_together(tmp_path: Path) -> None:
    with opened(tmp_path / "memory.db") as memory:
        with memory.store.write() as rows:  # a large one by one transaction
            entries = [
                (1 << 60 | number << 10, [f"sword{number}n{part}" for part in range(40)]) for number in range(900)
            ]
            memory.store.add_terms(rows, 1, entries)
            rows.run("INSERT INTO search (search) VALUES ('optimize')")
        (large,) = sizes(memory)
        assert large > 40
        number = 0
        while sizes(memory).count(1) <= _MOST_SEGMENTS and number < 500:
            add(memory, number, number + 1)
            number += 1
        assert number < 500
        memory.catch_up()
        assert sizes(memory).count(1) <= 3
        assert max(sizes(memory)) == large
