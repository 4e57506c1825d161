"""Ctrl-C and SIGTERM in a training: the step at hand is finished and kept in a checkpoint, then it stops.

A second signal ends it at once; what stands on the disk is whole then, too.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from interconnected_ai.training.checkpoints import CheckpointFolder

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStoppedError(KeyboardInterrupt):
    """A training that was told to stop, and goes on with resume. step: of its newest checkpoint, None where there is none yet;
    signal: what told it, such as `signal.SIGINT`.
    """

    def __init__(self, step: int | None, number: int = signal.SIGINT) -> None:
        super().__init__(step, number)
        self.step, self.signal = step, signal.Signals(number)


class StopRequest:
    """Whether this process was told to stop, and by which signal."""

    def __init__(self, *, speaks: bool, takes_repeats: bool) -> None:
        """speaks: say on stderr that it was heard. takes_repeats: a second signal does not end the process."""
        self.number: int | None = None
        self._speaks, self._takes_repeats = speaks, takes_repeats

    def hear(self, number: int, _: FrameType | None) -> None:
        """The signals' handler. Raises `TrainingStoppedError` for a second one."""
        if self.number is None:
            self.number = number
            if self._speaks:
                with suppress(OSError):  # `print` may be at work in the code that was interrupted
                    os.write(2, b"\nstopping after this step, with a checkpoint; Ctrl-C again ends at once\n")
        elif not self._takes_repeats:
            raise TrainingStoppedError(None, number)


@contextmanager
def heeding_signals(*, speaks: bool = True, takes_repeats: bool = False) -> Iterator[StopRequest]:
    """Note Ctrl-C and SIGTERM in place of being ended by them, for as long as the block runs.

    A signal that is ignored (as by nohup) stays so. In another thread than the main one, which alone may be given handlers,
    nothing is noted.
    """
    request = StopRequest(speaks=speaks, takes_repeats=takes_repeats)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # None: a handler that Python did not install, and could not put back
    heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in heard:
            signal.signal(number, request.hear)
        yield request
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def going_on_later(folder: Path) -> Iterator[None]:
    """Ctrl-C in this block becomes `TrainingStoppedError` with the newest checkpoint in the training's folder."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        steps = CheckpointFolder(folder / "checkpoints").steps()
        number = stopped.signal if isinstance(stopped, TrainingStoppedError) else signal.SIGINT
        raise TrainingStoppedError(steps[-1] if steps else None, number) from stopped
