"""What a fork must not share: locks that other threads hold, and connections. Whoever has some registers here."""

import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

# How long `os.fork` waits for what other threads are at; then it goes on, and the child has to do without.
FORK_SECONDS = 2.0


class Rank(IntEnum):
    """Who comes to rest first: calls before work, and both before the connections that they need to come to their end."""

    CALLS = 0
    WORK = 1
    CONNECTIONS = 2


class Forkable(ABC):
    """Something that a fork goes through: it comes to rest before, and begins anew in the child."""

    fork_rank: Rank = Rank.CONNECTIONS

    @abstractmethod
    def before_fork(self, deadline: float) -> None:
        """Come to rest, and stay so until after the fork. deadline: by `time.monotonic`; then it is too late."""

    @abstractmethod
    def after_fork_in_parent(self) -> None:
        """Go on."""

    @abstractmethod
    def after_fork_in_child(self) -> None:
        """Begin anew: every lock may be held by a thread that the child has not got."""


class Gate:
    """Counts the threads that are at something, and has a fork wait until no other is.

    What they are at may take locks of others, that of a module being imported among them; a child would wait for such a lock
    for ever. All of it may be called from many threads at once. A child has a new one; what it still leaves of its parent's
    is looked at by process before any lock is touched.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}  # thread → how deep
        self._num_forks = 0  # that wait or happen

    @contextmanager
    def passed(self) -> Iterator[None]:
        """This thread is at it until the block ends; one that is already is not held up."""
        me = threading.get_ident()
        with self._changed:
            if me not in self._inside:
                self._changed.wait_for(lambda: not self._num_forks)
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            if self._process == os.getpid():
                with self._changed:
                    self._inside[me] -= 1
                    if not self._inside[me]:
                        del self._inside[me]
                        self._changed.notify_all()

    def pause(self) -> None:
        """Where a thread holds nothing: let a fork that waits go first."""
        if self._process != os.getpid() or not self._num_forks:
            return
        me = threading.get_ident()
        with self._changed:
            depth = self._inside.pop(me, 0)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._num_forks)
            if depth:
                self._inside[me] = depth

    def is_empty(self) -> bool:
        """Whether no thread is at it."""
        with self._changed:
            return not self._inside

    def wait_for_others(self, timeout_seconds: float) -> None:
        """Wait until no other thread is at it, or time runs out."""
        with self._changed:
            self._changed.wait_for(lambda: not self._others(), timeout_seconds)

    def shut(self, deadline: float) -> None:
        """Let nobody begin, and wait for those who are at it, until the deadline (by `time.monotonic`)."""
        with self._changed:
            self._num_forks += 1
            self._changed.wait_for(lambda: not self._others(), max(0.0, deadline - time.monotonic()))

    def open(self) -> None:
        """Let everybody go on."""
        with self._changed:
            self._num_forks -= 1
            self._changed.notify_all()

    def _others(self) -> set[int]:
        return set(self._inside) - {threading.get_ident()}


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
    for one in sorted(_registered, key=lambda one: one.fork_rank):
        one.before_fork(deadline)


def _after_in_parent() -> None:
    for one in list(_registered):
        one.after_fork_in_parent()


def _after_in_child() -> None:
    for one in list(_registered):
        one.after_fork_in_child()
