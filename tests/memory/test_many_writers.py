"""Writers of a PostgreSQL that meet: none waits for another's session, none waits for one that waits for it, none is lost."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.memory import Capacities, Check, ThreeLevelMemory
from interconnected_ai.memory.erasure import Removed, is_erasing_due, remove_session
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.log import session_number
from interconnected_ai.memory.provenance import remember
from interconnected_ai.memory.records import DEFAULT_USER
from memory_stores import MakeMemory, count_words, hashed, own_schema


@pytest.fixture
def address(postgres_server: str) -> str:
    return own_schema(postgres_server)


@pytest.fixture
def memory(address: str) -> Iterator[ThreeLevelMemory]:
    with ThreeLevelMemory(address, background=False, count_tokens=count_words) as opened:
        yield opened


class Beside:
    """A call in a thread of its own; what it raised is raised by `finish`."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._raised = call, []  # type: tuple[Callable[[], object], list[BaseException]]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - whoever waits for it hears of it
            self._raised.append(error)

    def wait_until_it_waits(self, memory: ThreeLevelMemory) -> None:
        """Until the server says that somebody waits for a lock of another, or the call has ended."""
        while self._thread.is_alive():
            with memory.store.read() as rows:
                if rows.one("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    return
            time.sleep(0.01)

    def finish(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive(), "it waits for ever"
        if self._raised:
            raise self._raised[0]


@contextmanager
def forgetting(memory: ThreeLevelMemory, session: str) -> Iterator[None]:
    """The session is removed, and the transaction is not over yet."""
    with memory.store.write() as rows:
        number = session_number(rows, DEFAULT_USER, session)
        memory.store.lock(rows, number)
        remove_session(memory.store, rows, number, Removed())
        yield


def test_what_is_forgotten_waits_for_no_writer_of_another_user(address: str, memory: ThreeLevelMemory) -> None:
    memory.add("user", "I live in Riga.", user="ann")
    memory.add("user", "I live in Pisa.", user="ben")
    with (
        memory.store.write() as rows,
        ThreeLevelMemory(f"{address}%20-clock_timeout%3D3000", background=False) as beside,
    ):
        session = session_number(rows, "ben", "default")
        memory.store.lock(rows, session)
        want(rows, "facts", session)  # as whoever adds a message has it until the message is written
        assert beside.forget(user="ann", everything=True).num_messages == 1


def test_an_error_of_another_users_work_is_kept_when_one_forgets(make: MakeMemory) -> None:
    memory = make()
    for user in ("ann", "ben"):
        memory.add("user", "I live in Riga.", user=user)
        memory.add("user", "I live in Pisa.", user=user)
    with memory.store.write() as rows:
        rows.run("UPDATE jobs SET error = 'it met: I live in Riga.'")
    memory.forget(containing="Riga", user="ann")
    with memory.store.read() as rows:
        told = rows.all(
            "SELECT s.user_name, j.error FROM jobs j JOIN sessions s ON s.number = j.session WHERE j.error <> ''"
        )
    assert {user for user, _ in told} == {"ben"}


def test_a_message_for_a_session_that_is_being_forgotten_begins_it_anew(memory: ThreeLevelMemory) -> None:
    memory.add("user", "I live in Riga.", session="trip")
    with forgetting(memory, "trip"):
        adding = Beside(lambda: memory.add("user", "I live in Pisa.", session="trip"))
        adding.wait_until_it_waits(memory)
    adding.finish()
    assert [message.content for message in memory.messages(session="trip")] == ["I live in Pisa."]
    assert [found.message.content for found in memory.search("live")] == ["I live in Pisa."]


def test_a_pin_for_a_session_that_is_being_forgotten_is_seen_there(memory: ThreeLevelMemory) -> None:
    memory.add("user", "I live in Riga.", session="trip")
    with forgetting(memory, "trip"):
        pinning = Beside(lambda: memory.pin("Vegetarian", session="trip"))
        pinning.wait_until_it_waits(memory)
    pinning.finish()
    assert [(pin.text, pin.session) for pin in memory.pins(session="trip")] == [("Vegetarian", "trip")]


def test_a_session_that_begins_during_a_rebuild_is_found_after_it(memory: ThreeLevelMemory) -> None:
    memory.add("user", "I live in Riga.", session="first")
    with memory.store.write() as rows:
        memory.store.lock(rows, session_number(rows, DEFAULT_USER, "first"))
        rebuilding = Beside(memory.rebuild)
        rebuilding.wait_until_it_waits(memory)
        adding = Beside(lambda: memory.add("user", "I like plums.", session="second"))
        adding._thread.join(3)  # it may be done before the rebuild goes on, or wait for it
    rebuilding.finish()
    adding.finish()
    memory.catch_up()
    assert [found.message.content for found in memory.search("plums")] == ["I like plums."]
    assert [fact.value for fact in memory.facts("plums")] == ["plums"]


@pytest.mark.parametrize("encode", [None, hashed()], ids=["earlier version", "another model"])
def test_a_memory_is_changed_as_it_is_opened_beside_one_who_writes_two_sessions(
    address: str, memory: ThreeLevelMemory, encode: object
) -> None:
    for session in ("first", "second"):
        memory.add("user", "I live in Riga.", session=session)
    if encode is None:
        with memory.store.write() as rows:
            remember(rows, "schema_version", "3")

    def open_and_close() -> None:
        ThreeLevelMemory(address, background=False, count_tokens=count_words, encode=encode).close()  # type: ignore[arg-type]

    with memory.store.write() as rows:
        first, second = (session_number(rows, DEFAULT_USER, session) for session in ("first", "second"))
        for session in (first, second):
            memory.store.lock(rows, session)
        written = "UPDATE messages SET num_words = num_words WHERE session = ?"
        rows.run(written, second)
        want(rows, "embed", second)
        opening = Beside(open_and_close)
        opening.wait_until_it_waits(memory)
        rows.run(written, first)
        want(rows, "embed", first)
    opening.finish()


def test_what_was_forgotten_is_still_to_be_erased_after_a_rebuild(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Riga.")
    with memory.store.write() as rows:
        want(rows, "erase", 0)  # as a reader elsewhere leaves it
    memory.rebuild()
    assert is_erasing_due(memory.store)
    memory.catch_up()
    assert not is_erasing_due(memory.store)


def test_whatever_many_writers_do_at_once_is_done(address: str, tmp_path: Path) -> None:
    """Whole users, sessions and facts come and go under six threads and two memories; afterwards all is as the log says."""
    small = Capacities(60, 120, 200)
    memories = [ThreeLevelMemory(address, small, count_tokens=count_words, encode=hashed()) for _ in range(2)]
    failed: list[BaseException] = []

    def use(name: int) -> None:
        draw, memory = random.Random(name), memories[name % 2]
        for number in range(40):
            user, session = draw.choice(["ann", "Ben", "ёж"]), draw.choice(["a", "B"])
            try:
                _one_of_all(memory, draw, user, session, tmp_path / f"{name}-{number}.jsonl")
            except UnknownNameError:  # another was there before and forgot it
                continue
            except BaseException as error:  # noqa: BLE001 - the main thread must hear of it
                failed.append(error)

    try:
        users = [threading.Thread(target=use, args=(name,)) for name in range(6)]
        for thread in users:
            thread.start()
        for thread in users:
            thread.join(300)
        assert not failed, failed
        assert memories[0].catch_up(300) == 0
        assert memories[0].check() == Check(
            (), (), sum(s.num_messages for s in memories[0].sessions(everyone=True)), ()
        )
    finally:
        for memory in memories:
            memory.close()


def _one_of_all(memory: ThreeLevelMemory, draw: random.Random, user: str, session: str, path: Path) -> None:
    """One thing that changes a memory, more often one that adds to it."""
    thing = f"thing{draw.randrange(20)}"
    said = {"role": "user", "content": f"I live in {draw.choice(['Riga', 'Pisa'])}.", "user": user}
    lines = [{**said, "id": str(i), "session": draw.choice("aB"), "time": 1e9 + draw.randrange(100)} for i in range(6)]
    path.write_text("\n".join(map(json.dumps, lines)))
    facts = memory.facts(user=user, session=session)
    calls: list[tuple[int, Callable[[], object]]] = [
        (12, lambda: memory.add("user", f"I like {thing} and live in Rome.", session=session, user=user)),
        (5, lambda: memory.add("user", f"I like {thing}.", session=session, user=user, time=1e9 + draw.randrange(100))),
        (3, lambda: memory.import_jsonl(path)),
        (2, lambda: memory.forget(session=session, user=user, everything=True)),
        (1, lambda: memory.forget(user=user, everything=True)),
        (2, lambda: memory.forget(containing=thing, user=user)),
        (1, lambda: memory.pin("x", session=session, user=user)),
        (2, lambda: memory.set_fact("likes", "tea", user=user, session=session)),
        (2, lambda: memory.correct(facts[0], "Bern", user=user) if facts else None),
        (2, lambda: memory.retract(facts[0], user=user) if facts else None),
        (1, memory.rebuild),
        (3, lambda: memory.catch_up(0.05)),
    ]
    draw.choices([call for _, call in calls], [weight for weight, _ in calls])[0]()
