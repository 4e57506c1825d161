"""What threads compute for many callers at once comes back to the event loop together: it is woken once, not once a caller."""

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Returning(Generic[T]):
    """Brings what threads finish to the event loop in which it was made.

    Each wake-up lets go of the interpreter's lock, and a thread that woke the loop for one caller would wait for it before it
    comes to the next. So whoever sets results says when there are no more of them for now.

    Threads: `of` is called in the loop's own, `tell` in any.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._came: deque[tuple[asyncio.Future[T], Future[T]]] = deque()

    def of(self, work: "Future[T]") -> "asyncio.Future[T]":
        """What `work` gives, once it is done and told of. Cancelling it cancels the work."""
        coming: asyncio.Future[T] = self._loop.create_future()
        coming.add_done_callback(lambda coming: work.cancel() if coming.cancelled() else None)
        work.add_done_callback(lambda work: None if coming.done() else self._came.append((coming, work)))
        if work.done():  # perhaps between these lines, when it was told of already
            self._take()
        return coming

    def tell(self) -> None:
        """There is something to take."""
        if self._came:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        while self._came:
            coming, work = self._came.popleft()
            if coming.done():  # its caller has left
                continue
            if work.cancelled():
                coming.cancel()
            elif (error := work.exception()) is not None:
                coming.set_exception(error)
            else:
                coming.set_result(work.result())
