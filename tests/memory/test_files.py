"""Foreign files, newer ones, full disks, read-only files, forgotten bytes."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError, FormatVersionError, NotAMemoryError, StorageError
from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.log import message_entry
from interconnected_ai.memory.postgres import _remedy
from interconnected_ai.memory.schema import SCHEMA_VERSION
from memory_stores import SMALL, MakeMemory, bytes_of, count_words, hashed, message_of, own_schema, python


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


def test_the_index_of_an_earlier_version_is_searched_at_once_and_made_anew_by_the_worker(make: MakeMemory) -> None:
    memory = make(capacities=SMALL)
    memory.add("user", "I live in Perm.", id="home")
    memory.add("user", "我的iPhone坏了", id="phone")
    for number in range(120):
        memory.add("user", message_of(number))
    memory.catch_up()
    whole = {query: [one.message.id for one in memory.search(query)] for query in ("iPhone", "n7x", "Perm")}
    with memory.store.write() as rows:  # as the first version of the analyser left it
        old = {"phone": ("r我的", "r的i"), "home": ("slive", "sperm")}
        for id, (number, num_words) in {
            id: rows.all("SELECT number, num_words FROM messages WHERE id = ?", id)[0] for id in old
        }.items():
            memory.store.remove_terms(rows, [message_entry(number, False, num_words)])
            memory.store.add_terms(rows, 1, [(message_entry(number, False, 1), old[id])])
            rows.run("UPDATE messages SET num_words = 1 WHERE number = ?", number)
            rows.run("UPDATE sessions SET num_words = num_words + ? WHERE number = ?", 1 - num_words, number >> 30)
        rows.run("UPDATE meta SET value = 'snowball+pymorphy3/1' WHERE name = 'analyzer'")
    again = make(capacities=SMALL)
    assert [one.message.id for one in again.search("Perm")] == ["home"]
    again.add("user", "I live in Perm.", id="again")
    assert [fact.value for fact in again.facts() if fact.relation == "lives in"] == ["Perm"]
    assert again.catch_up() == 0
    assert again.check().is_whole
    again.forget("again")
    assert {query: [one.message.id for one in again.search(query)] for query in whole} == whole
    assert [fact.value for fact in again.facts() if fact.relation == "lives in"] == ["Perm"]
    assert again.check().is_whole


def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    memory = ThreeLevelMemory(SQLiteStore(tmp_path / "m.db", synchronous="OFF"), background=False)
    store = memory.store
    assert isinstance(store, SQLiteStore)
    memory.add("user", "before", id="before")
    with store._writers.lend() as connection:
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
    with store._writers.lend() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    memory.add("user", "after", id="after")
    assert [m.id for m in memory.messages()] == [*added, "after"]
    memory.close()


READ_ONLY = """
    import os, sys, tempfile
    from interconnected_ai.memory import transfer
    from interconnected_ai.text import terms
    terms("what is imported late cannot be read by nobody, слово")
    from interconnected_ai.errors import StorageError
    from interconnected_ai.memory import ThreeLevelMemory
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    memory = ThreeLevelMemory(sys.argv[1])
    print(memory.search("alpha")[0].message.id)
    assert "alpha" in memory.context("alpha").text
    assert (memory.facts(), memory.pins(), memory.stats().num_messages) == ([], [], 1)
    with tempfile.TemporaryDirectory() as folder:
        assert memory.export_jsonl(f"{folder}/out.jsonl").num_messages == 1
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
    assert (gone.num_pins, memory.pins()) == (1, [])
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


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (sqlite3.SQLITE_FULL, StorageError, "the disk is full"),
        (sqlite3.SQLITE_READONLY, StorageError, "it is read-only"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StorageError, "it is read-only"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageError, "another process has been writing"),
        (sqlite3.SQLITE_LOCKED, StorageError, "another process has been writing"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StorageError, "cannot be opened"),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageError, "the disk does not read or write"),
        (sqlite3.SQLITE_NOTADB, NotAMemoryError, "damaged or no memory"),
        (sqlite3.SQLITE_CORRUPT_INDEX, NotAMemoryError, "damaged or no memory"),
        (sqlite3.SQLITE_MISUSE, StorageError, "it refuses this"),
    ],
)
def test_sqlites_refusals_are_told_by_their_codes_in_whatever_words_they_come(
    tmp_path: Path, code: int, error: type[Exception], words: str
) -> None:
    class Refusal(sqlite3.OperationalError):
        sqlite_errorcode = code

    with pytest.raises(error, match=words), SQLiteStore(tmp_path / "memory.db").read():
        raise Refusal("диск locked full readonly malformed")  # as in a translated build


def test_what_pythons_module_refuses_by_itself_has_no_code_and_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="it refuses this"), SQLiteStore(tmp_path / "memory.db").read() as rows:
        rows.one("SELECT ?")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "does not answer"),
        ("08006", "does not answer"),
        ("53100", "has no disk left"),
        ("53300", "has no room for this"),
        ("25006", "is read-only"),
        ("28P01", "does not let this user in"),
        ("3D000", "no database that is there"),
        ("40P01", "had another writer in the way"),
        ("57P01", "is shutting down"),
        ("42501", "does not allow"),
        ("54000", "does not hold a text"),
        ("57014", "was told to stop"),
        ("58030", "has trouble"),
        ("XX001", "is damaged"),
        ("42P01", "refuses this"),
    ],
)
def test_postgresqls_refusals_are_told_by_their_state(state: str | None, words: str) -> None:
    assert words in _remedy(state)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with ThreeLevelMemory(file, background=False) as memory:
        for number in range(200):
            memory.add("user", f"message number {number} about volcanoes")
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)
    with (
        pytest.raises(NotAMemoryError, match="restore it from a copy"),
        ThreeLevelMemory(file, background=False) as memory,
    ):
        memory.search("volcanoes")


def test_what_a_server_refuses_is_a_storage_error_that_names_it_and_the_next_call_works(postgres_server: str) -> None:
    with ThreeLevelMemory(own_schema(postgres_server), background=False) as memory:
        with (
            pytest.raises(StorageError, match=r"refuses this \(PostgreSQL says: .*nonsense"),
            memory.store.read() as rows,
        ):
            rows.all("SELECT nonsense")
        with pytest.raises(StorageError, match=r"is read-only.*says: "), memory.store.read() as rows:
            rows.run("DELETE FROM messages")
        memory.add("user", "mango", id="after")
        assert memory.search("mango")[0].message.id == "after"


def test_a_file_says_in_its_header_whose_it_is_and_of_which_version(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db", background=False):
        pass
    database = sqlite3.connect(tmp_path / "memory.db")
    assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert database.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"IAM1", "big"),)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)
    database.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_new_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
            memory.add("user", "alpha")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("memory.db", "memory.db-wal", "memory.db-shm"), 0o600)


def test_a_write_ahead_log_that_grew_beside_a_reader_is_cut_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interconnected_ai.memory.sqlite._MOST_WAL_BYTES", 2**20)
    log = tmp_path / "memory.db-wal"
    with ThreeLevelMemory(SQLiteStore(tmp_path / "memory.db", synchronous="OFF"), background=False) as memory:
        memory.add("user", "alpha")
        with memory.store.read() as rows:
            rows.one("SELECT count(*) FROM messages")
            for number in range(40):
                memory.add("user", f"{number} {'word ' * 40_000}")
        assert log.stat().st_size > 2**22
        memory.add("user", "beta")
        memory.add("user", "gamma")
        assert log.stat().st_size <= 2**20


def test_connections_that_a_server_cut_while_they_were_idle_are_made_anew(postgres_server: str) -> None:
    import psycopg

    with (
        ThreeLevelMemory(own_schema(postgres_server), background=False) as memory,
        psycopg.connect(postgres_server, autocommit=True) as other,
    ):
        uses = (
            lambda: memory.add("user", "mango", id="first"),
            lambda: memory.search("mango"),
            lambda: memory.forget("first"),
        )
        for use in uses:
            with memory.store.read() as one, memory.store.read() as another:
                cut = [rows.all("SELECT pg_backend_pid()")[0][0] for rows in (one, another)]
            assert len(set(cut)) == 2
            for process in cut:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", (process,))  # and waits until it is gone
            use()
        assert memory.stats().num_messages == 0
