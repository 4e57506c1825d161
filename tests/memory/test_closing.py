"""A closed memory serves no call, holds no file and no thread, whoever closes it and whatever runs meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import ClosedError
from interconnected_ai.memory import Capacities, ThreeLevelMemory
from memory_stores import MakeMemory, count_words, hashed, message_of

CALLS: dict[str, Callable[[ThreeLevelMemory, Path], Any]] = {
    "add": lambda memory, folder: memory.add("user", "alpha"),
    "pin": lambda memory, folder: memory.pin("alpha"),
    "forget": lambda memory, folder: memory.forget("alpha"),
    "forgettable": lambda memory, folder: memory.forgettable("alpha"),
    "rebuild": lambda memory, folder: memory.rebuild(),
    "context": lambda memory, folder: memory.context("alpha"),
    "search": lambda memory, folder: memory.search("alpha"),
    "why": lambda memory, folder: memory.why("alpha", "m0"),
    "facts": lambda memory, folder: memory.facts(),
    "set_fact": lambda memory, folder: memory.set_fact("city", "Riga"),
    "correct": lambda memory, folder: memory.correct(1, "Riga"),
    "retract": lambda memory, folder: memory.retract(1),
    "set_time_zone": lambda memory, folder: memory.set_time_zone("Europe/Riga"),
    "time_zone_of": lambda memory, folder: memory.time_zone_of(),
    "pins": lambda memory, folder: memory.pins(),
    "messages": lambda memory, folder: memory.messages(),
    "summaries": lambda memory, folder: memory.summaries(),
    "sessions": lambda memory, folder: memory.sessions(),
    "stats": lambda memory, folder: memory.stats(),
    "check": lambda memory, folder: memory.check(),
    "backup": lambda memory, folder: memory.backup(folder / "copy.db"),
    "export_jsonl": lambda memory, folder: memory.export_jsonl(folder / "out.jsonl"),
    "import_jsonl": lambda memory, folder: memory.import_jsonl(folder / "in.jsonl"),
    "add_messages": lambda memory, folder: memory.add_messages([{"role": "user", "content": "alpha"}]),
    "export_markdown": lambda memory, folder: memory.export_markdown(folder / "out.md"),
    "history": lambda memory, folder: memory.history("m0"),
    "find": lambda memory, folder: memory.find("m0"),
    "import_file": lambda memory, folder: memory.import_file(folder / "in.jsonl"),
    "catch_up": lambda memory, folder: memory.catch_up(),
    "__enter__": lambda memory, folder: memory.__enter__(),
}


def test_the_table_of_calls_names_every_public_one() -> None:
    public = {name for name in vars(ThreeLevelMemory) if not name.startswith("_")} | {"__enter__"}
    assert set(CALLS) == public - {"close"}


def test_after_close_every_public_call_says_that_it_was_closed(make: MakeMemory, tmp_path: Path) -> None:
    memory = make()
    memory.add("user", "alpha")
    (tmp_path / "in.jsonl").write_text('{"role": "user", "content": "x"}\n')
    messages = memory.messages()
    memory.close()
    memory.close()
    for name, call in CALLS.items():
        with pytest.raises(ClosedError, match=r"was closed; open it again with ThreeLevelMemory\(…\)"):
            print(name, call(memory, tmp_path))
    with pytest.raises(ClosedError):
        next(messages)
    for transaction in (memory.store.read, memory.store.write):
        with pytest.raises(ClosedError), transaction():
            pass
    with pytest.raises(ClosedError):
        memory.store.erase()
    assert not (tmp_path / "out.jsonl").exists()


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process has open."""
    links = (link for link in Path("/proc/self/fd").iterdir())
    targets = []
    for link in links:
        try:
            targets.append(str(link.readlink()))
        except OSError:  # the descriptor that lists them
            continue
    return [target for target in targets if target.startswith(str(folder))]


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("memory-")]


def test_close_lets_go_of_files_and_ends_its_thread(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    with ThreeLevelMemory(tmp_path / "memory.db", encode=hashed()) as memory:
        memory.add("user", "I live in Riga.")
        memory.search("Riga")
        together = threading.Barrier(4)

        def read() -> None:
            with memory.store.read() as rows:
                rows.one("SELECT count(*) FROM messages")
                together.wait(30)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(open_files(tmp_path)) > 4
        assert workers()
    assert open_files(tmp_path) == []
    assert workers() == []


def test_close_lets_go_of_the_servers_connections(postgres_server: str) -> None:
    import psycopg

    from memory_stores import own_schema

    address = own_schema(postgres_server) + "%20-capplication_name%3Dclosing"
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closing'"
    with psycopg.connect(postgres_server, autocommit=True) as watcher:
        with ThreeLevelMemory(address) as memory:
            memory.add("user", "I live in Riga.")
            memory.search("Riga")
            found = watcher.execute(count).fetchone()
            assert found is not None
            assert found[0] > 0
        for _ in range(1_000):  # the server notices a moment later
            found = watcher.execute(count).fetchone()
            if found == (0,):
                break
        assert found == (0,)


def test_a_transaction_that_is_open_at_close_ends_well_and_its_connection_is_closed_then(tmp_path: Path) -> None:
    memory = ThreeLevelMemory(tmp_path / "memory.db", background=False)
    memory.add("user", "alpha", id="a")
    inside, closing, seen = threading.Event(), threading.Event(), []

    def read() -> None:
        with memory.store.read() as rows:
            rows.one("SELECT count(*) FROM messages")
            inside.set()
            closing.wait(30)
            seen.append(rows.one("SELECT id FROM messages"))

    reader = threading.Thread(target=read)
    reader.start()
    assert inside.wait(30)
    closer = threading.Thread(target=memory.close)
    closer.start()
    closing.set()
    closer.join(30)
    reader.join(30)
    assert seen == [("a",)]
    assert open_files(tmp_path) == []


def test_calls_that_run_while_another_thread_closes_finish_or_say_that_it_was_closed(
    location: str, make: MakeMemory
) -> None:
    memory = make(capacities=Capacities(60, 100, 100), background=True, encode=hashed())
    added: list[str] = []
    others: list[Exception] = []
    busy = threading.Barrier(9)

    def use(name: int) -> None:
        busy.wait(30)
        try:
            for number in range(100_000):
                added.append(memory.add("user", f"I like thing{number}. " + message_of(number), id=f"{name}-{number}"))
                memory.search(f"thing{number}")
                memory.context("thing", budget_tokens=100)
                memory.facts()
                if number % 5 == 0:
                    memory.catch_up(0.01)
        except ClosedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread must hear of it
            others.append(error)

    threads = [threading.Thread(target=use, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    busy.wait(30)
    while len(added) < 20:
        assert not others, others
        threading.Event().wait(0.005)
    memory.close()
    for thread in threads:
        thread.join(60)
    assert not others, others
    assert not any(thread.is_alive() for thread in threads)
    again = make(capacities=Capacities(60, 100, 100), encode=hashed())
    assert set(added) <= {m.id for m in again.messages()}
    assert again.catch_up(300) == 0  # at once: nobody holds a job any more


def test_closing_ends_a_catch_up_elsewhere_and_its_job_is_free_at_once(location: str, make: MakeMemory) -> None:
    asked, release, said = threading.Event(), threading.Event(), []

    def hangs(text: str, *, max_tokens: int) -> str:
        asked.set()
        release.wait(60)
        return text

    memory = make(capacities=Capacities(50, 500, 500), summarize=hangs)
    for number in range(30):
        memory.add("user", f"On day {number} we decided to meet Anna at 15:{number:02}.")

    def catch_up() -> None:
        try:
            memory.catch_up()
        except ClosedError as error:
            said.append(error)

    working = threading.Thread(target=catch_up)
    working.start()
    assert asked.wait(30)
    memory.close()
    working.join(30)
    release.set()
    assert len(said) == 1
    again = make(capacities=Capacities(50, 500, 500))
    with again.store.read() as rows:
        assert rows.one("SELECT count(*) FROM jobs WHERE attempts > 0 AND error <> ''") == (0,)
    assert again.catch_up() == 0


def test_a_worker_stops_in_the_middle_of_a_long_job(tmp_path: Path) -> None:
    model, going = hashed(), threading.Event()

    def slow(texts: Any) -> Any:
        while going.is_set() and not memory._worker.is_stopped():  # all but the first texts come while it is closed
            threading.Event().wait(0.001)
        going.set()
        return model.passages(texts)

    from interconnected_ai.memory import VectorModel

    memory = ThreeLevelMemory(tmp_path / "memory.db", count_tokens=count_words, encode=VectorModel("slow", slow, slow))
    file = tmp_path / "in.jsonl"
    file.write_text("".join(f'{{"role": "user", "content": "{message_of(n)}"}}\n' for n in range(2_000)))
    memory.import_jsonl(file)
    assert going.wait(60)
    memory.close()
    with ThreeLevelMemory(tmp_path / "memory.db", count_tokens=count_words, background=False) as again:
        assert 0 < again.stats().num_vectors < 2_000
        with again.store.read() as rows:
            assert rows.all("SELECT kind, leased_until, attempts FROM jobs WHERE kind = 'embed'") == [("embed", 0.0, 0)]
