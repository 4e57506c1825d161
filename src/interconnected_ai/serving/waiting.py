"""Limits on waiting that cost a timer only where something has to be waited for, which most of a request has not."""

import asyncio
from collections.abc import Awaitable, Generator
from functools import partial
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Within(Generic[T]):
    """`await Within(seconds, work)`: what it gives, as `asyncio.wait_for` would, in the task that awaits it.

    Raises TimeoutError where it waits longer than so many seconds; what it does before it first waits is not timed. Awaited
    once.
    """

    def __init__(self, seconds: float, work: Awaitable[T]) -> None:
        self._seconds, self._work = seconds, work

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        try:
            awaited = next(steps)
        except StopIteration as ended:
            return cast("T", ended.value)
        return (yield from self._timed(awaited, steps).__await__())

    async def _timed(self, awaited: Any, steps: Generator[Any, Any, T]) -> T:
        async with asyncio.timeout(self._seconds):
            return await _Rest(awaited, steps)


class _Rest(Generic[T]):
    """Goes on with what has awaited something already."""

    def __init__(self, awaited: Any, steps: Generator[Any, Any, T]) -> None:
        self._awaited, self._steps = awaited, steps

    def __await__(self) -> Generator[Any, Any, T]:
        awaited = self._awaited
        while True:
            try:
                came = yield awaited
            except GeneratorExit:
                self._steps.close()
                raise
            except BaseException as error:  # noqa: BLE001 - a timeout, a cancelled task: the work is to hear of it
                go_on = partial(self._steps.throw, error)
            else:
                go_on = partial(self._steps.send, came)
            try:
                awaited = go_on()
            except StopIteration as ended:
                return cast("T", ended.value)
