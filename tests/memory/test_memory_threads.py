"""The contract: everything may be called from many threads at once, beside a second process; nothing acknowledged is lost."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from interconnected_ai.memory import Capacities, ThreeLevelMemory
from memory_stores import MakeMemory, explained, hashed, python

SMALL_LEVELS = Capacities(150, 300, 500)
NUM_THREADS, NUM_ROUNDS = 16, 6

BESIDE = """
    import sys
    from pathlib import Path
    from interconnected_ai.memory import Capacities, ThreeLevelMemory
    location, stop = sys.argv[1], Path(sys.argv[2])
    memory = ThreeLevelMemory(location, Capacities(150, 300, 500), count_tokens=lambda text: len(text.split()))
    number = 0
    while not stop.exists() or number < 5:
        memory.add("user", f"I like beside{number} a lot.", id=f"beside-{number}", session="s0")
        found = memory.context(f"beside{number}", session="s0", budget_tokens=200)
        assert f"beside-{number}" in found.source_ids
        memory.search("thing", session="s1")
        memory.facts()
        number += 1
    memory.close()
    print(number)
"""


def test_sixteen_threads_and_a_second_process_lose_nothing_and_tear_nothing(
    location: str, make: MakeMemory, tmp_path: Path
) -> None:
    memory = make(capacities=SMALL_LEVELS, background=True, encode=hashed())
    beside = python(BESIDE, location, str(tmp_path / "stop"))
    added: list[list[str]] = [[] for _ in range(NUM_THREADS)]
    forgotten: list[list[str]] = [[] for _ in range(NUM_THREADS)]
    failures: list[Exception] = []

    def use(name: int) -> None:
        draw, session = random.Random(name), f"s{name % 3}"
        try:
            for number in range(NUM_ROUNDS):
                id = f"{name}-{number}"
                added[name].append(
                    memory.add("user", f"I like thing{name}x{number} very much.", id=id, session=session)
                )
                calls: list[Callable[[], object]] = [
                    lambda: whole(memory, session),
                    lambda id=id: ids_found(memory, id, session),  # type: ignore[misc]
                    lambda: memory.facts("thing", session=session, scope="session"),
                    lambda: exported(memory, tmp_path / f"{name}.jsonl", session),
                    lambda: memory.stats(session=session),
                    lambda: memory.catch_up(0.05),
                    lambda: memory.pins(session=session),
                ]
                draw.shuffle(calls)
                for call in calls:
                    call()
                if name % 4 == 0 and number % 3 == 2:
                    gone = added[name][-2]
                    assert memory.forget(gone, session=session).num_messages == 1
                    forgotten[name].append(gone)
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread must hear of it
            failures.append(error)

    threads = [threading.Thread(target=use, args=(name,)) for name in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    (tmp_path / "stop").touch()
    said, errors = beside.communicate(timeout=120)
    assert not failures, failures
    assert beside.returncode == 0, errors
    there = Counter(m.id for session in ("s0", "s1", "s2") for m in memory.messages(session=session))
    wanted = {id for ids in added for id in ids} | {f"beside-{number}" for number in range(int(said))}
    assert there == Counter(wanted - {id for ids in forgotten for id in ids})
    assert memory.catch_up(300) == 0
    explained(memory)
    learnt = {
        fact.source_id for session in ("s0", "s1", "s2") for fact in memory.facts(session=session, scope="session")
    }
    assert learnt == set(there)


def whole(memory: ThreeLevelMemory, session: str) -> None:
    """A context is of one moment: each of its full messages is shown, and in the order of its places."""
    found = memory.context("thing", session=session, budget_tokens=200, scope="session")
    assert found.num_tokens <= 200
    places = [int(place) for place in re.findall(r"^> #(\d+) user: ", found.text, re.MULTILINE)]
    assert len(places) == len(set(places)) == len(found.source_ids)


def ids_found(memory: ThreeLevelMemory, id: str, session: str) -> None:
    """What was added a moment ago is found."""
    assert id in {found.message.id for found in memory.search(f"thing{id.replace('-', 'x')}", session=session)}


def exported(memory: ThreeLevelMemory, path: Path, session: str) -> None:
    """An export is of one moment: the places of a session without those that were forgotten, each once, in order."""
    done = memory.export_jsonl(path, session=session, overwrite=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == done.num_messages


def test_every_level_of_an_export_and_of_stats_is_of_one_moment_while_others_write(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(50, 100, 100), background=True)
    stopped, failures = threading.Event(), []

    def write() -> None:
        number = 0
        while not stopped.is_set():
            memory.add("user", f"thing{number} and four words", id=str(number))
            number += 1

    def check() -> None:
        try:
            for _ in range(15):
                stats = memory.stats()
                assert sum(level.num_messages for level in stats) == stats.num_messages
                assert stats.num_tokens == 4 * stats.num_messages
                covered = [(s.first_place, s.last_place) for s in memory.summaries()]
                assert all(last + 1 == first for (_, last), (first, _) in pairwise(covered))
        except Exception as error:  # noqa: BLE001 - the main thread must hear of it
            failures.append(error)

    writers = [threading.Thread(target=write) for _ in range(2)]
    readers = [threading.Thread(target=check) for _ in range(4)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in readers:
        thread.join(240)
    stopped.set()
    for thread in writers:
        thread.join(60)
    assert not failures, failures
