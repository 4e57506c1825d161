"""SIGINT and SIGTERM from the first moment on: one that comes while a server is made, or between two handlers, counts too."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_HEEDED = (signal.SIGINT, signal.SIGTERM)
Heed = Callable[[int, FrameType | None], None]


class EndedError(KeyboardInterrupt):
    """A signal that ends the program came while nothing was served. signal: which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class Ending:
    """Inside of `with` both signals are heeded, whatever the program is doing.

    At first a signal raises `EndedError`, so that loading stops where it is. From `hold` on it raises nothing, and is told to
    whom `heed` names, one that came before too. For the main thread; in others signals are nobody's, and it does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._noted: list[int] = []
        self._holds = False
        self._heed: Heed | None = None

    def hold(self) -> None:
        """Raise nothing from here on. Raises `EndedError` where a signal came already and nobody let it through."""
        self._holds = True  # first: a signal after this line is kept, one before it is seen in the next
        if self._noted:
            self._holds = False
            raise EndedError(self._noted[0])

    def heed(self, told: Heed | None) -> None:
        """Tell this of every signal, also of those that are kept; None: a signal raises again."""
        self._heed, self._holds = told, told is not None
        self._pass_on()

    def _pass_on(self) -> None:
        while self._noted and self._heed is not None:
            self._heed(self._noted.pop(0), None)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._noted.append(number)
        self._pass_on()
        if not self._holds:
            raise EndedError(number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._came) for number in _HEEDED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
