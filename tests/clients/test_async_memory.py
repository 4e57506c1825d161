"""The memory for an event loop makes the same calls as the other one, blocks no loop, and leaves nothing half-done."""

import asyncio
import inspect
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai import AsyncThreeLevelMemory
from interconnected_ai.errors import ClosedError, DataError, UnknownNameError
from interconnected_ai.memory import ThreeLevelMemory, VectorModel
from memory_stores import hashed

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
_LONG_SECONDS = 60.0  # that something which comes at once is waited for


def public_calls(kind: type) -> dict[str, Any]:
    return {name: call for name, call in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_its_public_calls_are_those_of_the_other_memory_with_the_same_arguments() -> None:
    ours, theirs = public_calls(AsyncThreeLevelMemory), public_calls(ThreeLevelMemory)
    assert set(ours) == set(theirs)
    for name, call in ours.items():
        assert list(inspect.signature(call).parameters.values()) == list(
            inspect.signature(theirs[name]).parameters.values()
        )
        assert inspect.getdoc(call), name
    assert inspect.signature(AsyncThreeLevelMemory) == inspect.signature(ThreeLevelMemory)


def test_every_call_is_awaited_but_the_one_that_is_iterated() -> None:
    for name, call in public_calls(AsyncThreeLevelMemory).items():
        assert inspect.isasyncgenfunction(call) if name == "messages" else inspect.iscoroutinefunction(call), name


def test_a_wrong_argument_is_told_before_the_first_call(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="stor"):
        AsyncThreeLevelMemory(stor=tmp_path / "m.db")  # type: ignore[call-arg]


def test_what_is_told_can_be_found_again(tmp_path: Path) -> None:
    async def talk() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "m.db") as memory:
            await memory.add("user", "My name is Anna. I live in Riga.", session="a", id="m1")
            assert await memory.add_messages([{"role": "assistant", "content": "Nice to meet you."}], session="a")
            assert await memory.catch_up() == 0
            assert {fact.value for fact in await memory.facts()} == {"Anna", "Riga"}
            assert (await memory.search("Riga"))[0].message.id == "m1"
            assert "Riga" in (await memory.context("Where does Anna live?", session="a")).text
            assert [message.content async for message in memory.messages(session="a")][1] == "Nice to meet you."
            assert [info.session for info in await memory.sessions()] == ["a"]
            assert (await memory.forget("m1")).num_messages == 1
            with pytest.raises(UnknownNameError):
                await memory.forget("m1")

    asyncio.run(talk())


def test_iterating_reads_long_sessions_to_their_end_in_order(tmp_path: Path) -> None:
    async def read() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "m.db") as memory:
            ids = await memory.add_messages([{"role": "user", "content": f"n{number}"} for number in range(450)])
            assert [message.id async for message in memory.messages()] == ids
            with pytest.raises(UnknownNameError):
                [message async for message in memory.messages(session="nowhere")]

    asyncio.run(read())


async def tick(until: threading.Event, num_ticks: int) -> int:
    """Take turns on the loop; after so many, let go of what waits in its thread."""
    for number in range(num_ticks):
        await asyncio.sleep(0)
        if number == num_ticks - 1:
            until.set()
    return num_ticks


def test_a_slow_call_does_not_keep_the_loop_from_another_task(tmp_path: Path) -> None:
    """The call ends only when the other task has had its turns: a loop that waited for the call would never give them."""
    let_go, model = threading.Event(), hashed()

    def slow(texts: Any) -> Any:
        assert let_go.wait(_LONG_SECONDS), "the loop was blocked"
        return model.queries(texts)

    async def both() -> None:
        encode = VectorModel("hashed", model.passages, slow)
        async with AsyncThreeLevelMemory(tmp_path / "m.db", encode=encode) as memory:
            await memory.add("user", "I live in Riga.")
            await memory.catch_up()
            found, ticks = await asyncio.gather(memory.search("Riga"), tick(let_go, 100))
            assert ticks == 100
            assert found

    asyncio.run(both())


def test_opening_and_making_it_do_not_keep_the_loop_either(tmp_path: Path) -> None:
    """Whoever opens the file waits for its writer, who goes away after some turns of the loop."""
    ThreeLevelMemory(tmp_path / "m.db").close()
    writer = sqlite3.connect(tmp_path / "m.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("CREATE TABLE other (x)")
    let_go = threading.Event()

    async def both() -> None:
        memory = AsyncThreeLevelMemory(tmp_path / "m.db")
        adding = asyncio.ensure_future(memory.add("user", "I live in Riga."))
        await tick(let_go, 100)
        assert not adding.done()
        writer.execute("ROLLBACK")
        await adding
        await memory.close()

    asyncio.run(both())
    writer.close()


class Held:
    """A counter of tokens that waits inside the calls that count, and knows how many came."""

    def __init__(self) -> None:
        self.came, self.let_go, self.holds = threading.Semaphore(0), threading.Event(), False

    def __call__(self, text: str) -> int:
        if self.holds:
            self.came.release()
            assert self.let_go.wait(_LONG_SECONDS)
        return len(text.split())

    async def wait_for(self, num_calls: int) -> None:
        for _ in range(num_calls):
            assert await asyncio.to_thread(self.came.acquire, timeout=_LONG_SECONDS)


def test_a_cancelled_call_that_has_begun_is_there_whole_and_one_that_waits_never_comes(tmp_path: Path) -> None:
    held = Held()

    async def cancel() -> list[str]:
        async with AsyncThreeLevelMemory(tmp_path / "m.db", count_tokens=held) as memory:
            await memory.add("user", "I live in Riga.", id="first")
            held.holds = True
            running = [asyncio.ensure_future(memory.add("user", f"n{n}", id=f"begun{n}")) for n in range(8)]
            await held.wait_for(8)
            waiting = [asyncio.ensure_future(memory.add("user", f"n{n}", id=f"waits{n}")) for n in range(8)]
            await asyncio.sleep(0)
            for task in (*running, *waiting):
                task.cancel()
            told = await asyncio.gather(*running, *waiting, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in told)
            held.let_go.set()
        with ThreeLevelMemory(tmp_path / "m.db") as again:
            assert again.check().is_whole
            return sorted(message.id for message in again.messages())

    assert asyncio.run(cancel()) == sorted(["first", *(f"begun{n}" for n in range(8))])


def test_a_cancelled_import_is_all_there(tmp_path: Path) -> None:
    held = Held()
    rows = [{"role": "user", "content": f"message n{number}", "id": f"m{number}"} for number in range(300)]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))

    async def cancel() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "m.db", count_tokens=held) as memory:
            held.holds = True
            importing = asyncio.ensure_future(memory.import_file(tmp_path / "chat.jsonl"))
            await held.wait_for(1)
            importing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await importing
            held.let_go.set()

    asyncio.run(cancel())
    with ThreeLevelMemory(tmp_path / "m.db") as again:
        assert len(list(again.messages())) == 300


def call_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("memory-")]


def test_after_close_every_call_says_so_and_no_thread_is_left(tmp_path: Path) -> None:
    given: dict[str, Callable[[AsyncThreeLevelMemory], Any]] = {
        "add": lambda memory: memory.add("user", "x"),
        "add_messages": lambda memory: memory.add_messages([{"role": "user", "content": "x"}]),
        "pin": lambda memory: memory.pin("x"),
        "set_fact": lambda memory: memory.set_fact("city", "Riga"),
        "correct": lambda memory: memory.correct(1, "Riga"),
        "retract": lambda memory: memory.retract(1),
        "context": lambda memory: memory.context("x"),
        "search": lambda memory: memory.search("x"),
        "why": lambda memory: memory.why("x", "y"),
        "set_time_zone": lambda memory: memory.set_time_zone("Europe/Riga"),
        "time_zone_of": lambda memory: memory.time_zone_of(),
        "history": lambda memory: memory.history("x"),
        "backup": lambda memory: memory.backup(tmp_path / "copy.db"),
        "export_jsonl": lambda memory: memory.export_jsonl(tmp_path / "out.jsonl"),
        "export_markdown": lambda memory: memory.export_markdown(tmp_path / "out.md"),
        "import_file": lambda memory: memory.import_file(tmp_path / "in.jsonl"),
        "import_jsonl": lambda memory: memory.import_jsonl(tmp_path / "in.jsonl"),
    }
    before = call_threads()

    async def use(memory: AsyncThreeLevelMemory, name: str) -> None:
        # a call that is new and needs arguments belongs into the table
        made = given[name](memory) if name in given else getattr(memory, name)()
        if isinstance(made, AsyncIterator):
            await anext(made)
        else:
            await made

    async def all_of_them() -> None:
        memory = AsyncThreeLevelMemory(tmp_path / "m.db")
        await memory.add("user", "x")
        await memory.close()
        await memory.close()
        assert call_threads() == before
        for name in set(public_calls(AsyncThreeLevelMemory)) - {"close"}:
            with pytest.raises(ClosedError, match=r"open it again with AsyncThreeLevelMemory\(…\)"):
                await use(memory, name)
        with pytest.raises(ClosedError):
            async with memory:
                pass

    asyncio.run(all_of_them())


def test_one_that_was_never_used_closes_and_makes_no_file(tmp_path: Path) -> None:
    async def never() -> None:
        await AsyncThreeLevelMemory(tmp_path / "m.db").close()

    asyncio.run(never())
    assert list(tmp_path.iterdir()) == []


def test_closing_while_calls_run_ends_each_of_them(tmp_path: Path) -> None:
    held = Held()

    async def close() -> list[Any]:
        memory = AsyncThreeLevelMemory(tmp_path / "m.db", count_tokens=held)
        await memory.add("user", "I live in Riga.", id="first")
        held.holds = True
        running = [asyncio.ensure_future(memory.add("user", f"n{n}", id=f"m{n}")) for n in range(12)]
        await held.wait_for(8)
        closing = asyncio.ensure_future(memory.close())
        await asyncio.sleep(0)
        held.let_go.set()
        await closing
        return await asyncio.gather(*running, return_exceptions=True)

    told = asyncio.run(close())
    assert all(isinstance(one, ClosedError | str) for one in told), told
    with ThreeLevelMemory(tmp_path / "m.db") as again:
        assert {one for one in told if isinstance(one, str)} == {message.id for message in again.messages()} - {"first"}


def test_what_fails_in_the_thread_is_raised_where_it_is_awaited(tmp_path: Path) -> None:
    async def fail() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "m.db") as memory:
            with pytest.raises(DataError, match="user=''"):
                await memory.add("user", "x", user="")
        with pytest.raises(ClosedError):
            await memory.add("user", "x")

    asyncio.run(fail())


def test_an_error_in_the_block_closes_it_and_is_passed_on(tmp_path: Path) -> None:
    before = call_threads()

    async def fail() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "m.db") as memory:
            await memory.add("user", "x")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(fail())
    assert call_threads() == before


def test_the_loops_of_two_threads_may_share_one(tmp_path: Path) -> None:
    memory = AsyncThreeLevelMemory(tmp_path / "m.db")
    ends: list[int] = []

    async def add(name: str) -> int:
        told = await asyncio.gather(*(memory.add("user", f"{name} {n}", id=f"{name}{n}") for n in range(20)))
        return len(told)

    def run(coroutine: Coroutine[Any, Any, int]) -> None:
        ends.append(asyncio.run(coroutine))

    threads = [threading.Thread(target=run, args=(add(name),)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONG_SECONDS)
    assert ends == [20, 20]

    async def count() -> int:
        async with memory:
            return (await memory.stats()).num_messages

    assert asyncio.run(count()) == 40
