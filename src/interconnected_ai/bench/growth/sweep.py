"""All verbs one after the other within a budget, as one table."""

import gc
import logging
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.growth.verb import LIMIT, Growth, Verb, grow
from interconnected_ai.bench.timing import machine

# What a room's verbs stand in, in the order of the table.
ROOMS = {
    "data": "data",
    "text": "data",
    "storage": "folders",
    "planner": "folders",
    "branches": "systems",
    "training": "systems",
    "doctor": "systems",
    "report": "systems",
    "experts": "experts",
    "memory": "memory",
    "surgery": "surgery",
}

_log = logging.getLogger(__name__)


def all_verbs(rooms: Sequence[str] = ()) -> tuple[Verb, ...]:
    """Those of these rooms, or all."""
    files = dict.fromkeys(file for room, file in ROOMS.items() if room in rooms or not rooms)
    verbs = [verb for file in files for verb in import_module(f"interconnected_ai.bench.growth.{file}").VERBS]
    return tuple(verb for verb in verbs if verb.room in rooms or not rooms)


def bench_growth(
    *, rooms: Sequence[str] = (), scale: float = 1.0, repeats: int = 3, minutes: float = 10.0
) -> dict[str, Any]:
    """CPU seconds of every public verb at 1 ×, 2 × and 4 × its input, and the exponent p of fixed + c · nᵖ.

    One thread, everything made in memory. scale: of all inputs. Verbs that the minutes do not reach are named, not guessed.
    """
    end = time.monotonic() + 60 * minutes
    verbs, found = all_verbs(rooms), list[Growth]()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()  # what the libraries hold need not be looked through before every call
    try:
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            for number, verb in enumerate(verbs):
                if time.monotonic() > end:
                    break
                found.append(grow(verb, Path(folder) / str(number), scale=scale, repeats=repeats))
                _log.info("%s %s: exponent %.2f", verb.room, verb.label, found[-1].exponent)
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)
    growths = [_told(growth) for growth in found]
    return {
        "verbs": growths,
        "num_verbs": len(growths),
        "largest_exponent": max((growth["exponent"] for growth in growths), default=0.0),
        "over": [f"{growth['room']}: {growth['verb']}" for growth in growths if growth["exponent"] > LIMIT],
        "not_reached": [f"{verb.room}: {verb.label}" for verb in verbs[len(found) :]],
        "limit": LIMIT,
        "machine": machine(),
    }


def _told(growth: Growth) -> dict[str, Any]:
    return {
        "room": growth.verb.room,
        "verb": growth.verb.label,
        "exponent": growth.exponent,
        "slope": growth.slope,
        "sizes": growth.sizes,
        "cpu_seconds": growth.seconds,
    }
