"""How well a router routes: on labelled requests, those that are nobody's business among them, and how long it takes."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.routing.examples import Example
from interconnected_ai.types import Request, Route, Router


@dataclass(frozen=True)
class RouterMetrics:
    """Shares of 1; None of what there were no requests for.

    accuracy: the expert that the router leans to first is the right one, whether it abstains or not; answered_accuracy: of
    those alone for which it does not abstain. coverage: somebody's requests for which it decides. oos_recall: nobody's requests
    that it leaves to the fallback; false_oos: somebody's that it leaves there. confusion: (right expert, chosen one, how
    often), the commonest first. seconds: of decisions one by one, 50 and 99 of 100 took at most so long.
    """

    num_requests: int
    num_outside: int
    accuracy: float | None
    answered_accuracy: float | None
    coverage: float | None
    oos_recall: float | None
    false_oos: float | None
    by_expert: dict[str, dict[str, float]]
    confusion: tuple[tuple[str, str, int], ...]
    p50_seconds: float | None = None
    p99_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "confusion": [list(each) for each in self.confusion]}


def evaluate_router(
    router: Router, examples: Sequence[Example], *, num_timed: int = 0, batch_size: int = 256
) -> RouterMetrics:
    """Route labelled requests, none of them of a session, and count. num_timed: how many are asked again, one by one, timed.

    Raises `DataError` for no requests.
    """
    if not examples:
        raise DataError("there are no requests to measure a router on; give a table of them")
    requests = [Request(each.text) for each in examples]
    parts = [router.route(requests[start : start + batch_size]) for start in range(0, len(requests), batch_size)]
    found = measured([route for part in parts for route in part], examples)
    return found if not num_timed else _timed(found, latencies(router, requests[:num_timed]))


def measured(routes: Sequence[Route], examples: Sequence[Example]) -> RouterMetrics:
    """The metrics of routes that were taken for these requests, without times."""
    pairs = list(zip(routes, examples, strict=True))
    own = [(route, str(each.expert)) for route, each in pairs if each.expert is not None]
    foreign = [route for route, each in pairs if each.expert is None]
    decided = [(route, expert) for route, expert in own if _decides(route)]
    return RouterMetrics(
        num_requests=len(own),
        num_outside=len(foreign),
        accuracy=_share([_first(route) == expert for route, expert in own]),
        answered_accuracy=_share([_first(route) == expert for route, expert in decided]),
        coverage=_share([_decides(route) for route, _ in own]),
        oos_recall=_share([not _decides(route) for route in foreign]),
        false_oos=_share([not _decides(route) for route, _ in own]),
        by_expert=_by_expert(own),
        confusion=_confusion(own),
    )


def latencies(router: Router, requests: Sequence[Request]) -> list[float]:
    """Seconds of each decision, one request at a time; a few are asked beforehand, so that nothing is read from disk."""
    router.route(requests[:8])
    taken = []
    for request in requests:
        started = time.perf_counter()
        router.route([request])
        taken.append(time.perf_counter() - started)
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _timed(found: RouterMetrics, taken: Sequence[float]) -> RouterMetrics:
    times = {"p50_seconds": percentile(taken, 0.50), "p99_seconds": percentile(taken, 0.99)}
    return RouterMetrics(**{**vars(found), **times})


def _decides(route: Route) -> bool:
    return route.expert is not None and not route.is_fallback


def _first(route: Route) -> str | None:
    """Whom the router leans to: before the fallback, who of those that were scored is best."""
    if route.is_fallback and route.considered:
        leaning = [each for each in route.considered if each.experts and not each.is_fallback]
        return leaning[-1].experts[0].expert if leaning else None
    return route.experts[0].expert if route.experts else None


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def _by_expert(own: Sequence[tuple[Route, str]]) -> dict[str, dict[str, float]]:
    """Expert → how many requests it should have had, and of those and of what it got the shares that are right."""
    found = {}
    for expert in sorted({expert for _, expert in own}):
        wanted = [route for route, right in own if right == expert]
        got = [right for route, right in own if _first(route) == expert]
        found[expert] = {
            "requests": float(len(wanted)),
            "recall": sum(_first(route) == expert for route in wanted) / len(wanted),
            "precision": got.count(expert) / len(got) if got else 0.0,
        }
    return found


def _confusion(own: Sequence[tuple[Route, str]]) -> tuple[tuple[str, str, int], ...]:
    wrong = Counter((expert, _first(route) or "nobody") for route, expert in own if _first(route) != expert)
    return tuple((*pair, count) for pair, count in sorted(wrong.items(), key=lambda item: (-item[1], item[0])))
