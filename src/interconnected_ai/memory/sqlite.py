"""A memory in one SQLite file: WAL, one writer at a time, FTS5 for the terms, NumPy for vectors."""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from interconnected_ai.errors import FormatVersionError, NotAMemoryError, StorageError
from interconnected_ai.memory.schema import SCHEMA_VERSION, SQLITE_TYPES, TABLES
from interconnected_ai.memory.store import Store

# Somebody else's whole `forget` of a large file fits in this.
BUSY_SECONDS = 60.0
_APPLICATION_ID = 0x49414D31  # "IAM1" in the file's header: `file` and we know it again
_PAGE_CACHE_KIB = 2048

# Terms carry their session in front, so a session's entries lie together and nothing of another one is read or counted.
_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(terms, tokenize = \"ascii tokenchars '_'\", detail = 'none')",
    """CREATE TABLE IF NOT EXISTS vectors (
        serial INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,
        data BLOB NOT NULL, UNIQUE (number, part))""",
    "CREATE INDEX IF NOT EXISTS vectors_by_session ON vectors (session, serial)",
)
_first = itemgetter(0)


class _Rows:
    """A connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> int:
        return self._connection.execute(sql, values).rowcount

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return found

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(sql, values)


class SQLiteStore(Store):
    """A store in the file `path`, made when it is absent. Safe for many threads and processes at once.

    synchronous: `FULL` makes what `add` has acknowledged survive a power cut; `NORMAL` leaves the last moments to the
    operating system, and is safe against killed processes all the same.
    Raises `NotAMemoryError` for a file that is something else, `FormatVersionError` for one of a newer version.
    """

    # How long `erase` waits for readers of other processes before it says that the bytes must wait.
    erase_seconds: float = 2.0

    def __init__(self, path: str | Path, *, synchronous: str = "FULL") -> None:
        self.location = str(path)
        self._synchronous = synchronous
        self._writing = threading.RLock()
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._writer: sqlite3.Connection | None = None
        self._read_only = False
        self._vectors: dict[int, Any] = {}
        self._vectors_lock = threading.Lock()
        try:
            with _refusals(self.location):
                self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[_Rows]:
        """See `Store`."""
        with self._writing, _refusals(self.location):
            connection = self._writing_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Rows(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[_Rows]:
        """See `Store`."""
        with _refusals(self.location):
            connection = self._take_reader()
            try:
                connection.execute("BEGIN")
                yield _Rows(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")  # nothing was written: this only ends the reading
                self._idle.append(connection)

    def lock(self, rows: Any, session: int) -> None:
        """See `Store`. Nothing to do: there is one writer at a time."""

    def add_terms(self, rows: Any, entries: Iterable[tuple[int, Sequence[str]]]) -> None:
        """See `Store`."""
        rows.many(
            "INSERT INTO search (rowid, terms) VALUES (?, ?)",
            ((entry, _marked(f"{entry >> 40}_", terms)) for entry, terms in entries),
        )

    def remove_terms(self, rows: Any, entries: Iterable[int]) -> None:
        """See `Store`."""
        rows.many("DELETE FROM search WHERE rowid = ?", ((entry,) for entry in entries))

    def clear_terms(self, rows: Any) -> None:
        """See `Store`."""
        rows.run("DELETE FROM search")

    def postings(self, rows: Any, session: int, terms: Sequence[str]) -> dict[str, list[int]]:
        """See `Store`."""
        mark, found = f"{session}_", {}
        for term in terms:
            entries = rows.all("SELECT doc FROM temp.instances WHERE term = ?", mark + term)
            if entries:
                found[term] = list(map(_first, entries))
        return found

    def vocabulary(self, rows: Any, session: int) -> Iterator[str]:
        """See `Store`."""
        mark = f"{session}_"
        for (term,) in rows.all("SELECT term FROM temp.vocabulary WHERE term >= ? AND term < ?", mark, f"{session}`"):
            yield term[len(mark) :]

    def put_vectors(self, rows: Any, session: int, vectors: Sequence[tuple[int, int, Any]]) -> None:
        """See `Store`."""
        from interconnected_ai.memory.vector_cache import packed  # NumPy, only where vectors are

        rows.many(
            "INSERT OR REPLACE INTO vectors (session, number, part, data) VALUES (?, ?, ?, ?)",
            ((session, number, part, packed(vector)) for number, part, vector in vectors),
        )

    def nearest(self, rows: Any, session: int, query: Any, limit: int) -> list[tuple[int, float]]:
        """See `Store`."""
        from interconnected_ai.memory.vector_cache import SessionVectors

        with self._vectors_lock:
            removals = rows.one("SELECT value FROM meta WHERE name = 'vector_removals'")
            number = int(removals[0]) if removals else 0
            known = self._vectors.get(session)
            if known is None or known.removals != number:
                known = self._vectors[session] = SessionVectors(number)
            known.read_new(rows, session)
            return known.nearest(query, limit)

    def erase(self) -> bool:
        """Copy what is alive into fresh pages, zero the rest, and cut the write-ahead log to nothing."""
        with self._writing, _refusals(self.location):
            connection = self._writing_connection()
            connection.execute("INSERT INTO search (search) VALUES ('optimize')")  # drops terms of deleted entries
            connection.execute("VACUUM")
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * self.erase_seconds)}")
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
            return not busy

    def file_bytes(self) -> int:
        """See `Store`."""
        files = (Path(self.location + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """See `Store`."""
        with self._writing:
            idle, self._idle = self._idle, []
            for connection in [*idle, *([self._writer] if self._writer else [])]:
                if self._process == os.getpid():
                    connection.close()
            self._writer = None

    def _prepare(self) -> None:
        path = Path(self.location)
        if path.is_dir():
            raise NotAMemoryError(f"{path} is a folder; a memory is one file, such as {path / 'memory.db'}")
        if not path.parent.is_dir():
            raise StorageError(f"no folder {path.parent} for the memory {path.name}; make it first")
        fresh = not path.exists() or path.stat().st_size == 0
        self._read_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        if not fresh:
            self._check_header(path)
            self._check_owner()
        if self._read_only:
            return
        connection = self._writing_connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._make_tables(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _check_header(self, path: Path) -> None:
        """Bytes 68 to 72 of an SQLite file are its application's mark: a foreign file is refused before it is opened."""
        with path.open("rb") as file:
            header = file.read(72)
        if not header.startswith(b"SQLite format 3\0"):
            raise NotAMemoryError(f"{path} is no memory: it is not an SQLite file; choose another name")
        if int.from_bytes(header[68:72], "big") not in (0, _APPLICATION_ID):
            raise NotAMemoryError(f"{path} is the SQLite file of another program; choose another name")

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        if mark != _APPLICATION_ID:
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            for statement in (*TABLES, *_INDEX):
                connection.execute(statement.format(**SQLITE_TYPES) if "{" in statement else statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))

    def _check_owner(self) -> None:
        """Look before anything is written: only a file of ours, or one without tables, becomes a memory."""
        connection = self._connect()
        try:
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
            (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
        if mark != _APPLICATION_ID and num_tables:
            raise NotAMemoryError(f"{self.location} is the SQLite file of another program; choose another name")
        if version > SCHEMA_VERSION:
            raise FormatVersionError(
                f"{self.location} has schema version {version}, this package reads up to {SCHEMA_VERSION}; "
                "upgrade interconnected-ai"
            )

    def _writing_connection(self) -> sqlite3.Connection:
        self._leave_the_parents_connections()
        if self._read_only:
            raise StorageError(
                f"{self.location} is read-only: it can be searched, not added to; make the file and its folder writable"
            )
        if self._writer is None:
            self._writer = self._connect()
            _switch_to_wal(self._writer)
            self._writer.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._writer.execute("PRAGMA secure_delete = ON")
        return self._writer

    def _take_reader(self) -> sqlite3.Connection:
        self._leave_the_parents_connections()
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            return connection

    def _connect(self) -> sqlite3.Connection:
        mode = self._read_only_mode() if self._read_only else "rwc"
        connection = sqlite3.connect(
            f"{Path(self.location).absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        for table, kind in (("instances", "instance"), ("vocabulary", "row")):
            connection.execute(f"CREATE VIRTUAL TABLE temp.{table} USING fts5vocab(main, search, {kind})")
        return connection

    def _read_only_mode(self) -> str:
        """Without a write-ahead log nobody is writing, and the file can be read where nothing can be written."""
        waiting = Path(self.location + "-wal")
        return "ro" if waiting.exists() and waiting.stat().st_size else "ro&immutable=1"

    def _leave_the_parents_connections(self) -> None:
        """After a fork, connections belong to the parent: using them here would damage the file."""
        if self._process != os.getpid():
            self._process, self._idle, self._writer = os.getpid(), [], None
            self._writing = threading.RLock()


def _marked(mark: str, terms: Sequence[str]) -> str:
    """Terms with their session in front, each once."""
    once = dict.fromkeys(terms)
    return mark + f" {mark}".join(once) if once else ""


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """WAL stays in the file; the first opener of many may find the others in the way, which no busy timeout covers."""
    import time

    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def _refusals(location: str) -> Iterator[None]:
    """SQLite's refusals in words that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        said = str(error)
        if "not a database" in said or "malformed" in said:
            raise NotAMemoryError(f"{location} is damaged or no memory ({said}); restore it from a copy") from error
        remedy = {
            "full": "the disk is full; nothing of this was kept and nothing else is lost: free some space, then try again",
            "readonly": "it is read-only; make the file and its folder writable",
            "locked": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again when it has finished",
            "unable to open": "it cannot be opened; check the path and the permissions",
        }
        why = next((words for key, words in remedy.items() if key in said), said)
        raise StorageError(f"{location}: {why} (SQLite says: {said})") from error
