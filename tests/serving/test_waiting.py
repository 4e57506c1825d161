"""Limits on waiting: the time is counted where something is waited for, and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interconnected_ai.serving.waiting import Within

FOREVER = 3_600.0


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def test_what_does_not_wait_needs_no_timer_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: pytest.fail("a timer was made"))

    async def at_once() -> str:
        return "there"

    assert run(lambda: Within(0.0, at_once())) == "there"

    async def failing() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        run(lambda: Within(0.0, failing()))


def test_what_waits_several_times_goes_on_with_what_it_waited_for() -> None:
    async def waiting() -> list[int]:
        loop, found = asyncio.get_running_loop(), []
        for number in range(3):
            coming = loop.create_future()
            loop.call_soon(coming.set_result, number)
            found.append(await coming)
            await asyncio.sleep(0)
        return found

    assert run(lambda: Within(FOREVER, waiting())) == [0, 1, 2]
    assert run(lambda: Within(FOREVER, Within(FOREVER, waiting()))) == [0, 1, 2]

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("after a while")

    with pytest.raises(ValueError, match="after a while"):
        run(lambda: Within(FOREVER, failing()))


def test_what_waits_too_long_is_told_so_and_may_put_away_its_things() -> None:
    told: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            await asyncio.sleep(0)
            told.append("put away")
            raise

    with pytest.raises(TimeoutError):
        run(lambda: Within(0.001, waiting()))
    assert told == ["cancelled", "put away"]


def test_a_task_that_is_cancelled_cancels_what_it_waits_for() -> None:
    told: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    async def main() -> None:
        async def limited() -> None:
            await Within(FOREVER, waiting())

        task = asyncio.ensure_future(limited())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert told == ["ended"]


def test_what_answers_a_cancellation_with_a_value_gives_it() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "all the same"
        return "never"

    async def main() -> str:
        async def limited() -> str:
            return await Within(FOREVER, stubborn())

        task = asyncio.ensure_future(limited())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "all the same"
