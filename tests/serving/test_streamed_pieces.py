"""Pieces on their way from a lane's threads to the socket: none waits for another, and those that are there go together."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.properties import examples

from interconnected_ai.serving.events import TEXT, Template, _EventStream, event
from interconnected_ai.serving.journal import Entry
from interconnected_ai.serving.lanes import Lane, Reading
from interconnected_ai.types import Stream


@given(st.text())
@examples(100)
def test_a_template_gives_the_event_that_json_would(text: str) -> None:
    def data(text: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}

    assert Template(data(TEXT)).event(text) == event(data(text))
    assert Template(data(TEXT), name="piece").event(text) == event(data(text), name="piece")


def saying(pieces: list[str], goes: threading.Event) -> Stream[str, int]:
    """Says the first, and when it is let all others."""

    def made() -> Generator[str | None, None, int]:
        yield pieces[0]
        goes.wait(60)
        yield from pieces[1:]
        return len(pieces)

    return Stream(made())


async def as_events(reading: Reading[str, int]) -> AsyncIterator[bytes]:
    async for _, piece in reading:
        yield piece.encode()


class Client:
    """What an application sends it; messages of a body that came before the end."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.parts: list[bytes] = []

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.parts.append(message["body"])
            self.came.set()

    async def receive(self) -> Any:
        await asyncio.Event().wait()  # it stays


def test_the_first_piece_goes_at_once_and_those_that_came_together_go_in_one_message() -> None:
    async def run() -> list[bytes]:
        lane, goes, client = Lane("test", max_at_once=1, max_waiting=1), threading.Event(), Client()
        reading = lane.read(lambda: saying(["a", "b", "c", "d"], goes))
        events = as_events(reading)
        answer = _EventStream(Entry("1", "POST"), reading, events, 60.0)  # type: ignore[arg-type]
        sending = asyncio.ensure_future(answer({"type": "http"}, client.receive, client.send))
        await client.came.wait()
        assert client.parts == [b"a"]
        goes.set()
        while len(reading._came) < 3:  # the loop is kept busy meanwhile
            pass
        await sending
        lane.cut()
        return client.parts

    assert asyncio.run(run()) == [b"a", b"bcd", b""]


def test_many_streams_that_have_a_piece_together_wake_the_loop_once() -> None:
    async def run() -> tuple[int, list[str]]:
        loop = asyncio.get_running_loop()
        lane, goes = Lane("test", max_at_once=8, max_waiting=8), threading.Event()
        readings = [lane.read(lambda: saying(["a", "b"], goes)) for _ in range(8)]
        firsts = [await anext(reading) for reading in readings]
        waiting = [asyncio.ensure_future(anext(reading)) for reading in readings]
        await asyncio.sleep(0)  # all of them wait
        wakings, call_soon = [], loop.call_soon_threadsafe

        def counted(call: Any, *more: Any, **named: Any) -> Any:
            wakings.append(call)
            return call_soon(call, *more, **named)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        goes.set()
        while not all(reading._wholes for reading in readings):  # the loop sees nothing of it meanwhile
            pass
        rung = sum(call == lane._bell_of(loop)._answer for call in wakings)
        seconds = [piece for _, piece in await asyncio.gather(*waiting)]
        lane.cut()
        assert [piece for _, piece in firsts] == ["a"] * 8
        return rung, seconds

    rung, seconds = asyncio.run(run())
    assert seconds == ["b"] * 8
    assert rung == 1


def test_a_piece_that_comes_while_the_bell_is_answered_is_not_lost() -> None:
    async def run() -> int:
        lane = Lane("test", max_at_once=4, max_waiting=4)

        def made() -> Generator[str | None, None, int]:
            for number in range(2_000):
                yield str(number)
            return 2_000

        readings = [lane.read(lambda: Stream(made())) for _ in range(4)]

        async def counted(reading: Reading[str, int]) -> int:
            return sum([int(piece) == place async for place, (_, piece) in _numbered(reading)])

        found = await asyncio.wait_for(asyncio.gather(*map(counted, readings)), 60)
        lane.cut()
        return sum(found)

    assert asyncio.run(run()) == 8_000


async def _numbered(reading: Reading[str, int]) -> AsyncIterator[tuple[int, tuple[int, str]]]:
    place = 0
    async for each in reading:
        yield place, each
        place += 1


def test_an_event_is_one_line_of_json() -> None:
    line = Template({"text": TEXT}).event("two\nlines")
    assert line.count(b"\n") == 2
    assert json.loads(line.removeprefix(b"data: ")) == {"text": "two\nlines"}
