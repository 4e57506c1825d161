"""Connections of one process to one database: each is used by one thread at a time, and they end with the store."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from interconnected_ai.errors import ClosedError, StorageError
from interconnected_ai.memory.forks import Forkable, make_immortal, survive_forks

C = TypeVar("C")
# How long `close` waits for transactions of other threads. What takes longer closes its connection when it ends.
_CLOSE_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class _Loan(Generic[C]):
    """A connection that a thread is using, or (None) about to make."""

    thread: int
    connection: C | None = None


@dataclass(slots=True, eq=False)
class _Shelf(Generic[C]):
    """The connections of one process, and the lock that they are handed out under."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    idle: list[C] = field(default_factory=list)
    loans: list[_Loan[C]] = field(default_factory=list)
    is_forking: bool = False


class Connections(Forkable, Generic[C]):
    """Lends connections, makes them when none is idle, and closes them all in the end.

    connect, disconnect: make and close one. is_sound: whether a connection that comes back may be lent again.
    most: how many at once; further threads wait. left_open: called in a child when a fork did not wait long enough for a
    thread of the parent to give its connection back.
    All of it may be called from many threads at once.
    """

    def __init__(
        self,
        location: str,
        connect: Callable[[], C],
        disconnect: Callable[[C], None],
        *,
        is_sound: Callable[[C], bool],
        most: int | None = None,
        left_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._location = location
        self._connect, self._disconnect, self._is_sound = connect, disconnect, is_sound
        self._most, self._left_open = most, left_open
        self._shelf: _Shelf[C] = _Shelf()
        self._is_closed = False
        survive_forks(self)

    @contextmanager
    def lend(self) -> Iterator[C]:
        """A connection that nobody else uses until the block ends. Raises `ClosedError` after `close`."""
        shelf = self._shelf
        loan = self._begin(shelf)
        try:
            if loan.connection is None:
                loan.connection = self._connect()
            yield loan.connection
        finally:
            if shelf is self._shelf:  # else this is a child, and the connection its parent's
                self._end(shelf, loan)

    def close(self) -> None:
        """Close every connection, and lend none any more; those in use by other threads are waited for."""
        shelf = self._shelf
        with shelf.changed:
            self._is_closed = True
            shelf.changed.notify_all()
            shelf.changed.wait_for(lambda: not _others(shelf), _CLOSE_SECONDS)
            idle, shelf.idle = shelf.idle, []
        for connection in idle:
            self._disconnect(connection)

    def before_fork(self, deadline: float) -> None:
        """See `Forkable`."""
        shelf = self._shelf
        with shelf.changed:
            shelf.is_forking = True
            shelf.changed.wait_for(lambda: not _others(shelf), max(0.0, deadline - time.monotonic()))
            idle, shelf.idle = shelf.idle, []
        for connection in idle:
            self._disconnect(connection)

    def after_fork_in_parent(self) -> None:
        """See `Forkable`."""
        shelf = self._shelf
        with shelf.changed:
            shelf.is_forking = False
            shelf.changed.notify_all()

    def after_fork_in_child(self) -> None:
        """See `Forkable`."""
        left, self._shelf = self._shelf, _Shelf()
        for loan in left.loans:
            if loan.connection is not None:
                make_immortal(loan.connection)
        if left.loans:
            self._left_open()

    def _begin(self, shelf: _Shelf[C]) -> _Loan[C]:
        me = threading.get_ident()
        with shelf.changed:
            while True:
                if self._is_closed:
                    raise ClosedError(
                        f"{self._location}: this memory was closed; open it again with ThreeLevelMemory(…)"
                    )
                is_free = self._most is None or len(shelf.loans) < self._most
                if is_free and not shelf.is_forking:
                    break
                if not is_free and any(loan.thread == me for loan in shelf.loans):
                    raise StorageError(
                        f"{self._location}: this thread is writing already; a callable that is given to a memory must not "
                        "write to it"
                    )
                shelf.changed.wait()
            loan = _Loan(me, shelf.idle.pop() if shelf.idle else None)
            shelf.loans.append(loan)
        return loan

    def _end(self, shelf: _Shelf[C], loan: _Loan[C]) -> None:
        connection = loan.connection
        is_kept = connection is not None and self._is_sound(connection)
        with shelf.changed:
            done = [] if is_kept or connection is None else [connection]
            if not is_kept:  # a server that went away took the others with it
                done += shelf.idle
                shelf.idle = []
            elif self._is_closed or shelf.is_forking:
                done = [connection] if connection is not None else []
            elif connection is not None:
                shelf.idle.append(connection)
        try:
            for one in done:
                self._disconnect(one)
        finally:
            with shelf.changed:  # last: who waits for this loan may count on its connection being closed
                shelf.loans.remove(loan)
                shelf.changed.notify_all()


def _others(shelf: _Shelf[C]) -> bool:
    """Whether threads other than this one have connections."""
    me = threading.get_ident()
    return any(loan.thread != me for loan in shelf.loans)
