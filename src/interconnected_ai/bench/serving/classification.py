"""Texts classified over HTTP by many callers at once, beside `predict` of all of them; 200 branches beside three."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.branches import many_branches, questions
from interconnected_ai.bench.serving.processes import iai_serve
from interconnected_ai.bench.serving.wire import ask_all, request
from interconnected_ai.branches import InterconnectedAISystem

_FEW = 3


@dataclass(frozen=True)
class ClassifySizes:
    """How many ask at once, how much, and how many branches answer."""

    num_callers: int = 32
    texts_of_a_caller: int = 8
    num_branches: int = 200
    rounds: int = 5


def measure_classification(home: Path, sizes: ClassifySizes, say: Callable[[str], object]) -> dict[str, Any]:
    """classify_share, branches_200_over_3; see `bench_serving`. A request has one text; a caller sends one after another."""
    say(f"a system of {sizes.num_branches} branches")
    texts = questions(sizes.num_callers * sizes.texts_of_a_caller)
    many_branches(sizes.num_branches, texts).save_pretrained(home / "system")
    system = InterconnectedAISystem.from_pretrained(home / "system").eval()
    few = system.branch_names[:_FEW]
    say(f"{sizes.num_callers} callers, and all texts at once")
    with iai_serve(home, [home / "system"], {"max_waiting": 10 * sizes.num_callers}) as server:

        def requests_for(**asked: Any) -> list[bytes]:
            return [request("/v1/classify", {"input": text, **asked}) for text in texts]

        def over_http(requests: Sequence[bytes]) -> None:
            found = ask_all(server.address, requests, sizes.num_callers)
            if wrong := [answer for answer in found if answer.status != 200]:
                raise RuntimeError(f"the server answered {wrong[0].status}: {wrong[0].body[:300]!r}")

        asking_few, asking_all = requests_for(branches=few), requests_for()
        contestants: dict[str, Callable[[], object]] = {
            "predict": lambda: system.predict(texts, branches=few),
            "served": lambda: over_http(asking_few),
            "served, all branches": lambda: over_http(asking_all),
        }
        seconds = _in_turn(contestants, sizes.rounds)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "num_callers": sizes.num_callers,
        "num_branches": sizes.num_branches,
        "classify_share": _median_ratio(seconds["predict"], seconds["served"]),
        "branches_200_over_3": _median_ratio(seconds["served, all branches"], seconds["served"]),
        "texts_per_second": {name: len(texts) / taken for name, taken in medians.items()},
    }


def _in_turn(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every round but the first."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
