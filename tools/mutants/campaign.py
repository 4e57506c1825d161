"""Tries a seeded sample of a room's mutants within a budget, several nurseries side by side."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from tools.mutants.nurseries import Nursery, NurseryError, nurseries
from tools.mutants.operators import MutableFile, Mutant
from tools.mutants.records import Record, Records, diff_of, hash_of
from tools.mutants.rooms import Room
from tools.mutants.watching import EVERYBODY

_SURVEY_SECONDS = 1800.0
_MOST_SECONDS = 60.0
_TIMES_LONGER, _SLACK_SECONDS = 8.0, 20.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """When a room's part ends: after `sample` mutants, or at `until` (of `time.monotonic`)."""

    sample: int
    until: float

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until


@dataclass(frozen=True)
class Found:
    """A room's outcome: the records of its sample in order, and how many mutants it has in all."""

    room: Room
    num_mutants: int
    records: tuple[Record, ...]
    seconds: float


@dataclass(frozen=True)
class Reach:
    """What a run without faults told: seconds of every test, and the tests by file and line that they run."""

    seconds: dict[str, float]
    contexts: dict[str, dict[str, list[str]]]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Tests that run a line of the mutant's statement, the fastest first, as many as a minute holds.

        The slowest of a line that hundreds run would cost every survivor minutes; leaving them out can only make a room
        look worse than it is.
        """
        lines = self.contexts.get(mutant.path, {})
        first, last = mutant.lines
        names = {name for line in range(first, last + 1) for name in lines.get(str(line), ())}
        if EVERYBODY in names:
            names.update(self.seconds)
        found = [test for test in self.seconds if test in names or f"{test.split('::')[0]}::{EVERYBODY}" in names]
        found.sort(key=lambda test: (self.seconds[test], test))
        ends = accumulate(self.seconds[test] for test in found)
        return [
            test for place, (test, end) in enumerate(zip(found, ends, strict=True)) if not place or end <= _MOST_SECONDS
        ]


class Sample:
    """The mutants of a room in an order that follows from the seed and each mutant alone.

    Files are parsed when it is made. `wanted` is for one thread at a time, the rest for any.
    """

    def __init__(self, room: Room, root: Path, seed: int) -> None:
        self.room = room
        self._files = {
            path.as_posix(): MutableFile(path, (root / path).read_text(encoding="utf-8"))
            for path in room.source_files(root)
        }
        self._sources = {path: hash_of([file.source]) for path, file in self._files.items()}
        self._tests = hash_of(path.read_text(encoding="utf-8") for path in _test_files(room, root))
        mutants = (mutant for file in self._files.values() for mutant in file.mutants)
        self.mutants = sorted(mutants, key=lambda mutant: hash_of([str(seed), *map(str, mutant.key)]))

    def wanted(self, records: Records, count: int) -> Iterator[tuple[Mutant, str]]:
        """Mutants of the first `count` that no record tells of, with the code to try."""
        for mutant in self.mutants:
            if not count:
                return
            record = self.known(records, mutant)
            code = None if record else self._files[mutant.path].code_of(mutant)
            count -= record is not None or code is not None
            if code is not None:
                yield mutant, code

    def known(self, records: Records, mutant: Mutant) -> Record | None:
        """What was found before, if it holds for these sources and tests."""
        record = records.get(mutant)
        holds = record is not None and record.room == self.room.name
        return record if record and holds and record.holds(self._sources[mutant.path], self._tests) else None

    def record(self, mutant: Mutant, code: str, **outcome: Any) -> Record:
        """An outcome with all that tells whether it holds later."""
        diff = diff_of(mutant.path, self._files[mutant.path].source, code)
        source, tests = self._sources[mutant.path], self._tests
        return Record(room=self.room.name, mutant=mutant, diff=diff, source=source, tests=tests, **outcome)


def try_room(
    room: Room, root: Path, records: Records, budget: Budget, *, jobs: int = 1, seed: int = 0, say: Say = print
) -> Found:
    """Try the room's sample and write every outcome into `records` before the next begins.

    Raises: NurseryError when the room's tests fail without any fault.
    """
    started = time.monotonic()
    sample = Sample(room, root, seed)
    wanted = sample.wanted(records, budget.sample)
    first = next(wanted, None)
    if first is not None and not budget.is_over:
        with nurseries(root, jobs, room.preload) as opened:
            reach = _survey(opened[0], room.test_paths(root))
            say(f"{room.name}: {len(reach.seconds)} tests take {sum(reach.seconds.values()):.0f} s without a fault")
            queue = _Queue(first, wanted)
            work = partial(_work, queue=queue, reach=reach, sample=sample, records=records, budget=budget, say=say)
            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(work, opened))
    known = (sample.known(records, mutant) for mutant in sample.mutants)
    found = [record for record in known if record is not None][: budget.sample]
    return Found(room, len(sample.mutants), tuple(found), time.monotonic() - started)


class _Queue:
    """An iterator that several threads may take from."""

    def __init__(self, first: tuple[Mutant, str], rest: Iterator[tuple[Mutant, str]]) -> None:
        self._first: tuple[Mutant, str] | None = first
        self._rest = rest
        self._lock = threading.Lock()

    def take(self) -> tuple[Mutant, str] | None:
        """The next one; None at the end."""
        with self._lock:
            taken, self._first = self._first, None
            return taken or next(self._rest, None)


def _work(
    nursery: Nursery, *, queue: _Queue, reach: Reach, sample: Sample, records: Records, budget: Budget, say: Say
) -> None:
    """One nursery's part, until there is nothing left or the time is up."""
    while not budget.is_over and (taken := queue.take()) is not None:
        mutant, code = taken
        record = sample.record(mutant, code, **_outcome(nursery, mutant, code, reach))
        records.add(record)
        if not record.noticed:
            say(f"{record.outcome}: {mutant.path}:{mutant.line} {mutant.operator}\n{record.diff}")


def _outcome(nursery: Nursery, mutant: Mutant, code: str, reach: Reach) -> dict[str, Any]:
    tests = reach.tests_of(mutant)
    if not tests:
        return {"outcome": "unseen", "by": "", "num_tests": 0, "seconds": 0.0}
    limit = _SLACK_SECONDS + _TIMES_LONGER * sum(reach.seconds[test] for test in tests)
    answer = nursery.ask(do="try", path=mutant.path, code=code, tests=tests, seconds=limit)
    told = {"num_tests": len(tests), "seconds": round(answer["seconds"], 2)}
    if answer["ended"] == "time":
        return {"outcome": "timeout", "by": "", **told}
    if answer["ended"] == "crash":
        return {"outcome": "killed", "by": "the process crashed", **told}
    if answer["code"] == 0:
        return {"outcome": "survived", "by": "", **told}
    if answer["code"] == 5:  # pytest's "no tests collected"
        raise NurseryError(f"none of the {len(tests)} tests that ran {mutant.path}:{mutant.line} was found again")
    return {"outcome": "killed", "by": f"{answer['failed'] or 'collection'}: {answer['why']}", **told}


def _survey(nursery: Nursery, tests: Sequence[str]) -> Reach:
    answer = nursery.ask(do="survey", tests=list(tests), seconds=_SURVEY_SECONDS)
    if answer["ended"] != "well" or answer["code"] != 0:
        failed = ", ".join(answer.get("failed", [])) or "none by name"
        raise NurseryError(f"the tests fail without any fault ({failed}):\n{answer['words']}")
    return Reach(answer["tests"], answer["contexts"])


def _test_files(room: Room, root: Path) -> list[Path]:
    places = [root / place for place in room.test_paths(root)]
    return sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*.py")))
