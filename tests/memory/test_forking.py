"""After a fork parent and child both go on, whatever the parent's threads were at; or the child is told why not."""

import sqlite3
from pathlib import Path

from memory_stores import python

BUSY = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore")
    from interconnected_ai.memory import Capacities, ThreeLevelMemory
    memory = ThreeLevelMemory(sys.argv[1], Capacities(200, 400, 400))
    stopped, added = threading.Event(), [[] for _ in range(4)]

    def use(name):
        number = 0
        while not stopped.is_set():
            added[name].append(memory.add("user", f"I like thing{number}.", id=f"{name}-{number}"))
            memory.context("thing", budget_tokens=100)
            memory.search(f"thing{number}")
            number += 1

    threads = [threading.Thread(target=use, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(8):
        child = os.fork()
        if not child:
            signal.alarm(300)  # a child that waits for a lock of its parent dies of this
            memory.add("user", f"child {number}", id=f"child-{number}")
            assert memory.search(f"child {number}")[0].message.id == f"child-{number}"
            assert memory.context("thing").num_tokens
            memory.catch_up(0.1)
            memory.close()
            sys.exit(7) if number % 2 else os._exit(7)  # with the interpreter's cleaning up, and without
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stopped.set()
    for thread in threads:
        thread.join()
    assert codes == [7] * 8, codes
    there = {m.id for m in memory.messages()}
    assert there == {id for one in added for id in one} | {f"child-{number}" for number in range(8)}
    assert memory.catch_up(300) == 0
    memory.close()
    print("whole")
"""


def test_forks_while_threads_write_and_read_leave_parent_and_children_whole(location: str) -> None:
    done = python(BUSY, location)
    said, errors = done.communicate(timeout=240)
    assert (done.returncode, said) == (0, "whole\n"), errors
    assert "Traceback" not in errors
    if "://" not in location:
        database = sqlite3.connect(location)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()


HELD = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore")
    from interconnected_ai.errors import StorageError
    from interconnected_ai.memory import ThreeLevelMemory, forks
    forks.FORK_SECONDS = 0.1
    memory = ThreeLevelMemory(sys.argv[1], background=False)
    memory.add("user", "before", id="before")
    inside, forked = threading.Event(), threading.Event()

    def hold():
        with memory.store.write() as rows:
            rows.run("UPDATE sessions SET name = name")
            inside.set()
            forked.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(300)
        for use in (
            lambda: memory.add("user", "x"),
            lambda: memory.search("before"),
            lambda: ThreeLevelMemory(sys.argv[1]),
        ):
            try:
                use()
            except StorageError as error:
                print(error, flush=True)
        memory.close()
        sys.exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    forked.set()
    holder.join()
    memory.add("user", "after", id="after")
    assert code == 7, code
    print([m.id for m in memory.messages()])
    memory.close()
"""


def test_a_child_forked_while_a_thread_held_the_file_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    done = python(HELD, str(tmp_path / "memory.db"))
    said, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    *refusals, kept = said.splitlines()
    assert len(refusals) == 3
    assert all("when the process was forked" in one and "start the process anew" in one for one in refusals)
    assert kept == "['before', 'after']"


INSIDE = """
    import os, signal, sys, warnings
    warnings.simplefilter("ignore")
    from interconnected_ai.errors import StorageError
    from interconnected_ai.memory import ThreeLevelMemory
    memory = ThreeLevelMemory(sys.argv[1], background=False)
    memory.add("user", "before", id="before")
    try:
        with memory.store.write() as rows:
            rows.run("UPDATE messages SET role = 'parent'")
            child = os.fork()
            if not child:
                signal.alarm(300)
                rows.run("UPDATE messages SET role = 'child'")
    except StorageError as error:
        assert not child
        print(error, flush=True)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print([m.role for m in memory.messages()])
    memory.close()
"""


def test_a_fork_inside_a_transaction_leaves_it_to_the_parent(location: str) -> None:
    done = python(INSIDE, location)
    said, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    assert said.splitlines() == [
        "this process was forked inside a transaction of its parent, which is not for it to use",
        "['parent']",
    ]


IMPORTING = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore")
    from pathlib import Path
    from interconnected_ai.memory import ThreeLevelMemory, forks
    forks.FORK_SECONDS = 60
    Path("slow_to_import.py").write_text("import sys, time; sys.begun.set(); time.sleep(0.5)")
    sys.path.insert(0, os.getcwd())
    sys.begun = threading.Event()

    def count(text):
        import slow_to_import  # as stemmers, dictionaries and NumPy are when they are first needed
        return len(text.split())

    memory = ThreeLevelMemory(sys.argv[1], count_tokens=count, background=False)
    adding = threading.Thread(target=memory.add, args=("user", "from a thread"))
    adding.start()
    sys.begun.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(300)  # a child that waits for the lock of a half-imported module dies of this
        memory.add("user", "from the child")
        memory.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    adding.join()
    print(sorted(m.content for m in memory.messages()))
    memory.close()
"""


def test_a_fork_waits_for_what_a_call_of_another_thread_is_importing(location: str, tmp_path: Path) -> None:
    done = python(IMPORTING, location, cwd=tmp_path)
    said, errors = done.communicate(timeout=120)
    assert (done.returncode, said) == (0, "['from a thread', 'from the child']\n"), errors


CALLABLE = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore")
    from interconnected_ai.memory import ThreeLevelMemory
    codes = []

    def extract(text):
        child = os.fork()
        if not child:
            signal.alarm(300)
            return []  # the child goes on as if it were the worker, and comes to its end
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return []

    parent = os.getpid()
    memory = ThreeLevelMemory(sys.argv[1], extract=extract, background=False)
    memory.add("user", "hello")
    try:
        memory.catch_up()
    finally:
        if os.getpid() != parent:
            os._exit(7)
    print(codes)
    memory.close()
"""


def test_a_callable_that_forks_inside_a_job_leaves_a_child_that_ends(location: str) -> None:
    done = python(CALLABLE, location)
    said, errors = done.communicate(timeout=120)
    assert (done.returncode, said) == (0, "[7]\n"), errors
