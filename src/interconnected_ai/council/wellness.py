"""Which experts can answer: one that failed is set aside for a while, longer each time, and then tried again."""

import threading
import time
from collections.abc import Callable
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
        """Whether it may be asked."""
        with self._lock:
            ailment = self._ailing.get(expert)
            return ailment is None or self._clock() >= ailment.until

    def ailments(self) -> dict[str, Ailment]:
        """Those who are set aside, and why."""
        with self._lock:
            now = self._clock()
            return {name: each for name, each in self._ailing.items() if now < each.until}
