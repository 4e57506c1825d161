"""A public verb at one, two and four times its input: CPU seconds of each, and the exponent that they follow."""

import gc
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from math import log, log2
from pathlib import Path

MULTIPLES = (1, 2, 4)
LIMIT = 1.2
_MOST_ROUNDS = 3  # of `repeats` each, while the exponent looks too large: a busy machine only ever adds
_COUNTS_FROM = 0.05  # growth below this part of the fixed costs is noise


@dataclass(frozen=True)
class Verb:
    """What is called and what grows. prepare(n, folder) → a call on an input of n: only that call is measured.

    size: n at one time the input. once: the call changes what it works on, so that each needs a preparation of its own.
    """

    room: str
    name: str
    grows: str
    size: int
    prepare: Callable[[int, Path], Callable[[], object]]
    once: bool = False

    @property
    def label(self) -> str:
        """`predict, texts`."""
        return f"{self.name}, {self.grows}"


@dataclass(frozen=True)
class Growth:
    """CPU seconds at every size: the least of the repeats."""

    verb: Verb
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """p of seconds = fixed + c · nᵖ through the three points; 0 where nothing grows."""
        return exponent(self.seconds)

    @property
    def slope(self) -> float:
        """The same with the fixed costs counted: log-log slope from the first to the last size."""
        return log(self.seconds[-1] / self.seconds[0]) / log(self.sizes[-1] / self.sizes[0])


def exponent(seconds: Sequence[float]) -> float:
    """p of a + c · nᵖ at n, 2n, 4n: (t₄ − t₂) / (t₂ − t₁) = 2ᵖ. Nothing but noise: 0."""
    first, second, third = seconds
    if third - first < _COUNTS_FROM * first:
        return 0.0
    early, late = second - first, third - second
    if early <= _COUNTS_FROM / 4 * first:  # the first step drowns in fixed costs: the whole way has to do
        return log2(third / first) / 2
    return log2(late / early) if late > 0 else 0.0


def cpu_seconds(call: Callable[[], object]) -> float:
    """Of all threads of this process, without Python's own cleaning up; waiting for the disk or for others is not counted."""
    gc.collect()
    gc.disable()
    try:
        with redirect_stderr(StringIO()):  # progress
            started = time.process_time()
            call()
            return max(time.process_time() - started, 1e-9)
    finally:
        gc.enable()


def grow(
    verb: Verb,
    folder: Path,
    *,
    scale: float = 1.0,
    repeats: int = 3,
    measure: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> Growth:
    """Measure a verb. Sizes take turns; more rounds follow while the exponent looks larger than LIMIT."""
    sizes = tuple(max(1, round(verb.size * scale)) * multiple for multiple in MULTIPLES)
    calls = {} if verb.once else {size: verb.prepare(size, _fresh(folder / str(size))) for size in sizes}
    least = dict.fromkeys(sizes, float("inf"))

    def turn(size: int) -> float:
        place = folder / "once"
        call = verb.prepare(size, _fresh(place)) if verb.once else calls[size]
        try:
            return measure(call)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    turn(sizes[0])  # loads what is loaded late
    for _ in range(_MOST_ROUNDS):
        for _ in range(repeats):
            for size in sizes:
                least[size] = min(least[size], turn(size))
        if exponent(tuple(least.values())) <= LIMIT:
            break
    return Growth(verb, sizes, tuple(least.values()))


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
