"""Takes up what others save in the place of what is served: `iai branch add`, a new training, rules that were edited."""

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.serving.faults import without_places

if TYPE_CHECKING:
    from interconnected_ai.serving.hall import Hall, Watched

_LOOK_SECONDS = 1.0
_JOIN_SECONDS = 5.0  # for what is being loaded when the server ends
_LOGGER = logging.getLogger("interconnected_ai.serving")


class Reloading:
    """A thread that looks at what is watched. What is the same at two looks, and not what is served, is taken up.

    What cannot be taken up stays as it was: the log says why, once for each state of it, and `kept` as long as that is so.
    Threads: `kept` and `close` may be called from any.
    """

    def __init__(self, hall: "Hall", *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._hall, self._look_seconds = hall, look_seconds
        self._served = {each.name: each.state() for each in hall.watched()}
        self._seen = dict(self._served)
        self._kept: dict[str, str] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving reload", daemon=True)
        self._thread.start()

    @property
    def kept(self) -> dict[str, str]:
        """What is served as it was, since what stands on disk cannot be: its name, and why."""
        return dict(self._kept)

    def _run(self) -> None:
        while not self._ends.wait(self._look_seconds):
            try:
                for each in self._hall.watched():
                    if not self._ends.is_set():
                        self._look(each)
            except Exception:  # whatever it is, the next look comes
                _LOGGER.exception("looking for changes on disk")

    def _look(self, watched: "Watched") -> None:
        name, state = watched.name, watched.state()
        before = self._seen.get(name)
        self._seen[name] = state
        if name not in self._served:  # it has just come with the council's file
            self._served[name] = state
        if state == self._served[name] or state != before:  # as it is served, or somebody may still be writing
            return
        self._served[name] = state
        try:
            watched.take()
        except (InterconnectedAIError, OSError) as error:
            self._kept = {**self._kept, name: without_places(str(error))}
            _LOGGER.warning("the %s stays as it was: %s", name, error)
        else:
            self._kept = {other: why for other, why in self._kept.items() if other != name}

    def close(self) -> None:
        """End the thread; one that is loading ends with its work. Idempotent."""
        self._ends.set()
        self._thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
