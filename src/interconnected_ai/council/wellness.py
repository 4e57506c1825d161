"""Which experts can answer: one that failed is set aside for a while, longer each time, and then tried again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 900.0


@dataclass(frozen=True)
class Ailment:
    """Why an expert is set aside. until: by the clock that the `Wellness` was given."""

    reason: str
    until: float
    num_failures: int


class Wellness:
    """Who is set aside and until when (a circuit breaker, Nygard 2007). clock: seconds that only grow.

    Threads: everything may be called from any number of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ailing: dict[str, Ailment] = {}
        self._on_trial: set[str] = set()

    def failed(self, expert: str, reason: str) -> Ailment:
        """It failed: it is not asked for a while, twice as long as the last time."""
        with self._lock:
            before = self._ailing.get(expert)
            number = 1 if before is None else before.num_failures + 1
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (number - 1))
            found = self._ailing[expert] = Ailment(reason, self._clock() + pause, number)
            return found

    def answered(self, expert: str) -> None:
        """It answered: what was is forgotten."""
        with self._lock:
            self._ailing.pop(expert, None)

    def is_well(self, expert: str) -> bool:
        """Whether it may be asked: it is not set aside, and nobody is just finding out whether it can answer again."""
        with self._lock:
            return self._may_be_asked(expert)

    @contextmanager
    def trying(self, expert: str) -> Iterator[bool]:
        """Whether it may be asked, for as long as the block lasts; after a pause one caller at a time finds out."""
        with self._lock:
            may = self._may_be_asked(expert)
            is_trial = may and expert in self._ailing
            if is_trial:
                self._on_trial.add(expert)
        try:
            yield may
        finally:
            if is_trial:
                with self._lock:
                    self._on_trial.discard(expert)

    def _may_be_asked(self, expert: str) -> bool:
        ailment = self._ailing.get(expert)
        return ailment is None or (self._clock() >= ailment.until and expert not in self._on_trial)

    def ailments(self) -> dict[str, Ailment]:
        """Those who are set aside, and why."""
        with self._lock:
            now = self._clock()
            return {name: each for name, each in self._ailing.items() if now < each.until}
