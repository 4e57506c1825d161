"""Which calls a memory is serving: background work keeps out of their way, and a closed memory serves none."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from interconnected_ai.errors import ClosedError
from interconnected_ai.memory.forks import Forkable, survive_forks

# Background work begins when nobody has been served for this long …
QUIET_SECONDS = 0.02
# … or has its turn: under traffic without a pause it gets this long for every `longest_wait_seconds` of waiting.
TURN_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class _Count:
    """The calls of one process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    num_served: int = 0
    last_served: float = float("-inf")


class Calls(Forkable):
    """Counts the calls that are being served.

    Python runs one thread at a time: a busy worker would make every call wait for it. So work gives way between its small
    pieces. clock, sleep: of `give_way`, for tests. All of it may be called from many threads at once.
    """

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
        with count.lock:
            count.num_served += 1
        try:
            yield
        finally:
            if count is self._count:  # else this is a child, and the count its parent's
                with count.lock:
                    count.num_served -= 1
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
        """See `Forkable`. Nothing to do: the child counts anew."""

    def after_fork_in_parent(self) -> None:
        """See `Forkable`."""

    def after_fork_in_child(self) -> None:
        """See `Forkable`."""
        self._count = _Count()

    def _is_quiet(self) -> bool:
        count = self._count
        with count.lock:
            return not count.num_served and self._clock() - count.last_served > QUIET_SECONDS
