"""The bench of the pool: its traces, what it compares with, and the command on tiny experts."""

import threading
from collections import Counter

import pytest
from tests.cli import command_line

from interconnected_ai.bench import pool_goal_rows
from interconnected_ai.bench.pool_lru import CountLru
from interconnected_ai.bench.pool_traces import MIXES, belady_hits, ledger_hits, lru_hits, names_of, trace_of
from interconnected_ai.errors import EngineError


def slow_belady(trace: list[str], capacity: int) -> float:
    """The same, looked up in the trace at every step."""
    there: set[str] = set()
    num_hits = 0
    for place, name in enumerate(trace):
        num_hits += name in there
        if name not in there and len(there) >= capacity:
            rest = trace[place + 1 :]
            there.remove(max(sorted(there), key=lambda one: rest.index(one) if one in rest else len(trace)))
        there.add(name)
    return num_hits / len(trace)


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_is_the_same_every_time_and_asks_for_known_experts(mix: str) -> None:
    trace = trace_of(mix, 16, 600)
    assert trace == trace_of(mix, 16, 600)
    assert len(trace) == 600
    assert set(trace) <= set(names_of(16))


def test_mixes_are_what_they_are_called() -> None:
    often = Counter(trace_of("zipf", 16, 4_000)).most_common()
    assert often[0][1] > 3 * often[4][1]
    even = Counter(trace_of("uniform", 16, 4_000))
    assert max(even.values()) < 2 * min(even.values())
    bursts = trace_of("bursts", 16, 4_000)
    assert lru_hits(bursts, 4) > 2 * lru_hits(trace_of("uniform", 16, 4_000), 4)


@pytest.mark.parametrize("mix", MIXES)
def test_nobody_beats_the_one_who_knows_the_future(mix: str) -> None:
    trace = trace_of(mix, 16, 600)
    best = belady_hits(trace, 4)
    assert best == slow_belady(trace, 4)
    assert ledger_hits(trace, 4, dict.fromkeys(names_of(16), 1)) <= best
    assert lru_hits(trace, 4) <= best


def test_the_ledger_beats_the_least_recently_used_where_use_is_uneven_or_goes_round_and_equals_it_elsewhere() -> None:
    sizes = dict.fromkeys(names_of(64), 1)
    for mix, over_lru, of_belady in (
        ("zipf", 1.1, 0.8),
        ("cyclic", 10, 0.9),
        ("bursts", 0.99, 0.95),
        ("uniform", 0.95, 0.4),
    ):
        trace = trace_of(mix, 64, 3_000)
        found = ledger_hits(trace, 16, sizes)
        assert found >= over_lru * lru_hits(trace, 16)
        assert found >= of_belady * belady_hits(trace, 16)


def test_the_pool_by_count_evicts_the_longest_unused_that_nobody_has_and_loads_once() -> None:
    events: list[str] = []

    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name
            events.append(f"+{name}")

        def close(self) -> None:
            events.append(f"-{self.name}")

    pool = CountLru({name: lambda name=name: Thing(name) for name in "abc"}, 2)  # type: ignore[misc]
    with pool.borrow("a"), pool.borrow("b"):
        threads = [threading.Thread(target=lambda: pool.borrow("c").__enter__()) for _ in range(2)]
        for thread in threads:
            thread.start()
        threading.Event().wait(0.05)
        assert events == ["+a", "+b"]  # both are in use
    for thread in threads:
        thread.join(60)
    assert events == ["+a", "+b", "-b", "+c"] or events == ["+a", "+b", "-a", "+c"]
    assert pool.hit_rate <= 0.5
    pool.close()


def test_the_pool_by_count_goes_on_after_a_load_that_failed() -> None:
    def fails() -> object:
        raise EngineError("broken")

    pool = CountLru({"a": fails}, 1)  # type: ignore[dict-item]
    for _ in range(2):
        with pytest.raises(EngineError, match="broken"), pool.borrow("a"):
            pass


def test_the_command_lends_real_experts_and_measures_them(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    found = command_line.run_json(
        capsys, "bench", "pool", "--experts", "6", "--fit", "2", "--borrows", "200", "--real-borrows", "12",
        "--d-model", "32", "--layers", "1",
    )  # fmt: skip
    assert {row["who"] for row in found["lent"]} == {"pool", "pool without mapping", "LRU by count"}
    assert all(0 <= row["hit_rate"] <= 1 and row["mean_wait_ms"] > 0 for row in found["lent"])
    assert all(row.get("ledger_peak_over_budget", 0) <= 1 for row in found["lent"])
    assert found["mapped_bytes"] > 0
    assert found["cold_first_token_ms"] > 0
    assert {row["what"] for row in pool_goal_rows(found)} >= {"a cold expert to its first token, ms"}
    assert set(found["share_of_belady"]) == set(MIXES)
