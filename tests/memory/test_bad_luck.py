"""What can go wrong: killed processes, many processes, full disks, foreign files, failing callables, monstrous messages."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError, DataError, FormatVersionError, NotAMemoryError, StorageError
from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory, VectorModel
from memory_stores import MakeMemory, count_words

SOURCE = Path(__file__).resolve().parents[2] / "src"


def python(program: str, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """A process of its own that runs a program."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def explained(memory: ThreeLevelMemory, user: str | None = None) -> None:
    """Every derived row comes from messages that are in the log, and the counts are those of the log."""
    for info in memory.sessions(user=user):
        scope = {"user": info.user, "session": info.session}
        log = {m.id: m for m in memory.messages(**scope)}
        places = sorted(m.place for m in log.values())
        stats = memory.stats(**scope)
        assert sum(level.num_tokens for level in stats) == sum(m.num_tokens for m in log.values())
        assert all(
            fact.source_id in log and fact.value in log[fact.source_id].content
            for fact in memory.facts(superseded=True, **scope)
        )
        for summary in memory.summaries(**scope):
            inside = [m for m in log.values() if summary.first_place <= m.place <= summary.last_place]
            assert inside
            said = " ".join(m.content for m in inside)
            assert all(word in said for word in summary.text.replace("…", " ").split())
        assert len(set(places)) == len(places)


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
        assert memory.catch_up(60) == 0
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
        assert memory.catch_up(60) == 0
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


# Jobs


def test_a_job_of_a_dead_process_is_taken_over_when_its_lease_is_over(tmp_path: Path) -> None:
    from interconnected_ai.memory.jobs import LEASE_SECONDS, finish, take, want

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "facts", 1)
        want(rows, "facts", 1)
    dead = take(store, "dead", ("facts",), now=1_000)
    assert dead is not None
    assert take(store, "living", ("facts",), now=1_001) is None
    living = take(store, "living", ("facts",), now=1_001 + LEASE_SECONDS)
    assert living is not None
    with store.write() as rows:
        assert not finish(rows, dead)  # it was not dead after all: its result comes too late
        assert finish(rows, living)
    assert take(store, "living", ("facts",), now=9_000) is None
    store.close()


def test_a_long_job_is_held_as_long_as_it_gets_on(tmp_path: Path) -> None:
    from interconnected_ai.memory.jobs import LEASE_SECONDS, renew, take, want

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "embed", 1)
    slow = take(store, "slow", ("embed",), now=1_000)
    assert slow is not None
    with store.write() as rows:
        assert renew(rows, slow, 1_000 + LEASE_SECONDS / 2)
    assert take(store, "other", ("embed",), now=1_001 + LEASE_SECONDS) is None
    assert take(store, "other", ("embed",), now=1_001 + 2 * LEASE_SECONDS) is not None
    with store.write() as rows:
        assert not renew(rows, slow, 2_000)
    store.close()


def test_a_job_that_was_wanted_again_while_it_ran_is_done_again(tmp_path: Path) -> None:
    from interconnected_ai.memory.jobs import finish, take, want

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "facts", 1)
    job = take(store, "worker", ("facts",), now=1_000)
    assert job is not None
    with store.write() as rows:
        want(rows, "facts", 1)
        assert not finish(rows, job)
    assert take(store, "worker", ("facts",), now=1_000) is not None
    store.close()


def test_adding_does_not_wait_for_the_summariser_and_a_hanging_one_is_replaced(tmp_path: Path) -> None:
    release, asked = threading.Event(), threading.Event()

    def hangs(text: str, *, max_tokens: int) -> str:
        asked.set()
        release.wait(30)
        return text

    memory = ThreeLevelMemory(
        SQLiteStore(tmp_path / "m.db", synchronous="OFF"),
        Capacities(50, 500, 500),
        count_tokens=count_words,
        summarize=hangs,
        summarize_timeout_seconds=0.2,
    )
    for number in range(30):
        memory.add("user", f"On day {number} we decided to meet Anna at 15:{number:02}.")
    assert asked.wait(20)
    memory.add("user", "added while it hangs", id="meanwhile")
    assert memory.context("hangs").source_ids[-1] == "meanwhile"
    assert memory.catch_up(30) == 0
    release.set()
    assert memory.summaries()
    assert {s.method for s in memory.summaries()} == {"extractive"}
    memory.close()


SUMMARISERS = {
    "empty": lambda text, max_tokens: "  ",
    "longer": lambda text, max_tokens: text + text,
    "greeting": lambda text, max_tokens: "Hello, how can I help you today?",
    "another language": lambda text, max_tokens: (
        "Люди встретились. " + " ".join(re.findall(r"[A-Z]\w+|\d+:\d+|\d+", text)[:3])
    ),
    "drops a number": lambda text, max_tokens: re.sub(r"\d+:\d+", "", GOOD(text, max_tokens=max_tokens)),
    "no text": lambda text, max_tokens: 7,
    "raises": lambda text, max_tokens: 1 / 0,
}


def GOOD(text: str, *, max_tokens: int) -> str:
    """Keeps every name, number and date, and little else."""
    return "They met " + ", ".join(dict.fromkeys(re.findall(r"(?<=meet )\w+ at \d+:\d+|(?<=day )\d+", text))) + "."


@pytest.mark.parametrize("name", SUMMARISERS)
def test_a_summary_that_cannot_stand_for_its_source_is_refused(make: MakeMemory, name: str) -> None:
    def summarize(text: str, *, max_tokens: int) -> Any:
        return SUMMARISERS[name](text, max_tokens)

    memory = make(capacities=Capacities(500, 2_000, 500), summarize=summarize)
    for number in range(60):
        memory.add(
            "user", f"Then on day {number} we decided to meet Anna at 15:{number:02}, and nothing else happened at all."
        )
    assert memory.catch_up() == 0
    assert {s.method for s in memory.summaries()} == {"extractive"}
    assert all("Anna" in s.text for s in memory.summaries())


def test_a_summary_that_holds_everything_is_taken(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(500, 2_000, 500), summarize=GOOD)
    for number in range(60):
        memory.add(
            "user", f"Then on day {number} we decided to meet Anna at 15:{number:02}, and nothing else happened at all."
        )
    memory.catch_up()
    assert {s.method for s in memory.summaries()} == {"summarize"}
    assert all(s.text.startswith("They met") for s in memory.summaries())


# Files


def test_a_file_that_is_no_memory_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("my notes " * 100)
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE theirs (x)")
    database.commit()
    database.close()
    before = {path: path.read_bytes() for path in (text, other)}
    for path, words in ((text, "not an SQLite file"), (other, "another program"), (tmp_path, "is a folder")):
        with pytest.raises(NotAMemoryError, match=words):
            ThreeLevelMemory(path)
    with pytest.raises(StorageError, match="make it first"):
        ThreeLevelMemory(tmp_path / "no" / "such" / "memory.db")
    with pytest.raises(ConfigError, match="unknown"):
        ThreeLevelMemory("mysql://host/db")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_a_newer_schema_is_refused(location: str, make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "x")
    with memory.store.write() as rows:
        rows.run("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        if "://" not in location:
            rows.run("PRAGMA user_version = 99")
    with pytest.raises(FormatVersionError, match="schema version 99"):
        ThreeLevelMemory(location)


def test_an_index_of_another_analyser_must_be_rebuilt_first(location: str, make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "Ёжики")
    with memory.store.write() as rows:
        rows.run("UPDATE meta SET value = 'older' WHERE name = 'analyzer'")
    again = make()
    for call in (lambda: again.add("user", "x"), lambda: again.search("x"), lambda: again.context("x")):
        with pytest.raises(FormatVersionError, match="iai memory rebuild"):
            call()
    assert [m.content for m in again.messages()] == ["Ёжики"]
    again.rebuild()
    assert again.search("ёжик")


def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    memory = ThreeLevelMemory(SQLiteStore(tmp_path / "m.db", synchronous="OFF"), background=False)
    store = memory.store
    assert isinstance(store, SQLiteStore)
    memory.add("user", "before", id="before")
    connection = store._writing_connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    added = ["before"]

    def fill() -> None:
        for number in range(100):
            memory.add("user", f"{number} " + "many words " * 400, id=str(number))
            added.append(str(number))

    with pytest.raises(StorageError, match="the disk is full; nothing of this was kept"):
        fill()
    assert [m.id for m in memory.messages()] == added
    assert memory.context("before").num_tokens
    connection.execute("PRAGMA max_page_count = 1000000")
    memory.add("user", "after", id="after")
    assert [m.id for m in memory.messages()] == [*added, "after"]
    memory.close()


READ_ONLY = """
    import os, sys
    from interconnected_ai.text import terms
    terms("what is imported late cannot be read by nobody, слово")
    from interconnected_ai.errors import StorageError
    from interconnected_ai.memory import ThreeLevelMemory
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    memory = ThreeLevelMemory(sys.argv[1])
    print(memory.search("alpha")[0].message.id)
    try:
        memory.add("user", "x")
    except StorageError as error:
        print(error)
"""


def test_a_read_only_file_can_be_searched_and_says_why_it_cannot_be_added_to(tmp_path: Path) -> None:
    import tempfile

    folder = Path(tempfile.mkdtemp())  # pytest's own folder lets nobody else in
    file = folder / "memory.db"
    with ThreeLevelMemory(file, background=False) as memory:
        memory.add("user", "alpha", id="found")
        memory.catch_up()
    file.chmod(0o444)
    folder.chmod(0o555)
    done = python(READ_ONLY, str(file), cwd="/")
    said, errors = done.communicate(timeout=60)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert done.returncode == 0, errors
    assert said.splitlines()[0] == "found"
    assert "is read-only: it can be searched, not added to" in said


def test_forgotten_words_stand_nowhere_in_the_files_bytes(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    memory = ThreeLevelMemory(
        file, Capacities(200, 300, 300), count_tokens=count_words, background=False, encode=hashed()
    )
    secrets = ["Zanzibar", "Мурманск", "4111-1111-1111-1111"]
    for number in range(60):
        memory.add("user", f"note {number}: nothing much happened today, we walked and talked", id=f"n{number}")
        if number % 12 == 0:
            memory.add(
                "user", f"I live in {secrets[0]}. Я родом из города {secrets[1]}. Card {secrets[2]}.", id=f"s{number}"
            )
    memory.pin("pin of Zanzibar", session="default")
    memory.catch_up()
    held = bytes_of(tmp_path)
    assert all(secret.encode() in held for secret in secrets)
    gone = memory.forget(containing="zanzibar")
    assert (gone.num_messages, gone.bytes_erased, gone.num_vectors) == (5, True, 5)
    memory.forget(pin=memory.pins()[0].number)
    memory.catch_up()
    held = bytes_of(tmp_path).lower()
    for trace in ("zanzibar", "мурманск", "мурман", "4111-1111", "4111_1111"):
        assert trace.encode() not in held
        assert trace.title().encode() not in bytes_of(tmp_path)
    memory.close()
    assert b"anziba" not in bytes_of(tmp_path)


def test_bytes_wait_for_a_reader_elsewhere_and_the_call_says_so(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    store = SQLiteStore(file)
    store.erase_seconds = 0.2
    memory = ThreeLevelMemory(store, background=False)
    memory.add("user", "Zanzibar", id="secret")
    memory.add("user", "else")
    reader = sqlite3.connect(file)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchone()
    assert memory.forget("secret").bytes_erased is False
    assert [m.content for m in memory.messages()] == ["else"]
    reader.close()
    assert memory.catch_up() == 0
    assert b"Zanzibar" not in bytes_of(tmp_path)
    memory.close()


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


# Vectors


def hashed(dimension: int = 64, name: str = "hashed") -> VectorModel:
    """Vectors by the words' hashes: enough for "the same words are near"."""
    import zlib

    import numpy as np

    def encode(texts: Sequence[str]) -> Any:
        rows = np.full((len(texts), dimension), 0.01)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % dimension] += 1
        return rows

    return VectorModel(name, encode, encode)


def test_vectors_join_the_search_users_first_and_survive_reopening(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("assistant", "red apples", id="a")
    memory.add("user", "green pears", id="b")
    assert memory.search("green pears")[0].legs == ("speech",)  # found before any vector exists
    memory.catch_up()
    assert memory.stats().num_vectors == 2
    assert memory.search("green pears")[0].legs == ("speech", "vectors")
    again = make(encode=hashed())
    again.add("user", "blue plums", id="c")
    again.catch_up()
    assert again.search("blue plums")[0].message.id == "c"
    assert again.search("red apples")[0].legs == ("replies", "vectors")
    memory.forget("b")
    assert "b" not in [f.message.id for f in again.search("green pears")]


def test_vectors_of_two_models_are_never_mixed(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("user", "green pears")
    memory.catch_up()
    with pytest.raises(ConfigError, match="'hashed', encode is 'other'"):
        make(encode=hashed(name="other"))
    plain = make()
    plain.rebuild()
    assert plain.stats().num_vectors == 0
    other = make(encode=hashed(8, "other"))
    other.catch_up()
    assert other.stats().num_vectors == 1
    with pytest.raises(ConfigError, match="encode is a lambda"):
        make(encode=lambda texts: texts)


@pytest.mark.parametrize("fault", ["raises", "shape", "strings", "nan", "ragged"])
def test_an_encode_that_fails_costs_the_vectors_and_nothing_else(
    make: MakeMemory, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    import numpy as np

    answers = {
        "raises": lambda n: 1 / 0,
        "shape": lambda n: np.zeros((n + 1, 4)),
        "strings": lambda n: ["x"] * n,
        "nan": lambda n: np.full((n, 4), np.nan),
        "ragged": lambda n: [[1.0], [1.0, 2.0]],
    }

    def encode(texts: Sequence[str]) -> Any:
        return answers[fault](len(texts))

    memory = make(encode=VectorModel("faulty", encode, encode))
    memory.add("user", "green pears", id="a")
    memory.add("user", "red apples", id="b")
    assert memory.catch_up() == 1
    assert "embed failed" in caplog.text
    assert memory.search("pears")[0].message.id == "a"
    assert memory.context("pears").source_ids == ("a", "b")


def test_a_model_that_fails_on_questions_alone_leaves_the_words(
    make: MakeMemory, caplog: pytest.LogCaptureFixture
) -> None:
    good = hashed()
    memory = make(encode=VectorModel("hashed", good.passages, lambda texts: [[1.0, 2.0]]))
    memory.add("user", "green pears", id="a")
    memory.catch_up()
    assert memory.search("pears")[0].legs == ("speech",)
    assert "the search goes on without vectors" in caplog.text


# Monsters


@pytest.mark.parametrize(
    "content",
    [
        "слово " * 180_000,
        "x" * 1_000_000,
        "Sentence number one. " * 50_000,
        "\x00\x01\x02" * 1000,
        "👩‍👩‍👧" * 20_000,
        "a\n" * 200_000,
    ],
    ids=["words", "one word", "sentences", "control", "emoji", "lines"],
)
def test_a_message_of_a_megabyte_is_kept_whole_and_stops_nothing(make: MakeMemory, content: str) -> None:
    memory = make(count_tokens=lambda text: len(text) // 4 + 1)
    memory.add("user", "before", id="before")
    memory.add("user", content, id="monster")
    memory.add("user", "after", id="after")
    found = memory.context("слово sentence", budget_tokens=1_000)
    assert found.num_tokens <= 1_000
    assert {"before", "after"} <= set(found.source_ids)
    assert memory.catch_up() == 0
    assert [m.content for m in memory.messages()] == ["before", content, "after"]
    assert sum(level.num_tokens for level in memory.stats()) == memory.stats().num_tokens


@pytest.mark.parametrize("returned", ["seven", -1, 1.5, None])
def test_a_token_counter_that_does_not_count_is_refused(make: MakeMemory, returned: Any) -> None:
    memory = make(count_tokens=lambda text: returned)
    with pytest.raises((DataError, TypeError)):
        memory.add("user", "x")


def test_errors_kept_with_jobs_are_told_in_stats(make: MakeMemory) -> None:
    memory = make(extract=lambda content: json.loads("{"))
    memory.add("user", "x")
    assert memory.catch_up() == 1
    with memory.store.read() as rows:
        assert rows.one("SELECT attempts FROM jobs")[0] == 1  # tried again later, not at once
