"""What /metrics tells, in Prometheus' words. No label comes from a request: routes and models are those that the server has."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from interconnected_ai.serving.hall import Hall
    from interconnected_ai.serving.lanes import Lane

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_RECENT_SECONDS = 300.0
_RATE_SECONDS = 60.0
_MOST_RECENT = 4_096
_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Counters:
    """The numbers of one server. Threads: any number at once."""

    def __init__(self, hall: "Hall", lanes: Iterable["Lane"], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lately = _Lately(clock)
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter("iai_requests", "Requests answered", ["route", "method", "status"], registry=registry)
        self._seconds = Histogram(
            "iai_request_seconds", "Seconds of a request", ["route"], buckets=_SECONDS, registry=registry
        )
        self._tokens = Counter("iai_tokens", "Tokens read and written", ["model", "kind"], registry=registry)
        self._gone = Counter("iai_clients_gone", "Requests whose client left before the end", registry=registry)
        self.open = Gauge("iai_requests_open", "Requests that are being answered", registry=registry)
        self._registry.register(_Inside(hall, tuple(lanes)))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has its answer. route: as the server names it."""
        method = method if method in _METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if method == "POST":  # what asks for work; a page that looks at these very figures does not count
            self._lately.answered(seconds, is_fault=status >= 500)

    def tokens(self, model: str, *, prompt: int, cached: int, answer: int) -> None:
        """What an answer took. model: one of the server's."""
        for kind, number in (("prompt", prompt), ("cached", cached), ("answer", answer)):
            self._tokens.labels(model, kind).inc(number)
        self._lately.wrote(answer)

    def recent(self) -> dict[str, Any]:
        """What was asked for with POST in the last minutes; seconds are None where nothing was."""
        return self._lately.told()

    def left(self) -> None:
        """A client went before its answer was whole."""
        self._gone.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)


@dataclass(frozen=True)
class _Happened:
    at: float
    seconds: float | None = None
    is_fault: bool = False
    tokens: int = 0


class _Lately:
    """What happened within the last minutes, so much of it at most. Threads: any number at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._happened: deque[_Happened] = deque(maxlen=_MOST_RECENT)

    def answered(self, seconds: float, *, is_fault: bool) -> None:
        self._add(_Happened(self._clock(), seconds, is_fault))

    def wrote(self, tokens: int) -> None:
        self._add(_Happened(self._clock(), tokens=tokens))

    def _add(self, happened: _Happened) -> None:
        with self._guard:
            self._happened.append(happened)

    def told(self) -> dict[str, Any]:
        now = self._clock()
        with self._guard:
            lately = [each for each in self._happened if now - each.at <= _RECENT_SECONDS]
        seconds = [each.seconds for each in lately if each.seconds is not None]
        p50, p95 = _percentiles(seconds)
        return {
            "window_seconds": _RECENT_SECONDS,
            "requests": len(seconds),
            "faults": sum(each.is_fault for each in lately),
            "p50_seconds": p50,
            "p95_seconds": p95,
            "tokens_per_second": sum(each.tokens for each in lately if now - each.at <= _RATE_SECONDS) / _RATE_SECONDS,
        }


def _percentiles(seconds: list[float]) -> tuple[float | None, float | None]:
    if len(seconds) < 2:
        return (seconds[0], seconds[0]) if seconds else (None, None)
    cuts = quantiles(seconds, n=20, method="inclusive")
    return cuts[9], cuts[18]


class _Inside(Collector):
    """What is looked up when somebody asks: lanes, and the pools of experts."""

    def __init__(self, hall: "Hall", lanes: tuple["Lane", ...]) -> None:
        self._hall, self._lanes = hall, lanes

    def collect(self) -> Iterable[Metric]:
        admitted = GaugeMetricFamily("iai_lane_admitted", "Work that runs or waits", labels=["lane"])
        for lane in self._lanes:
            admitted.add_metric([lane.name], lane.num_admitted)
        yield admitted
        used = GaugeMetricFamily("iai_pool_bytes", "Bytes of experts in memory", labels=["pool"])
        hits = GaugeMetricFamily("iai_pool_hit_rate", "Requests whose expert was in memory", labels=["pool"])
        evicted = GaugeMetricFamily("iai_pool_evictions", "Experts that had to go", labels=["pool"])
        for name, pool in self._hall.pools.items():
            stats = pool.stats()
            used.add_metric([name], stats.used_bytes)
            hits.add_metric([name], stats.hit_rate)
            evicted.add_metric([name], stats.num_evictions)
        yield from (used, hits, evicted)
