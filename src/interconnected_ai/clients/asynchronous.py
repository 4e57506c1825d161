"""The memory for an event loop: the same calls, awaited, each in a worker thread, so that none blocks the loop."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial, wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from interconnected_ai.errors import ClosedError
from interconnected_ai.memory import ThreeLevelMemory

P = ParamSpec("P")
R = TypeVar("R")
_NUM_THREADS = 8  # calls at a time; further ones wait
_ITEMS_AT_ONCE = 200  # that an iteration fetches with one call


def _opened_by(
    init: Callable[Concatenate[ThreeLevelMemory, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate["AsyncThreeLevelMemory", P], None]]:
    """Gives a constructor the signature of another."""

    def as_this(own: Callable[..., None]) -> Callable[Concatenate["AsyncThreeLevelMemory", P], None]:
        @wraps(init, assigned=("__name__", "__doc__"))
        def construct(self: "AsyncThreeLevelMemory", *args: P.args, **kwargs: P.kwargs) -> None:
            own(self, *args, **kwargs)

        return cast(Callable[Concatenate["AsyncThreeLevelMemory", P], None], construct)

    return as_this


def _awaited(
    call: Callable[Concatenate[ThreeLevelMemory, P], R], *, goes_on: bool = True
) -> Callable[Concatenate["AsyncThreeLevelMemory", P], Coroutine[Any, Any, R]]:
    """A call of the memory, in a worker thread. goes_on: whether `close` lets it come to its end where it was cancelled."""

    @wraps(call)
    async def in_thread(self: "AsyncThreeLevelMemory", *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._wait_for(self._begin(call, *args, **kwargs), goes_on=goes_on)

    return cast(Callable[Concatenate["AsyncThreeLevelMemory", P], Coroutine[Any, Any, R]], in_thread)


def _iterated(
    call: Callable[Concatenate[ThreeLevelMemory, P], Iterator[R]],
) -> Callable[Concatenate["AsyncThreeLevelMemory", P], AsyncIterator[R]]:
    """A call of the memory that gives things one after another, some at a time from a worker thread."""

    @wraps(call)
    async def in_threads(self: "AsyncThreeLevelMemory", *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        items = await self._run(call, *args, **kwargs)
        while some := await self._run(_next_of, items):
            for item in some:
                yield item

    return cast(Callable[Concatenate["AsyncThreeLevelMemory", P], AsyncIterator[R]], in_threads)


def _next_of(_: ThreeLevelMemory, items: Iterator[R]) -> list[R]:
    return list(islice(items, _ITEMS_AT_ONCE))


class AsyncThreeLevelMemory:
    """`ThreeLevelMemory` for asyncio: made with the same arguments, with the same calls, awaited.

    `messages` is read with `async for`; a session that is not there is told at its first step. The store is opened by the
    first call, or by `async with`, which closes it too. Callables that are given (encode, progress …) are called in worker
    threads.

    Cancelling a call that waits for a thread means that it never happens. One that has begun goes on to its end in its
    thread, whole: what it writes is there, and `close` waits for it (for `catch_up` alone it does not: its job goes back). Give
    `add` an id to be able to say it again.

    One may be used by many tasks, and from the event loops of several threads. It does not survive a fork, as an event loop
    does not: a child makes one of its own.
    """

    @_opened_by(ThreeLevelMemory.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        inspect.signature(ThreeLevelMemory).bind(*args, **kwargs)  # a wrong name is told here, not at the first call
        self._open = partial(ThreeLevelMemory, *args, **kwargs)
        self._memory: ThreeLevelMemory | None = None
        self._opening, self._submitting = threading.Lock(), threading.Lock()
        self._abandoned: list[Future[Any]] = []
        self._is_closed = False
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="memory-call")

    add = _awaited(ThreeLevelMemory.add)
    add_messages = _awaited(ThreeLevelMemory.add_messages)
    pin = _awaited(ThreeLevelMemory.pin)
    set_fact = _awaited(ThreeLevelMemory.set_fact)
    correct = _awaited(ThreeLevelMemory.correct)
    retract = _awaited(ThreeLevelMemory.retract)
    forget = _awaited(ThreeLevelMemory.forget)
    forgettable = _awaited(ThreeLevelMemory.forgettable)
    rebuild = _awaited(ThreeLevelMemory.rebuild)
    context = _awaited(ThreeLevelMemory.context)
    why = _awaited(ThreeLevelMemory.why)
    search = _awaited(ThreeLevelMemory.search)
    facts = _awaited(ThreeLevelMemory.facts)
    pins = _awaited(ThreeLevelMemory.pins)
    messages = _iterated(ThreeLevelMemory.messages)
    find = _awaited(ThreeLevelMemory.find)
    history = _awaited(ThreeLevelMemory.history)
    summaries = _awaited(ThreeLevelMemory.summaries)
    sessions = _awaited(ThreeLevelMemory.sessions)
    stats = _awaited(ThreeLevelMemory.stats)
    check = _awaited(ThreeLevelMemory.check)
    backup = _awaited(ThreeLevelMemory.backup)
    export_jsonl = _awaited(ThreeLevelMemory.export_jsonl)
    export_markdown = _awaited(ThreeLevelMemory.export_markdown)
    import_file = _awaited(ThreeLevelMemory.import_file)
    import_jsonl = import_file
    set_time_zone = _awaited(ThreeLevelMemory.set_time_zone)
    time_zone_of = _awaited(ThreeLevelMemory.time_zone_of)
    catch_up = _awaited(ThreeLevelMemory.catch_up, goes_on=False)

    async def close(self) -> None:
        """Close the memory. Calls that run finish, or raise `ClosedError`, as all later ones do; cancelled ones finish.

        A second call does nothing.
        """
        with self._submitting:
            self._is_closed = True
        await asyncio.to_thread(self._let_go)

    async def __aenter__(self) -> Self:
        await self._run(_nothing)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, call: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        return await self._wait_for(self._begin(call, *args, **kwargs))

    def _begin(self, call: Callable[..., R], *args: Any, **kwargs: Any) -> Future[R]:
        """Begin a call in a worker thread, with the task's context variables."""
        variables = contextvars.copy_context()
        with self._submitting:
            self._require_open()
            return self._threads.submit(variables.run, self._call, call, *args, **kwargs)

    async def _wait_for(self, running: Future[R], *, goes_on: bool = True) -> R:
        """What a call gives. Where the task is cancelled a call that has begun goes on, and `close` knows of it."""
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.cancel() and goes_on:
                with self._submitting:
                    self._abandoned = [one for one in self._abandoned if not one.done()] + [running]
            raise

    def _call(self, call: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        return call(self._opened(), *args, **kwargs)

    def _opened(self) -> ThreeLevelMemory:
        with self._opening:
            if self._memory is None:
                self._require_open()
                self._memory = self._open()
            return self._memory

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError("this memory was closed; open it again with AsyncThreeLevelMemory(…)")

    def _let_go(self) -> None:
        wait(self._abandoned)
        with self._opening:
            memory = self._memory
        if memory is not None:
            memory.close()
        self._threads.shutdown()


def _nothing(_: ThreeLevelMemory) -> None:
    """What `async with` calls, since the first call opens the store."""
