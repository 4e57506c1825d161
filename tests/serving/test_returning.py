"""What threads finish for many callers comes back to the event loop when they say so, all of it, and not before."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from interconnected_ai.serving.own.returning import Returning


def in_a_thread(do: Callable[[], object]) -> None:
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_nothing_comes_before_it_is_told_of_and_then_all_of_it_does() -> None:
    async def check() -> None:
        returning: Returning[int] = Returning()
        works: list[Future[int]] = [Future() for _ in range(4)]
        coming = [returning.of(work) for work in works]
        for number, work in enumerate(works[:3]):
            in_a_thread(partial(work.set_result, number))
        await turns()
        assert not any(each.done() for each in coming)
        in_a_thread(returning.tell)
        await turns()
        assert [each.done() for each in coming] == [True, True, True, False]
        in_a_thread(partial(works[3].set_exception, KeyError("a")))
        in_a_thread(returning.tell)
        with pytest.raises(KeyError):
            await coming[3]
        assert [await each for each in coming[:3]] == [0, 1, 2]

    asyncio.run(check())


def test_what_was_done_and_told_of_before_comes_at_once() -> None:
    async def check() -> None:
        returning: Returning[int] = Returning()
        work: Future[int] = Future()
        work.set_result(7)
        returning.tell()
        assert await returning.of(work) == 7

    asyncio.run(check())


def test_who_leaves_takes_the_work_back_and_keeps_nobody_from_the_others() -> None:
    async def check() -> None:
        returning: Returning[int] = Returning()
        works: list[Future[int]] = [Future() for _ in range(3)]
        coming = [returning.of(work) for work in works]
        coming[0].cancel()
        await turns()
        assert works[0].cancelled()
        works[1].cancel()  # by whoever computes
        works[2].set_result(2)
        returning.tell()
        assert await coming[2] == 2
        assert coming[1].cancelled()

    asyncio.run(check())


def test_a_loop_that_has_ended_is_told_of_nothing() -> None:
    async def begin() -> tuple[Returning[int], Future[int]]:
        returning: Returning[int] = Returning()
        work: Future[int] = Future()
        returning.of(work)
        return returning, work

    returning, work = asyncio.run(begin())
    if not work.done():
        work.set_result(1)
    returning.tell()
