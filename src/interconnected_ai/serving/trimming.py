"""`Trimming`: memory that answers have freed goes back to the system now and then; the C library keeps it otherwise."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from interconnected_ai.experts import trim_heap

_SECONDS = 20.0


class Trimming:
    """A thread that trims the heap every so many seconds, until it is closed.

    Blocks of a few kB, of answers side by side, leave holes in the heaps of a dozen threads, more with each request although
    nothing is kept. Threads: `close` from any.
    """

    def __init__(self, *, seconds: float = _SECONDS, trim: Callable[[], object] = trim_heap) -> None:
        self._seconds, self._trim = seconds, trim
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving trimming", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(self._seconds):
            self._trim()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._ends.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
