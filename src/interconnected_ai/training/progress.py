"""A progress bar on a terminal; a line every tenth of the way where there is none."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """`with Progress(total, done, "training") as progress: progress.advance(step, "loss 0.3")`. Writes to stderr."""

    def __init__(self, total: int, done: int, title: str, *, enabled: bool = True) -> None:
        self.total, self.title, self.enabled = total, title, enabled
        self._next_line = done + max(1, total // 10)
        self._bar: RichProgress | None = None
        self._started = time.monotonic()
        if enabled and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
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

    def advance(self, done: int, note: str = "") -> None:
        """Say that `done` of the total are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
        elif self.enabled and done >= self._next_line:
            self._next_line = done + max(1, self.total // 10)
            seconds = time.monotonic() - self._started
            print(f"{self.title}: {done}/{self.total} {note} ({seconds:.0f} s)", file=sys.stderr, flush=True)
