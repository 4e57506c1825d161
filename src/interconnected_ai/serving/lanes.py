"""`Lane`: work that takes long, in threads, so many at once and so many waiting; the event loop never waits for it."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from interconnected_ai.errors import ClosedError
from interconnected_ai.serving.faults import RETRY_SECONDS, Refusal
from interconnected_ai.types import Stream

T = TypeVar("T")
Piece = TypeVar("Piece")
Whole = TypeVar("Whole")
ASKING: ContextVar[str | None] = ContextVar("ASKING", default=None)  # the id of the key that a request came with


class Lane:
    """Threads for one kind of work.

    max_at_once: that run at the same time. max_waiting: that wait for a thread; one more is refused with 503 and Retry-After,
    before it has cost anything. max_seconds: of one piece of work that is read (`read`), None for ever.
    Those who wait have their turn key by key (`ASKING`), and one key may have half of the waiting places, so that nobody who
    asks a lot keeps others waiting.

    Threads: everything here is called from the event loop's own; what is given is run in the lane's.
    """

    def __init__(self, name: str, *, max_at_once: int, max_waiting: int, max_seconds: float | None = None) -> None:
        self.name, self.max_at_once, self.max_waiting, self.max_seconds = name, max_at_once, max_waiting, max_seconds
        self._threads = ThreadPoolExecutor(max_at_once, thread_name_prefix=f"serving {name}")
        self._closers = ThreadPoolExecutor(1, thread_name_prefix=f"serving {name} end")
        self._admitted = self._running = 0
        self._turns: dict[str | None, deque[_Task]] = {}  # by key, whose turn is next first
        self._reading: set[Reading[Any, Any]] = set()
        self._bell: _Bell | None = None
        self._is_closed = self._is_cut = False

    @property
    def num_admitted(self) -> int:
        """What runs and what waits."""
        return self._admitted

    @property
    def num_waiting(self) -> int:
        """What waits for a thread."""
        return max(0, self._admitted - self.max_at_once)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread of the lane. Cancelled while it waits it is never begun."""
        self.admit(1)
        return await asyncio.wrap_future(self._submit(work))

    def read(self, *open_streams: Callable[[], Stream[Piece, Whole]]) -> "Reading[Piece, Whole]":
        """Several streams as one, each opened and read in a thread of its own: an answer's choices."""
        self.admit(len(open_streams))
        reading = Reading(self, open_streams)
        self._reading.add(reading)
        return reading

    def admit(self, number: int) -> None:
        """Take so many on, or raise `Refusal` where that is more than may wait."""
        if self._is_closed:
            raise Refusal(
                503, "the server is about to end; try again later", code="ending", retry_seconds=RETRY_SECONDS
            )
        if self._admitted + number > self.max_at_once + self.max_waiting:
            message = (
                f"{self.max_at_once} are being answered and {self.num_waiting} wait, {self.max_waiting} at most; "
                "try again later"
            )
            raise Refusal(503, message, code="full", retry_seconds=RETRY_SECONDS)
        key = ASKING.get()
        if (
            key is not None
            and self.num_waiting
            and len(self._turns.get(key, ())) + number > (self.max_waiting + 1) // 2
        ):
            raise Refusal(
                429, "as many requests of your key wait as one key may have; try again when some are answered",
                code="too_many_waiting", retry_seconds=RETRY_SECONDS,
            )  # fmt: skip
        self._admitted += number

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        loop = asyncio.get_running_loop()
        future: Future[T] = Future()
        task = _Task(work, future, ASKING.get())
        self._turns.setdefault(task.key, deque()).append(task)
        future.add_done_callback(lambda _: _soon(loop, lambda: self._leave(task)))
        self._begin_next()
        return future

    def _bell_of(self, loop: asyncio.AbstractEventLoop) -> "_Bell":
        """One for all readings, so that many streams that have a piece at the same time wake the loop once."""
        if self._bell is None or self._bell.loop is not loop:
            self._bell = _Bell(loop)
        return self._bell

    def _begin_next(self) -> None:
        """Those whose turn it is, as long as there are threads."""
        while self._turns and self._running < self.max_at_once and not self._is_cut:
            key = next(iter(self._turns))
            waiting = self._turns.pop(key)
            task = waiting.popleft()
            if waiting:
                self._turns[key] = waiting  # behind the others
            self._running += 1
            task.has_begun = True
            self._threads.submit(task)

    def _leave(self, task: "_Task") -> None:
        self._admitted -= 1
        if task.has_begun:
            self._running -= 1
            self._begin_next()
        elif task in (waiting := self._turns.get(task.key, deque())):
            waiting.remove(task)
            if not waiting:
                del self._turns[task.key]

    async def drain(self, seconds: float) -> None:
        """Take nothing more on, and wait so long for what runs; what is not done then is cancelled."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._admitted and loop.time() < until:
            await asyncio.sleep(0.02)
        self.cut()

    def cut(self) -> None:
        """End at once: what runs ends at its next token. Also for a lane whose event loop is gone."""
        self._is_closed = self._is_cut = True
        for task in [each for waiting in self._turns.values() for each in waiting]:
            task.future.cancel()
        self._turns.clear()
        for reading in tuple(self._reading):
            with suppress(RuntimeError):  # of a loop that is gone
                reading.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._closers.shutdown(wait=False)


class _Task:
    """Work with the future of its result. key: whose turn it takes."""

    def __init__(self, work: Callable[[], Any], future: "Future[Any]", key: str | None) -> None:
        self._work, self.future, self.key = work, future, key
        self.has_begun = False

    def __call__(self) -> None:
        """In a thread of the lane. Cancelled before, it is never begun."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Reading(AsyncIterator[tuple[int, Piece]], Generic[Piece, Whole]):
    """Streams that are read in threads: iterating gives (number of the stream, piece) as they come, `wholes` the results.

    What one of them raises ends all, and is raised where they are read. `close`, or leaving `async with`, cancels them at
    their next token. What was made and not read yet is kept; it is bounded, since every answer is.
    """

    def __init__(self, lane: Lane, open_streams: Sequence[Callable[[], Stream[Piece, Whole]]]) -> None:
        self._lane, self._loop = lane, asyncio.get_running_loop()
        self._bell = lane._bell_of(self._loop)
        self._came: deque[tuple[int, Piece]] = deque()
        self._news = asyncio.Event()
        self._is_told = False
        self._error: BaseException | None = None
        self._closed = threading.Event()
        self._streams: list[Stream[Piece, Whole] | None] = [None] * len(open_streams)
        self._wholes: dict[int, Whole] = {}
        self._timer: asyncio.TimerHandle | None = None
        if lane.max_seconds is not None:
            self._timer = self._loop.call_later(lane.max_seconds, self._expire, lane.max_seconds)
        self._futures = [
            lane._submit(lambda number=number, opening=opening: self._pump(number, opening))  # type: ignore[misc]
            for number, opening in enumerate(open_streams)
        ]

    @property
    def wholes(self) -> list[Whole]:
        """The results in order, once all is read."""
        return [self._wholes[number] for number in range(len(self._streams))]

    @property
    def has_more(self) -> bool:
        """Whether the next piece is there already, and need not be waited for."""
        return bool(self._came)

    async def wait(self, seconds: float) -> bool:
        """Whether something came, or all ended, within this time."""
        try:
            await asyncio.wait_for(self._something(), seconds)
        except TimeoutError:
            return False
        return True

    async def _something(self) -> None:
        while not self._came and self._error is None and len(self._wholes) < len(self._streams):
            self._is_told = False
            self._news.clear()
            if not self._came and self._error is None and len(self._wholes) < len(self._streams):
                await self._news.wait()

    async def __anext__(self) -> tuple[int, Piece]:
        await self._something()
        if self._came:
            return self._came.popleft()
        if self._error is not None:
            error = self._error
            self.close()
            raise error
        self._end()
        raise StopAsyncIteration

    def require_begun(self) -> None:
        """Raise what went wrong before the first piece came."""
        if self._error is not None and not self._came:
            error = self._error
            self.close()
            raise error

    async def read(self) -> list[Whole]:
        """The results, with nothing shown on the way."""
        async for _ in self:
            continue
        return self.wholes

    def close(self) -> None:
        """End all of them: what waits is never begun, what runs ends at its next token. More than once is the same."""
        self._closed.set()
        self._end()
        if self._error is None:
            self._error = ClosedError("this answer was cancelled")
        for future in self._futures:
            future.cancel()
        for number, stream in enumerate(self._streams):
            if stream is not None and number not in self._wholes:  # what is whole has closed itself
                self._close(stream)
        self._news.set()

    def _close(self, stream: Stream[Piece, Whole]) -> None:
        with suppress(RuntimeError):  # the lane has ended, and closed it
            self._lane._closers.submit(stream.close)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lane._reading.discard(self)

    def _expire(self, seconds: float) -> None:
        self._error = Refusal(
            503, f"the answer was not done within {seconds:g} s; ask for a shorter one", code="timeout", retry_seconds=1
        )
        self.close()

    # In the lane's threads

    def _pump(self, number: int, opening: Callable[[], Stream[Piece, Whole]]) -> None:
        if self._closed.is_set():
            return
        try:
            with opening() as stream:
                self._streams[number] = stream
                if self._closed.is_set():  # it came between the two lines above
                    return
                for piece in stream:
                    self._came.append((number, piece))
                    self._tell()
                whole = stream.result()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the stream is read
            if self._error is None:
                self._error = error
        else:
            self._wholes[number] = whole
        self._tell()

    def _tell(self) -> None:
        """Wake the event loop, once for all that comes until it looks."""
        if not self._is_told:
            self._is_told = True
            self._bell.ring(self._news)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Bell:
    """Wakes an event loop once for all that came until it looks, whoever it came to. Threads: `ring` from any number."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._news: deque[asyncio.Event] = deque()
        self._is_rung = False

    def ring(self, news: asyncio.Event) -> None:
        """Set this in the loop's thread, soon."""
        self._news.append(news)  # before the look: who finds it rung leaves what it added to the one who was told
        if not self._is_rung:
            self._is_rung = True
            _soon(self.loop, self._answer)

    def _answer(self) -> None:
        self._is_rung = False
        while self._news:
            self._news.popleft().set()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
        loop.call_soon_threadsafe(call)
