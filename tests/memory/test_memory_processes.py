"""Killed processes, many processes, many threads, forks: nothing acknowledged is lost."""

import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from memory_stores import MakeMemory, count_words, explained, python

WRITER = """
    import pathlib, random, sys, time
    from interconnected_ai.memory import Capacities, ThreeLevelMemory
    file, name, told = sys.argv[1:]
    memory = ThreeLevelMemory(file, Capacities(120, 200, 300), count_tokens=lambda text: len(text.split()))
    draw, told, go = random.Random(name), open(told, "ab", buffering=0), pathlib.Path(told + ".go")
    while not go.exists():  # or the first to start would fill the store while the last still imports
        time.sleep(0.01)
    for number in range(100_000):
        id, session = f"{name}-{number}", draw.choice("xy")
        said = f"I like word{draw.randrange(50)} {id}. " + "filler words here " * draw.randrange(6)
        memory.add("user", said, id=id, session=session)
        told.write(f"{id}\\n".encode())
        time.sleep(0.005)  # or one that is lucky with the lock writes thousands before the others have five
"""


def wait_for(happened: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> None:
    """Until it has happened, while all of the processes live."""
    while not happened():
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        time.sleep(0.01)


def killed_while_writing(file: Path, told: list[Path], draw: random.Random) -> set[str]:
    """A writer for each file in `told`, all killed at a random moment; the ids that had been acknowledged."""
    writers = [python(WRITER, str(file), path.name, str(path)) for path in told]
    wait_for(lambda: all(path.exists() for path in told), writers)
    for path in told:
        path.with_name(f"{path.name}.go").touch()
    wait_for(lambda: all(path.read_bytes().count(b"\n") >= 5 for path in told), writers)
    time.sleep(draw.random() / 5)
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.communicate()
    return {id for path in told for id in path.read_text().split("\n")[:-1]}


def test_after_kill_9_every_acknowledged_message_is_there_and_everything_derived_is_explained(tmp_path: Path) -> None:
    file, draw = tmp_path / "memory.db", random.Random(0)
    acknowledged: set[str] = set()
    for round_ in range(3):
        acknowledged |= killed_while_writing(file, [tmp_path / f"r{round_}w{number}" for number in range(3)], draw)
    store = SQLiteStore(file, synchronous="OFF")  # nothing is killed from here on
    with ThreeLevelMemory(store, Capacities(120, 200, 300), count_tokens=count_words, background=False) as memory:
        there = [m.id for session in "xy" for m in memory.messages(session=session)]
        assert len(there) == len(set(there))
        assert acknowledged <= set(there)
        assert len(there) - len(acknowledged) <= 9  # written, killed before it could say so
        assert len(acknowledged) > 20
        assert memory.catch_up(240) == 0  # a job that a killed writer had begun is anybody's after two minutes
        explained(memory)
        for id in draw.sample(sorted(acknowledged), 5):
            assert memory.search(id)[0].message.id == id
    database = sqlite3.connect(file)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


SHARER = """
    import sys
    from interconnected_ai.memory import Capacities, ThreeLevelMemory
    file, name = sys.argv[1:]
    memory = ThreeLevelMemory(file, Capacities(150, 300, 500), count_tokens=lambda text: len(text.split()))
    for number in range(12):
        memory.add("user", f"I like thing{name}x{number} very much indeed", id=f"{name}-{number}", session="all")
        found = memory.context(f"thing{name}x{number}", session="all", budget_tokens=200)
        assert f"{name}-{number}" in found.source_ids, found
        assert memory.search(f"thing{name}x{number}", session="all")[0].message.id == f"{name}-{number}"
    memory.catch_up()
    memory.close()
"""


def test_ten_processes_write_and_read_at_once_and_nothing_is_locked_lost_or_doubled(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    sharers = [python(SHARER, str(file), str(number)) for number in range(10)]
    said = [sharer.communicate(timeout=120) for sharer in sharers]
    assert [sharer.returncode for sharer in sharers] == [0] * 10, said
    assert not any("locked" in err for _, err in said), said
    with ThreeLevelMemory(file, Capacities(150, 300, 500), count_tokens=count_words, background=False) as memory:
        ids = [m.id for m in memory.messages(session="all")]
        assert sorted(ids) == sorted(f"{name}-{number}" for name in range(10) for number in range(12))
        assert memory.catch_up(300) == 0
        explained(memory)
        facts = memory.facts()
        assert len(facts) == len({fact.source_id for fact in facts}) == 120


def test_many_threads_share_one_memory(make: MakeMemory) -> None:
    memory, failures = make(background=True), []

    def share(name: int) -> None:
        try:
            for number in range(10):
                memory.add("user", f"thing{name}x{number}", id=f"{name}-{number}", session=f"s{name % 2}")
                assert memory.search(f"thing{name}x{number}", session=f"s{name % 2}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread must hear of it
            failures.append(error)

    threads = [threading.Thread(target=share, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert memory.stats().num_messages == 60
    places = [[m.place for m in memory.messages(session=session)] for session in ("s0", "s1")]
    assert places == [list(range(1, 31))] * 2


def test_after_a_fork_parent_and_child_both_go_on(tmp_path: Path) -> None:
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from interconnected_ai.memory import ThreeLevelMemory
        memory = ThreeLevelMemory(sys.argv[1])
        memory.add("user", "before", id="before"); memory.search("before")
        child = os.fork()
        for number in range(20):
            memory.add("user", f"mine {number}", id=f"{'parent' if child else 'child'}-{number}")
        if child:
            assert os.waitpid(child, 0)[1] == 0
            memory.catch_up(); print(memory.stats().num_messages)
        else:
            os._exit(0)
    """
    done = python(program, str(tmp_path / "memory.db"))
    said = done.communicate(timeout=60)
    assert (done.returncode, said[0]) == (0, "41\n"), said[1]
