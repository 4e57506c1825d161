"""The pool: hits against LRU and Belady, and real experts lent to threads: waits, private memory, cold experts."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.pool_experts import PROMPT, PrivateBytes, made_experts
from interconnected_ai.bench.pool_lru import CountLru
from interconnected_ai.bench.pool_traces import MIXES, belady_hits, ledger_hits, lru_hits, names_of, trace_of
from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.experts import ExpertPool, TextExpert, mapped_num_bytes, open_expert

# key, what it is, the goal, and whether the goal is a ceiling
GOALS = (
    ("hit_rate_over_lru_zipf", "hits on the Zipf mix over those of LRU", 1.0, False),
    ("peak_over_budget", "private memory at its peak, less what is there without experts, over the budget", 1.05, True),
    ("cold_first_token_ms", "a cold expert to its first token, ms", 150.0, True),
    ("wait_over_count_lru_zipf", "mean wait on the Zipf mix over that of LRU by count", 1.0, True),
)
_MB = 10**6
_NUM_CHATS, _NUM_COLD = 4, 24
_LARGE, _SMALL = 33 * _MB, 9 * _MB  # an expert in float32, and in 8 bits
Borrow = Callable[[str], AbstractContextManager[TextExpert]]


@dataclass
class Lent:
    """What those who asked saw, in seconds: until they had the expert, and until its first token."""

    waits: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)

    def figures(self, hit_rate: float, seconds: float, private: PrivateBytes, budget_bytes: int) -> dict[str, float]:
        """In milliseconds; the peak of private memory as a share of the budget."""
        return {
            "mean_wait_ms": 1000 * statistics.fmean(self.waits),
            "p95_wait_ms": 1000 * sorted(self.waits)[int(0.95 * (len(self.waits) - 1))],
            "first_token_ms": 1000 * statistics.median(self.first_tokens),
            "hit_rate": hit_rate,
            "seconds": seconds,
            "peak_over_budget": (private.peak - private.before) / budget_bytes,
        }


def bench_pool(
    *,
    num_experts: int = 64,
    capacity: int = 16,
    num_borrows: int = 8_000,
    num_real_borrows: int = 240,
    d_model: int = 320,
    n_layers: int = 7,
    engine: str = "onnx",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Everything of `iai bench pool --json`.

    capacity: experts that the budget holds. num_borrows: of a mix, decided without loading anything. num_real_borrows: of a
    mix, of experts on disk, by four threads that draw from one trace; 0 leaves them out. d_model, n_layers: of those experts.
    """
    say("hit rates of the mixes")
    found: dict[str, Any] = {"machine": machine(), "num_experts": num_experts, "capacity": capacity, "engine": engine}
    found["hits"] = [_hits(mix, num_experts, capacity, num_borrows) for mix in MIXES]
    by_mix = {row["mix"]: row for row in found["hits"]}
    found["hit_rate_over_lru_zipf"] = by_mix["zipf"]["ledger"] / max(1e-9, by_mix["zipf"]["lru"])
    found["share_of_belady"] = {row["mix"]: row["ledger"] / max(1e-9, row["belady"]) for row in found["hits"]}
    if num_real_borrows:
        found |= _on_disk(num_experts, capacity, num_real_borrows, d_model, n_layers, engine, say)
    return found


def pool_goal_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured, against the goals: what, value, goal, and whether the goal is a ceiling."""
    return [
        {"what": what, "value": found[key], "goal": goal, "at_most": at_most}
        for key, what, goal, at_most in GOALS
        if key in found
    ]


def _hits(mix: str, num_experts: int, capacity: int, num_borrows: int) -> dict[str, Any]:
    """Of experts of one size; and of two, where a count has to take each for a large one."""
    trace, names = trace_of(mix, num_experts, num_borrows), names_of(num_experts)
    two_sizes = {name: _SMALL if number % 2 else _LARGE for number, name in enumerate(names)}
    return {
        "mix": mix,
        "ledger": ledger_hits(trace, capacity, dict.fromkeys(names, 1)),
        "lru": lru_hits(trace, capacity),
        "belady": belady_hits(trace, capacity),
        "ledger_two_sizes": ledger_hits(trace, capacity * _LARGE, two_sizes),
        "count_lru_two_sizes": lru_hits(trace, capacity),
    }


def _on_disk(
    num_experts: int,
    capacity: int,
    num_borrows: int,
    d_model: int,
    n_layers: int,
    engine: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="iai-bench-pool-") as home:
            say(f"{num_experts} experts are written")
            places = made_experts(Path(home), num_experts, d_model, n_layers, engine)
            return _lent(places, capacity, num_borrows, engine, say)
    finally:
        torch.set_num_threads(threads)


def _lent(
    places: dict[str, Path], capacity: int, num_borrows: int, engine: str, say: Callable[[str], None]
) -> dict[str, Any]:
    first = next(iter(places.values()))
    expert_bytes, has_light = _bytes_of(first, engine), mapped_num_bytes(first, engine) is not None
    budget = capacity * expert_bytes
    found: dict[str, Any] = {"expert_bytes": expert_bytes, "budget_bytes": budget, "lent": []}
    if has_light:
        found["mapped_bytes"] = _bytes_of(first, engine, mapped=True)
        found["mapped_step_over_hot"] = _step_ratio(first, engine)
    for mix in MIXES:
        trace = trace_of(mix, len(places), num_borrows)
        for contestant in ("pool", "pool without mapping", "LRU by count") if has_light else ("pool", "LRU by count"):
            say(f"{mix}: {contestant}")
            figures = _contest(contestant, places, trace, expert_bytes, capacity, engine)
            found["lent"].append({"mix": mix, "who": contestant, **figures})
    by_who = {(row["mix"], row["who"]): row for row in found["lent"]}
    waits = [by_who["zipf", who]["mean_wait_ms"] for who in ("pool", "LRU by count")]
    found["wait_over_count_lru_zipf"] = waits[0] / max(1e-9, waits[1])
    found["peak_over_budget"] = max(row["peak_over_budget"] for row in found["lent"] if row["who"] == "pool")
    say("cold experts")
    with _pool(places, expert_bytes, capacity, engine, has_light) as pool:
        found["cold_first_token_ms"] = 1000 * statistics.median(_cold(pool, list(places)[:_NUM_COLD]))
    return found


def _contest(
    who: str, places: dict[str, Path], trace: Sequence[str], expert_bytes: int, capacity: int, engine: str
) -> dict[str, float]:
    """One trace, asked for by four chats, with the experts of a pool or of an LRU by count."""
    private, lent, budget = PrivateBytes(), Lent(), capacity * expert_bytes
    if who == "LRU by count":
        others = CountLru(
            {name: partial(open_expert, place, engine=engine) for name, place in places.items()}, capacity
        )
        with private.watched():
            seconds = _chats(trace, others.borrow, lent)
        others.close()
        return lent.figures(others.hit_rate, seconds, private, budget)
    with _pool(places, expert_bytes, capacity, engine, who == "pool") as pool:
        with private.watched():
            seconds = _chats(trace, partial(_borrowed, pool), lent)
        stats = pool.stats()
        figures = lent.figures(stats.hit_rate, seconds, private, budget)
    return {**figures, "ledger_peak_over_budget": stats.peak_bytes / budget}


def _pool(
    places: dict[str, Path], expert_bytes: int, capacity: int, engine: str, with_light: bool
) -> ExpertPool[TextExpert]:
    pool: ExpertPool[TextExpert] = ExpertPool(capacity * expert_bytes)
    for name, place in places.items():
        light = mapped_num_bytes(place, engine) if with_light else None
        mapped = None if light is None else partial(open_expert, place, engine=engine, mapped=True)
        pool.add(
            name, partial(open_expert, place, engine=engine), num_bytes=expert_bytes, mapped=mapped,
            mapped_bytes=light or 0,
        )  # fmt: skip
    return pool


@contextmanager
def _borrowed(pool: ExpertPool[TextExpert], name: str) -> Iterator[TextExpert]:
    with pool.borrow(name) as loan:
        yield loan.expert


def _chats(trace: Sequence[str], borrow: Borrow, lent: Lent) -> float:
    """Four threads, each of which asks for the next expert of the trace when it is done with the last. Seconds of all."""
    left, taking = iter(trace), threading.Lock()

    def chat() -> None:
        try:
            answer_all()
        except BaseException as error:  # noqa: BLE001 - it is raised again where all are waited for
            failed.append(error)

    failed: list[BaseException] = []

    def answer_all() -> None:
        while not failed:
            with taking:
                name = next(left, None)
            if name is None:
                return
            began = time.perf_counter()
            with borrow(name) as expert, expert.stream(PROMPT, max_new_tokens=8, temperature=0.0) as answer:
                waited = time.perf_counter() - began
                next(answer, None)
                spoke = time.perf_counter() - began
                answer.result()
            with taking:
                lent.waits.append(waited)
                lent.first_tokens.append(spoke)

    began = time.perf_counter()
    threads = [threading.Thread(target=chat) for _ in range(_NUM_CHATS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - began


def _cold(pool: ExpertPool[TextExpert], names: Sequence[str]) -> Iterator[float]:
    """Seconds from asking for an expert that was never loaded to its first token, nobody else being there."""
    for name in names:
        began = time.perf_counter()
        with pool.borrow(name) as loan, loan.expert.stream(PROMPT, max_new_tokens=1, temperature=0.0) as answer:
            next(answer, None)
            yield time.perf_counter() - began


def _bytes_of(place: Path, engine: str, *, mapped: bool = False) -> int:
    """What an expert says it takes; libraries, threads and buffers are there from then on."""
    with open_expert(place, engine=engine, mapped=mapped) as expert:
        expert.generate(PROMPT, max_new_tokens=8, temperature=0.0)
        return expert.num_bytes


def _step_ratio(place: Path, engine: str) -> float:
    """How much longer an answer takes on mapped weights."""
    with open_expert(place, engine=engine, mapped=True) as light, open_expert(place, engine=engine) as hot:
        contestants = {
            name: partial(expert.generate, PROMPT, max_new_tokens=48, temperature=0.0)
            for name, expert in (("light", light), ("hot", hot))
        }
        timings = take_turns(contestants, 5)
    return timings["light"].median / timings["hot"].median
