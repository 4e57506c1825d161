"""How far long work is: a bar on a terminal, elsewhere a line every ten seconds; both say how long it will still take."""

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0
_OURS = logging.getLogger("interconnected_ai")


class Progress:
    """`with Progress(total, done, "training") as progress: progress.advance(step, "loss 0.3")`. Writes to stderr.

    done: where it begins, so that what an earlier run has done does not count as fast. clock: seconds that only grow. Silent
    where `enabled` is false, and where the logger "interconnected_ai" is set to show warnings alone. For one thread at a time.
    """

    def __init__(
        self, total: int, done: int, title: str, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.title = total, title
        self._clock, self._first = clock, done
        self._started = self._told = clock()
        self._last: tuple[int, str] | None = None  # what stands in no line yet
        self._has_lines = False
        self._speaks = enabled and not _OURS.level > logging.INFO
        self._bar = _bar() if self._speaks and sys.stderr.isatty() else None
        if self._bar is not None:
            self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._has_lines and self._last is not None:
            self._tell(*self._last)

    def advance(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Say that `done` of the total are done. total: where it has turned out to be another."""
        self.total = total or self.total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self.total, note=note)
        elif self._speaks:
            self._last = done, note
            if self._clock() - self._told >= SECONDS_BETWEEN_LINES:
                self._tell(done, note)

    def _tell(self, done: int, note: str) -> None:
        self._told, self._last, self._has_lines = self._clock(), None, True
        seconds = self._told - self._started
        said = [f"{self.title}: {done:,} of {self.total:,}", *([note] if note else []), spoken_duration(seconds)]
        if self._first < done < self.total:
            left = seconds / (done - self._first) * (self.total - done)
            said.append(f"{spoken_duration(left)} left")
        print(", ".join(said), file=sys.stderr, flush=True)


def spoken_duration(seconds: float) -> str:
    """100.4 → 1 min 40 s"""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _bar() -> "Bar":
    """Title, bar, count, time left, and a note."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
