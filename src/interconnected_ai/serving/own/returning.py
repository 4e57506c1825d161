"""What threads compute for many callers at once comes back to the event loop together: it is woken once, not once a caller."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Returning(Generic[T]):
    """Brings what threads finish to the event loop in which it was made.

    Each wake-up lets go of the interpreter's lock, and a thread that woke the loop for one caller would wait for it before it
    comes to the next. So whoever sets results says when there are no more of them for now, and the loop looks at all that wait.
    It does not rely on callbacks of the futures: an error in one of those is only logged, and its caller would wait for ever.

    Threads: `of` is called in the loop's own, `tell` in any.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[T], Future[T]] = {}

    def of(self, work: "Future[T]") -> "asyncio.Future[T]":
        """What `work` gives, once it is done and told of. Cancelling it cancels the work."""
        coming: asyncio.Future[T] = self._loop.create_future()
        self._waiting[coming] = work
        coming.add_done_callback(self._taken_back)
        if work.done():  # perhaps it was told of already
            self._settle(coming, work)
        return coming

    def tell(self) -> None:
        """There may be something to take."""
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._loop.call_soon_threadsafe(self._take)

    def _taken_back(self, coming: "asyncio.Future[T]") -> None:
        work = self._waiting.pop(coming, None)
        if work is not None:
            work.cancel()

    def _take(self) -> None:
        for coming, work in [(coming, work) for coming, work in self._waiting.items() if work.done()]:
            self._settle(coming, work)

    def _settle(self, coming: "asyncio.Future[T]", work: "Future[T]") -> None:
        del self._waiting[coming]
        if coming.done():  # its caller has left in this turn of the loop
            return
        if work.cancelled():
            coming.cancel()
        elif (error := work.exception()) is not None:
            coming.set_exception(error)
        else:
            coming.set_result(work.result())
