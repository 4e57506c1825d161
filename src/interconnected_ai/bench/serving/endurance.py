"""Twice what a server sustains, and everyday work for minutes: what is refused, how late answers are, whether memory grows."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.serving.generation import ExpertSizes, asked_of, percentile, saved_expert
from interconnected_ai.bench.serving.household import chat, everyday, household
from interconnected_ai.bench.serving.processes import Served, iai_serve
from interconnected_ai.bench.serving.wire import Answer, ask, ask_all, ask_at_rate, ask_for

_AT_ONCE, _WAITING = 8, 16
_TOKENS = 8
_TIMES_SUSTAINED = 2.0
_SLOWEST_QUEUES = 2.0  # an accepted answer may take as long as this many full queues
_FLAT, _FULL_SPEED = 1.02, 0.9
_FILLING, _LONG = 64, 75  # conversations at a time, and how often each says its number

Say = Callable[[str], object]


@dataclass(frozen=True)
class EnduranceSizes:
    """How long: calm_seconds to learn what is sustained, and to see that it is again.

    fills_caches: whether a soak begins once experts keep as much of conversations as they may. num_warming: everyday requests
    before it, which are answered and not measured.
    """

    calm_seconds: float = 5.0
    overload_seconds: float = 60.0
    soak_minutes: float = 2.0
    fills_caches: bool = True
    num_warming: int = 2_000


def measure_overload(home: Path, expert: ExpertSizes, sizes: EnduranceSizes, say: Say) -> dict[str, Any]:
    """overload_ok, and what it is made of; see `bench_serving`."""
    folder = saved_expert(home / "expert", expert)
    with iai_serve(home, [folder], {"max_at_once": _AT_ONCE, "max_waiting": _WAITING}) as server:
        _sustained(server, sizes.calm_seconds)  # what is loaded and compiled at first
        calm = _sustained(server, sizes.calm_seconds)
        say(f"{sizes.overload_seconds:g} s of {_TIMES_SUSTAINED:g} × {calm:.0f} requests a second")
        memory: list[float] = []
        per_second = _TIMES_SUSTAINED * calm
        ask_at_rate(server.address, _asked(), per_second, sizes.calm_seconds, lambda: None)  # buffers and threads
        found = ask_at_rate(
            server.address, _asked(), per_second, sizes.overload_seconds, lambda: memory.append(server.resident_mb)
        )
        after = _sustained(server, sizes.calm_seconds)
    accepted = [answer.seconds for answer in found if answer.status == 200]
    statuses = {status: sum(answer.status == status for answer in found) for status in {a.status for a in found}}
    bound = _SLOWEST_QUEUES * (_AT_ONCE + _WAITING) / calm
    told: dict[str, Any] = {
        "sustained_per_second": calm,
        "overload_statuses": {str(status): number for status, number in sorted(statuses.items())},
        "overload_p99_ms": 1000 * percentile(accepted, 99) if accepted else None,
        "overload_p99_bound_ms": 1000 * bound,
        "overload_memory": growth(memory),
        "overload_speed_after": after / calm,
    }
    told["overload_ok"] = (
        set(statuses) <= {200, 503}
        and bool(accepted)
        and percentile(accepted, 99) <= bound
        and told["overload_memory"] <= _FLAT
        and after / calm >= _FULL_SPEED
    )
    return told


def measure_soak(home: Path, expert: ExpertSizes, sizes: EnduranceSizes, say: Say) -> dict[str, Any]:
    """soak_ok: requests of every kind for minutes. soak_statuses, soak_memory, soak_filling.

    What experts keep of conversations is bounded in bytes, and grows until it is full. So conversations fill it before anything
    is measured (soak_filling: so many), then everyday requests what remembers words, statements and pages (`num_warming`). What
    grows from there on is what requests leave behind.
    """
    made = household(home, expert)
    memory: list[float] = []
    statuses: dict[int, int] = {}
    requests = everyday()
    with iai_serve(home, made.places, {}) as server:
        filling = sum(_fill(server, name, say) for name in made.experts) if sizes.fills_caches else 0
        say(f"{sizes.soak_minutes:g} minutes of everyday work")
        _count(statuses, ask_all(server.address, list(itertools.islice(requests, sizes.num_warming)), _AT_ONCE))
        until = time.monotonic() + 60 * sizes.soak_minutes
        while time.monotonic() < until:
            _count(statuses, ask_for(server.address, requests, _AT_ONCE, 1.0))
            memory.append(server.resident_mb)
    return {
        "soak_minutes": sizes.soak_minutes,
        "soak_statuses": {str(status): number for status, number in sorted(statuses.items())},
        "soak_memory": growth(memory),
        "soak_filling": filling,
        "soak_ok": set(statuses) <= {200, 404, 400, 503} and growth(memory) <= _FLAT,
    }


def _fill(server: Served, expert: str, say: Say) -> int:
    """Conversations with an expert until what it keeps of them grows no more; how many that were."""
    say(f"conversations with {expert} until it keeps as much of them as it may")
    sizes = [_bytes_of(server, expert)]
    steps = list[int]()
    while not steps or steps[-1] > max(steps) / 2:
        numbers = range(len(steps) * _FILLING, (len(steps) + 1) * _FILLING)
        found = ask_all(server.address, [chat(_long(n), model=expert, num_tokens=1) for n in numbers], _AT_ONCE)
        _require_answered(found)
        sizes.append(_bytes_of(server, expert))
        steps.append(sizes[-1] - sizes[-2])
    return len(steps) * _FILLING


def _long(number: int) -> str:
    """A question of several hundred tokens that no other begins like."""
    return " ".join(f"{number:05}" for _ in range(_LONG))


def _bytes_of(server: Served, expert: str) -> int:
    return int(ask(server.address, f"/v1/experts/{expert}").content["num_bytes"])


def growth(values: Sequence[float]) -> float:
    """The mean of the last third over that of the first."""
    third = max(1, len(values) // 3)
    return statistics.fmean(values[-third:]) / statistics.fmean(values[:third])


def _sustained(server: Served, seconds: float) -> float:
    """Requests a second, as many at once as are answered at once."""
    found = ask_for(server.address, _asked(), _AT_ONCE, seconds)
    _require_answered(found)
    return len(found) / seconds


def _require_answered(found: Sequence[Answer]) -> None:
    if wrong := [answer for answer in found if answer.status != 200]:
        raise RuntimeError(f"the server answered {wrong[0].status}: {wrong[0].body[:300]!r}")


def _asked() -> Iterator[bytes]:
    return (asked_of(number, _TOKENS) for number in itertools.count())


def _count(statuses: dict[int, int], answers: Sequence[Answer]) -> None:
    for answer in answers:
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
