"""What a fork must not share: locks that other threads hold, and connections. Whoever has some registers here."""

import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from typing import Any

# How long `os.fork` waits for what other threads are at; then it goes on, and the child has to do without.
FORK_SECONDS = 2.0


class Forkable(ABC):
    """Something that a fork goes through: it comes to rest before, and begins anew in the child."""

    @abstractmethod
    def before_fork(self, deadline: float) -> None:
        """Come to rest, and stay so until after the fork. deadline: by `time.monotonic`; then it is too late."""

    @abstractmethod
    def after_fork_in_parent(self) -> None:
        """Go on."""

    @abstractmethod
    def after_fork_in_child(self) -> None:
        """Begin anew: every lock may be held by a thread that the child has not got."""


_registered: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_is_hooked = threading.Lock()


def survive_forks(one: Forkable) -> None:
    """Call `one` before and after every fork of this process, as long as it lives."""
    _registered.add(one)
    if _is_hooked.acquire(blocking=False):  # once, and for good: such a hook cannot be taken back
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def make_immortal(one: Any) -> None:
    """Keep an object from ever being freed, at the end of the process too.

    SQLite must not so much as close, in a child, what the parent opened (https://www.sqlite.org/howtocorrupt.html).
    """
    import ctypes  # here: hardly any process needs it

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _before() -> None:
    deadline = time.monotonic() + FORK_SECONDS
    for one in list(_registered):
        one.before_fork(deadline)


def _after_in_parent() -> None:
    for one in list(_registered):
        one.after_fork_in_parent()


def _after_in_child() -> None:
    for one in list(_registered):
        one.after_fork_in_child()
