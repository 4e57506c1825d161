"""Which calls a memory is serving: background work keeps out of their way, and a closed memory serves none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from interconnected_ai.errors import ClosedError
from interconnected_ai.memory.forks import Forkable, Gate, Rank, survive_forks

# Background work begins when nobody has been served for this long …
QUIET_SECONDS = 0.02
# … or has its turn: under traffic without a pause it gets this long for every `longest_wait_seconds` of waiting.
TURN_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class _Count:
    """The calls of one process."""

    gate: Gate = field(default_factory=Gate)
    last_served: float = float("-inf")


class Calls(Forkable):
    """Counts the calls that are being served.

    Python runs one thread at a time: a busy worker would make every call wait for it. So work gives way between its small
    pieces. A fork waits for the calls that are served, and those that come meanwhile wait for it: what they import, say, is
    whole in the child. clock, sleep: of `give_way`, for tests. All of it may be called from many threads at once.
    """

    fork_rank = Rank.CALLS

    def __init__(
        self,
        location: str,
        *,
        longest_wait_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._location, self._longest_wait_seconds = location, longest_wait_seconds
        self._clock, self._sleep = clock, sleep
        self._count = _Count()
        self._turn_ends = float("-inf")
        self._is_closed = False
        survive_forks(self)

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Serve a call. Raises `ClosedError` after `close`."""
        self.require_open()
        count = self._count
        with count.gate.passed():
            try:
                yield
            finally:
                count.last_served = self._clock()

    def require_open(self) -> None:
        """Raise `ClosedError` after `close`."""
        if self._is_closed:
            raise ClosedError(f"{self._location}: this memory was closed; open it again with ThreeLevelMemory(…)")

    def close(self) -> None:
        """Serve no further call."""
        self._is_closed = True

    def give_way(self, is_stopped: Callable[[], bool]) -> None:
        """Wait while calls are served, but no longer than `longest_wait_seconds`: then there is a turn to work in."""
        began = self._clock()
        if began < self._turn_ends:
            return
        while not is_stopped() and not self._is_quiet():
            if self._clock() - began >= self._longest_wait_seconds:
                self._turn_ends = self._clock() + TURN_SECONDS
                return
            self._sleep(QUIET_SECONDS / 4)

    def before_fork(self, deadline: float) -> None:
        """See `Forkable`."""
        self._count.gate.shut(deadline)

    def after_fork_in_parent(self) -> None:
        """See `Forkable`."""
        self._count.gate.open()

    def after_fork_in_child(self) -> None:
        """See `Forkable`."""
        self._count = _Count()

    def _is_quiet(self) -> bool:
        count = self._count
        return count.gate.is_empty() and self._clock() - count.last_served > QUIET_SECONDS
