"""kill -9 in the middle of an export, an import, a forgetting, a rebuild; two rebuilds at once."""

import json
import sqlite3
from pathlib import Path

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from memory_stores import bytes_of, count_words, explained, message_of, python

CAPACITIES = Capacities(120, 200, 300)
NUM_MESSAGES, NUM_SECRETS = 60, 5
NUM_KILLS = 9

# Moments are calls of Python functions and every fifty steps of SQLite, so a child dies at the same places on any machine.
MORTAL = """
    import os, shutil, signal, sys
    from pathlib import Path
    from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
    from interconnected_ai.memory import transfer
    from interconnected_ai.text import terms
    terms("what is imported late is imported before the first fork, слово")
    folder, verb, num_kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    passed = last = 0

    def moment(*_):
        global passed
        passed += 1
        if passed == last:
            os.kill(os.getpid(), signal.SIGKILL)

    class MortalStore(SQLiteStore):
        def _connect(self, mode):
            connection = super()._connect(mode)
            connection.set_progress_handler(moment, 50)
            return connection

    VERBS = {
        "export": lambda memory, own: memory.export_jsonl(own / "out.jsonl", overwrite=True),
        "import": lambda memory, own: memory.import_jsonl(folder / "log.jsonl"),
        "forget": lambda memory, own: memory.forget(containing="zanzibar"),
        "rebuild": lambda memory, own: memory.rebuild(),
    }

    def live(name):
        global passed
        own = folder / name
        shutil.copytree(folder / "prepared", own)
        store = MortalStore(own / "memory.db", synchronous="OFF")
        memory = ThreeLevelMemory(
            store, Capacities(120, 200, 300), count_tokens=lambda text: len(text.split()), background=False
        )
        passed = 0
        sys.setprofile(moment)
        VERBS[verb](memory, own)
        sys.setprofile(None)
        (folder / f"{name}.survived").write_text(str(passed))
        memory.close()

    def fate(name):
        child = os.fork()
        if not child:
            try:
                live(name)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert fate("undisturbed") == 0
    total = int((folder / "undisturbed.survived").read_text())
    for number in range(num_kills):
        last = total * (number + 1) // (num_kills + 1) if number else total - 1
        assert fate(f"killed{number}") == -signal.SIGKILL, (number, last, total)
    print(total)
"""


def opened(file: Path, capacities: Capacities = CAPACITIES) -> ThreeLevelMemory:
    store = SQLiteStore(file, synchronous="OFF")
    return ThreeLevelMemory(store, capacities, count_tokens=count_words, background=False)


def fill(memory: ThreeLevelMemory) -> None:
    for number in range(NUM_MESSAGES):
        memory.add("user", f"I like thing{number}x. {message_of(number)}", id=f"m{number}", time=number)
        if number % (NUM_MESSAGES // NUM_SECRETS) == 0:
            memory.add("user", "I live in Zanzibar.", id=f"s{number}", time=number)
    memory.catch_up()


def state(memory: ThreeLevelMemory) -> tuple[object, ...]:
    """The log and all that is made of it, with no numbers of rows."""
    return (
        [(m.id, m.place, m.content) for m in memory.messages()],
        [(s.level, s.first_place, s.last_place, s.text) for s in memory.summaries()],
        [(f.relation, f.value, f.source_id, f.superseded_by is None) for f in memory.facts(superseded=True)],
        [(f.message.id, f.score) for f in memory.search("thing7x charlie")],
        [str(level) for level in memory.stats()],
    )


def killed_in(tmp_path: Path, verb: str, *, is_empty: bool = False, old_export: bytes | None = None) -> list[Path]:
    """Folders in which a process was killed in the middle of the verb, each with a sound database."""
    (tmp_path / "prepared").mkdir()
    if old_export is not None:
        (tmp_path / "prepared" / "out.jsonl").write_bytes(old_export)
    with opened(tmp_path / "prepared" / "memory.db") as memory:
        if not is_empty:
            fill(memory)
    done = python(MORTAL, str(tmp_path), verb, str(NUM_KILLS))
    said, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    assert int(said) > 20 * NUM_KILLS
    folders = [tmp_path / f"killed{number}" for number in range(NUM_KILLS)]
    for folder in folders:
        database = sqlite3.connect(folder / "memory.db")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    return folders


def state_in(folder: Path) -> tuple[object, ...]:
    with opened(folder / "memory.db") as memory:
        return state(memory)


def test_an_export_that_is_killed_leaves_a_whole_file_or_none_and_the_memory_as_it_was(tmp_path: Path) -> None:
    folders = killed_in(tmp_path, "export")
    whole = (tmp_path / "undisturbed" / "out.jsonl").read_bytes()
    assert whole.count(b"\n") == NUM_MESSAGES + NUM_SECRETS
    as_prepared = state_in(tmp_path / "prepared")
    for folder in folders:
        file = folder / "out.jsonl"
        assert not file.exists() or file.read_bytes() == whole
        assert state_in(folder) == as_prepared
        with opened(folder / "memory.db") as memory:
            memory.export_jsonl(file, overwrite=True)
        assert file.read_bytes() == whole
        assert {path.name for path in folder.iterdir()} == {"memory.db", "out.jsonl"}


def test_an_export_that_is_killed_leaves_the_file_of_before_or_the_new_one(tmp_path: Path) -> None:
    before = b"what was exported before\n"
    found = {(folder / "out.jsonl").read_bytes() for folder in killed_in(tmp_path, "export", old_export=before)}
    assert before in found
    assert found <= {before, (tmp_path / "undisturbed" / "out.jsonl").read_bytes()}


def test_an_import_that_is_killed_has_added_the_first_rows_and_goes_on_from_there(tmp_path: Path) -> None:
    rows = [
        {"role": "user", "content": f"I like thing{number}x. {message_of(number)}", "id": f"m{number}", "time": number}
        for number in range(500)
    ]
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    numbers_there = set()
    for folder in killed_in(tmp_path, "import", is_empty=True):
        with opened(folder / "memory.db") as memory:
            there = [m.id for info in memory.sessions() for m in memory.messages(session=info.session)]
            assert there == [row["id"] for row in rows[: len(there)]]
            numbers_there.add(len(there))
            moved = memory.import_jsonl(file)
            assert (moved.num_messages, moved.num_present) == (500 - len(there), len(there))
            assert [(m.id, m.content) for m in memory.messages()] == [(row["id"], row["content"]) for row in rows]
    assert len(numbers_there) > 2  # some died in the middle
    with opened(folder / "memory.db") as memory:
        assert memory.catch_up(300) == 0
        explained(memory)


def test_a_forgetting_that_is_killed_took_all_or_nothing_and_the_bytes_go_with_the_next_work(tmp_path: Path) -> None:
    folders = killed_in(tmp_path, "forget")
    nums_left = set()
    for folder in folders:
        with opened(folder / "memory.db") as memory:
            secrets = [m.id for m in memory.messages() if "Zanzibar" in m.content]
            nums_left.add(len(secrets))
            assert memory.stats().num_messages == NUM_MESSAGES + len(secrets)
            assert memory.catch_up() == 0
            explained(memory)
            if not secrets:
                assert memory.search("Zanzibar") == []
                assert memory.facts("Zanzibar", superseded=True) == []
        assert secrets or b"anzibar" not in bytes_of(folder)
    assert nums_left == {0, NUM_SECRETS}


def test_a_rebuild_that_is_killed_leaves_what_stood_there_or_all_of_the_new(tmp_path: Path) -> None:
    folders = killed_in(tmp_path, "rebuild")
    as_prepared = state_in(tmp_path / "prepared")
    for folder in folders:
        with opened(folder / "memory.db") as memory:
            assert [m.id for m in memory.messages()] == [id for id, *_ in as_prepared[0]]  # type: ignore[attr-defined]
            assert memory.search("thing7x")[0].message.id == "m7"
            memory.catch_up()
            assert state(memory) == as_prepared


# Which summaries are merged follows from when each was made, and two who catch up at once make them in any order.
UNMERGED = Capacities(120, 200, 10_000)

REBUILDER = """
    import sys
    from interconnected_ai.memory import Capacities, ThreeLevelMemory
    file, num_rounds, catches_up = sys.argv[1:]
    memory = ThreeLevelMemory(
        file, Capacities(120, 200, 10_000), count_tokens=lambda text: len(text.split()), background=False
    )
    for _ in range(int(num_rounds)):
        assert memory.rebuild() == 65
        print("rebuilt", flush=True)
    if catches_up == "yes":
        memory.catch_up()
    memory.close()
"""


def test_two_rebuilds_at_once_give_what_one_gives(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with opened(file, UNMERGED) as memory:
        fill(memory)
        before = state(memory)
    both = [python(REBUILDER, str(file), "4", "yes") for _ in range(2)]
    said = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    with opened(file, UNMERGED) as memory:
        assert memory.stats().num_jobs == 0
        assert state(memory) == before


def test_a_rebuild_goes_on_though_another_one_beside_it_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with opened(file, UNMERGED) as memory:
        fill(memory)
        before = state(memory)
    doomed, living = python(REBUILDER, str(file), "1000000", "no"), python(REBUILDER, str(file), "4", "no")
    assert doomed.stdout is not None
    assert [doomed.stdout.readline() for _ in range(3)] == ["rebuilt\n"] * 3
    doomed.kill()
    doomed.communicate()
    said = living.communicate(timeout=300)
    assert living.returncode == 0, said
    with opened(file, UNMERGED) as memory:
        memory.catch_up()
        assert state(memory) == before
