"""The server measured from outside, part by part: beside its engine, beside others' servers, under load and under faults.

The server is a process of its own on this machine alone, the client another one; work is fixed, contestants take turns, and
medians are told.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interconnected_ai.bench.serving.classification import ClassifySizes, measure_classification
from interconnected_ai.bench.serving.endurance import EnduranceSizes, measure_overload, measure_soak
from interconnected_ai.bench.serving.faults import FAULTS, measure_faults
from interconnected_ai.bench.serving.fuzz import FuzzSizes, measure_fuzz
from interconnected_ai.bench.serving.generation import ExpertSizes, measure_generation, measure_overhead
from interconnected_ai.bench.serving.llama import ChatSizes, measure_chat
from interconnected_ai.bench.timing import machine
from interconnected_ai.errors import UnknownNameError

NUM_FAULTS = len(FAULTS) + 1  # and the power cut, after which the server is another

# key → what it is, the goal, and whether the goal is a ceiling
GOALS: dict[str, tuple[str, float, bool]] = {
    "health_p99_ms": ("/healthz while 8 answers stream, 99th percentile, ms", 50.0, True),
    "engine_share": (
        "tokens a second through the API over the engine's own, the least of the concurrencies", 0.9, False
    ),
    "batching_gain": ("tokens a second of the most streams over those of one", 3.0, False),
    "overhead_ms": ("a request of one token over a bare route of FastAPI, median, ms", 3.0, True),
    "classify_share": ("texts a second over HTTP over those of predict", 0.85, False),
    "branches_200_over_3": ("seconds of all branches over those of three", 1.5, True),
    "overload_ok": ("twice the sustainable load: only 200 and 503, bounded, flat, and full speed after it", 1.0, False),
    "faults_survived": ("faults after which the rest was answered and nothing was lost", float(NUM_FAULTS), False),
    "fuzz_failures": ("answers that the description of the API does not allow", 0.0, True),
    "over_llamacpp_server": ("tokens a second in chats over those of llama.cpp's own server", 0.9, False),
    "soak_ok": ("everyday work: no fault, and memory flat", 1.0, False),
}  # fmt: skip


@dataclass(frozen=True)
class ServingSizes:
    """How much of everything. small: the expert where speed is not what is measured."""

    expert: ExpertSizes = field(default_factory=ExpertSizes)
    small: ExpertSizes = field(default_factory=lambda: ExpertSizes(d_model=64, n_layers=2))
    classify: ClassifySizes = field(default_factory=ClassifySizes)
    endurance: EnduranceSizes = field(default_factory=EnduranceSizes)
    fuzz: FuzzSizes = field(default_factory=FuzzSizes)
    chat: ChatSizes = field(default_factory=ChatSizes)


Say = Callable[[str], object]
_PARTS: dict[str, Callable[[Path, ServingSizes, Say], dict[str, Any]]] = {
    "generation": lambda home, sizes, say: measure_generation(home, sizes.expert, say),
    "overhead": lambda home, sizes, say: measure_overhead(home, sizes.expert, say),
    "classify": lambda home, sizes, say: measure_classification(home, sizes.classify, say),
    "chat": lambda home, sizes, say: measure_chat(home, sizes.chat, say),
    "overload": lambda home, sizes, say: measure_overload(home, sizes.expert, sizes.endurance, say),
    "faults": lambda home, sizes, say: measure_faults(home, sizes.small, say),
    "fuzz": lambda home, sizes, say: measure_fuzz(home, sizes.small, sizes.fuzz, say),
    "soak": lambda home, sizes, say: measure_soak(home, sizes.small, sizes.endurance, say),
}
PARTS = tuple(_PARTS)


def bench_serving(
    parts: Sequence[str] = PARTS, *, sizes: ServingSizes | None = None, say: Say = lambda sentence: None
) -> dict[str, Any]:
    """These parts, one after another. Keys are those of `--json`.

    health_p99_ms: of /healthz while 8 answers stream. engine_share: tokens a second of streams through the API over those of
    the same engine in this process, both made together, the least of the concurrencies. batching_gain: of the most streams
    over one. overhead_ms: median of a request of one token, over a route of FastAPI that asks the same engine and does nothing
    else. classify_share: texts a second of 32 callers of a text each over `predict` of all texts at once, branches named.
    branches_200_over_3: seconds of the same callers where all branches answer, over three. over_llamacpp_server: tokens a
    second of streamed chats over llama.cpp's own server on the same file, the least of 1 and 4 streams; None without it.
    overload_ok: at twice the requests that were answered a second, nothing but 200 and 503, the 99th percentile of what was
    accepted at most two full queues' time, own memory in the last third at most 1.02 of the first, and 0.9 of the speed in the
    seconds after it. faults_survived: see `faults`. fuzz_failures: of schemathesis. soak_ok: as overload_ok, of requests of
    every kind. Raises `UnknownNameError` for a part that there is not.
    """
    for part in parts:
        if part not in _PARTS:
            raise UnknownNameError("part", part, PARTS)
    sizes = sizes or ServingSizes()
    found: dict[str, Any] = {**machine(), "parts": list(parts)}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="iai-bench-") as home:
            found |= _PARTS[part](Path(home), sizes, say)
    return found


def serving_goal_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured, against the goals: what, value, goal, and whether the goal is a ceiling."""
    return [
        {"what": what, "value": float(found[key]), "goal": goal, "at_most": at_most}
        for key, (what, goal, at_most) in GOALS.items()
        if found.get(key) is not None
    ]


def short_sizes() -> ServingSizes:
    """Tiny sizes, for a trial of the commands."""
    tiny = ExpertSizes(
        d_model=64, n_layers=2, num_tokens=24, concurrencies=(1, 4), rounds=1, num_health=20, num_single=10
    )
    return ServingSizes(
        tiny, tiny, ClassifySizes(num_callers=4, texts_of_a_caller=2, num_branches=6, rounds=1),
        EnduranceSizes(calm_seconds=0.5, overload_seconds=2.0, soak_minutes=0.05, fills_caches=False, num_warming=40),
        FuzzSizes(examples=2, seconds=10),
        ChatSizes(num_tokens=8, rounds=1),
    )  # fmt: skip
