"""Vectors join the search, and a failing model costs nothing else."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, VectorModel, vector_cache
from interconnected_ai.memory.vector_cache import VectorCache
from memory_stores import MakeMemory, hashed


def test_vectors_join_the_search_users_first_and_survive_reopening(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("assistant", "red apples", id="a")
    memory.add("user", "green pears", id="b")
    assert memory.search("green pears")[0].legs == ("speech",)  # found before any vector exists
    memory.catch_up()
    assert memory.stats().num_vectors == 2
    assert memory.search("green pears")[0].legs == ("speech", "vectors")
    again = make(encode=hashed())
    again.add("user", "blue plums", id="c")
    again.catch_up()
    assert again.search("blue plums")[0].message.id == "c"
    assert again.search("red apples")[0].legs == ("replies", "vectors")
    memory.forget("b")
    assert "b" not in [f.message.id for f in again.search("green pears")]


def test_vectors_of_two_models_are_never_mixed(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("user", "green pears")
    memory.catch_up()
    with pytest.raises(ConfigError, match="'hashed', encode is 'other'"):
        make(encode=hashed(name="other"))
    plain = make()
    plain.rebuild()
    assert plain.stats().num_vectors == 0
    other = make(encode=hashed(8, "other"))
    other.catch_up()
    assert other.stats().num_vectors == 1
    with pytest.raises(ConfigError, match="encode is a lambda"):
        make(encode=lambda texts: texts)


@pytest.mark.parametrize("fault", ["raises", "shape", "strings", "nan", "ragged"])
def test_an_encode_that_fails_costs_the_vectors_and_nothing_else(
    make: MakeMemory, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    import numpy as np

    answers = {
        "raises": lambda n: 1 / 0,
        "shape": lambda n: np.zeros((n + 1, 4)),
        "strings": lambda n: ["x"] * n,
        "nan": lambda n: np.full((n, 4), np.nan),
        "ragged": lambda n: [[1.0], [1.0, 2.0]],
    }

    def encode(texts: Sequence[str]) -> Any:
        return answers[fault](len(texts))

    memory = make(encode=VectorModel("faulty", encode, encode))
    memory.add("user", "green pears", id="a")
    memory.add("user", "red apples", id="b")
    assert memory.catch_up() == 1
    assert "embed failed" in caplog.text
    assert memory.search("pears")[0].message.id == "a"
    assert memory.context("pears").source_ids == ("a", "b")


def test_a_model_that_fails_on_questions_alone_leaves_the_words(
    make: MakeMemory, caplog: pytest.LogCaptureFixture
) -> None:
    good = hashed()
    memory = make(encode=VectorModel("hashed", good.passages, lambda texts: [[1.0, 2.0]]))
    memory.add("user", "green pears", id="a")
    memory.catch_up()
    assert memory.search("pears")[0].legs == ("speech",)
    assert "the search goes on without vectors" in caplog.text


# Bytes in memory


def filled_with_vectors(file: Path, sizes: Sequence[int]) -> None:
    """A memory with a session s0, s1, … of each size."""
    with ThreeLevelMemory(SQLiteStore(file, synchronous="OFF"), encode=hashed(), background=False) as memory:
        for session, size in enumerate(sizes):
            for number in range(size):
                memory.add(
                    "user", f"thing{number} and thing{number // 3}", session=f"s{session}", id=f"{session}-{number}"
                )
        memory.catch_up()


def test_vectors_in_memory_stay_within_their_bytes_and_the_search_finds_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled_with_vectors(file, [60, 60, 60, 200])
    row_bytes = 64 * 4 + 16  # the vector, its serial and its message's number
    queries = [(f"thing{number}", f"s{number % 4}") for number in range(0, 60, 5)]
    found = {}
    for budget in (0, 70 * row_bytes, 130 * row_bytes, 2**28):
        store = SQLiteStore(file, vector_bytes=budget)
        with ThreeLevelMemory(store, encode=hashed(), background=False) as memory:
            held = []
            found[budget] = []
            for query, session in queries:
                hits = memory.search(query, session=session, scope="session")
                assert "vectors" in hits[0].legs
                found[budget].append([(f.message.id, round(f.score, 9), f.legs) for f in hits])
                held.append(memory.stats().cached_vector_bytes)
            assert max(held) <= budget
            assert (
                held[-1]
                == {
                    0: 0,
                    70 * row_bytes: 60 * row_bytes,
                    130 * row_bytes: 120 * row_bytes,
                    2**28: 380 * row_bytes,
                }[budget]
            )
    assert all(one == found[0] for one in found.values())


def test_the_session_that_was_not_asked_for_longest_leaves_first(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled_with_vectors(file, [10, 10, 10])
    store = SQLiteStore(file, vector_bytes=25 * (64 * 4 + 16))
    cache = VectorCache(store._vector_bytes)
    query = hashed().queries(["thing1"])[0]
    with store.read() as rows:
        for session in (1, 2, 1, 3):
            assert cache.nearest(rows, [session], query, 3)
    assert list(cache._sessions) == [1, 3]
    store.close()


def test_a_reader_sees_the_vectors_of_its_own_moment_whoever_read_further(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled_with_vectors(file, [20])
    store, cache, query = SQLiteStore(file), VectorCache(2**20), hashed().queries(["thing1"])[0]
    with store.read() as old:
        before = cache.nearest(old, [1], query, 50)
        filled_with_vectors(file, [30])
        with store.read() as new:
            after = cache.nearest(new, [1], query, 50)
        assert after != before
        assert cache.nearest(old, [1], query, 50) == before
        with store.read() as new:
            assert cache.nearest(new, [1], query, 50) == after
    with ThreeLevelMemory(file, encode=hashed(), background=False) as memory:
        with store.read() as old:
            old.one("SELECT count(*) FROM vectors")
            memory.forget("0-1", session="s0")
            with store.read() as new:
                left = cache.nearest(new, [1], query, 50)
            assert cache.nearest(old, [1], query, 50) == after
        with store.read() as new:
            assert cache.nearest(new, [1], query, 50) == left
    assert len(left) < len(after)
    store.close()


def test_blocks_hold_the_newest_rows_and_no_row_is_read_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vector_cache, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(vector_cache, "MOST_ROWS", 40)
    file, cache, query = tmp_path / "memory.db", VectorCache(2**20), hashed().queries(["thing1"])[0]
    store = None
    for size in (5, 6, 20, 21, 39, 55, 90):
        filled_with_vectors(file, [size])
        store = store or SQLiteStore(file)
        with store.read() as rows:
            found = cache.nearest(rows, [1], query, 100)
            for other in (VectorCache(0), VectorCache(2**20)):
                assert dict(other.nearest(rows, [1], query, 100)) == pytest.approx(dict(found), abs=2e-4)
            serials = [serial for block in cache._sessions[1].blocks for serial in block.serials.tolist()]
            newest = rows.all("SELECT serial FROM vectors ORDER BY serial DESC LIMIT 40")
            assert serials == [serial for (serial,) in reversed(newest)]
            assert all(len(block.serials) <= 7 for block in cache._sessions[1].blocks)
    assert store is not None
    store.close()


def test_threads_share_the_vectors_of_many_sessions(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    filled_with_vectors(file, [30] * 8)
    store = SQLiteStore(file, vector_bytes=100 * (64 * 4 + 16))
    memory = ThreeLevelMemory(store, encode=hashed(), background=False)
    alone = {n: [f.message.id for f in memory.search("thing7", session=f"s{n}", scope="session")] for n in range(8)}
    failures: list[object] = []

    def use(name: int) -> None:
        for number in range(20):
            session = (name + number) % 8
            found = [f.message.id for f in memory.search("thing7", session=f"s{session}", scope="session")]
            if found != alone[session] or store.cached_vector_bytes() > store._vector_bytes:
                failures.append((session, found))

    threads = [threading.Thread(target=use, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    memory.close()
    assert store.cached_vector_bytes() == 0
