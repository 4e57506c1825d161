"""A memory in one SQLite file: WAL, one writer at a time, FTS5 for the terms, NumPy for vectors."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from interconnected_ai.errors import ConfigError, FormatVersionError, NotAMemoryError, StorageError
from interconnected_ai.memory.connections import Connections
from interconnected_ai.memory.engines import Engine, code_of, engine_of, errors, is_plain
from interconnected_ai.memory.numbering import Kind, entry_of, number_of
from interconnected_ai.memory.schema import (
    LATER_COLUMNS,
    LATER_INDEXES,
    LATER_TABLES,
    SCHEMA_VERSION,
    SQLITE_TYPES,
    TABLES,
)
from interconnected_ai.memory.store import OUTLINE_COLUMNS, Outline, Rows, Store, as_vocabulary

if TYPE_CHECKING:
    from interconnected_ai.memory.vector_cache import VectorCache

# Somebody else's whole `forget` of a large file fits in this.
BUSY_SECONDS = 60.0
_APPLICATION_ID = 0x49414D31  # "IAM1" in the file's header: `file` and we know it again
_PAGE_CACHE_KIB = 2048
# A write-ahead log that grew while somebody read, or by a large import, is cut to this when it begins anew.
_MOST_WAL_BYTES = 16 * 2**20
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

# Terms carry their owner in front (see `scope`), so that nothing of another user is read or counted.
_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(terms, tokenize = \"ascii tokenchars '_'\", detail = 'none')",
    """CREATE TABLE IF NOT EXISTS vectors (
        serial INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,
        data BLOB NOT NULL, UNIQUE (number, part))""",
    "CREATE INDEX IF NOT EXISTS vectors_by_session ON vectors (session, serial)",
)
# What is known of messages without their words, beside which it would be read page by page. SQLite must be told to use it.
_OUTLINES = "messages_in_outline"
# All terms that stand in the index but dictionary forms, which have their stems beside them. FTS5 lists them as well, but walks
# all postings for that.
_WORDS = "words"
_WORDS_TABLE = (
    f"CREATE TABLE {_WORDS} (owner INTEGER NOT NULL, kind TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (owner, kind, word)) "
    "WITHOUT ROWID"
)
_NO_WORD = "l"  # the first letter of a dictionary form
_MOST_SEGMENTS = 8  # of the index, before they are put together
_PAGES_AT_ONCE = 64
_first = itemgetter(0)

# Files that a parent's threads were at when this process was forked. SQLite knows the locks of a file by process, so here it
# would take the parent's for ours, and wait for ever or read what is being written.
_left_open: set[tuple[int, int]] = set()
# Stores of this process that are not closed. Two SQLite libraries in one process do not see each other's locks. And whoever
# opens a store's file by itself and closes it gives up the locks that SQLite holds on it in this process (POSIX; 2.2 of
# https://www.sqlite.org/howtocorrupt.html): another process would take itself for the last one, and delete the write-ahead log
# under those that go on writing to it.
_open_here: "WeakSet[SQLiteStore]" = WeakSet()


class _Rows:
    """A connection inside a transaction, for the process that began it."""

    def __init__(self, connection: sqlite3.Connection, thousandths: str = "thousandths") -> None:
        self._connection, self._process = connection, os.getpid()
        self.thousandths = thousandths

    def run(self, sql: str, *values: Any) -> int:
        return self._mine().execute(sql, values).rowcount

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._mine().execute(sql, values).fetchall()

    def column(self, sql: str, *values: Any) -> list[Any]:
        return list(map(_first, self._mine().execute(sql, values)))

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._mine().execute(sql, values).fetchone()
        return found

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self._mine().executemany(sql, values)

    def roll_back(self) -> None:
        """End the transaction as if it had not been; a child leaves its parent's alone."""
        if self._process == os.getpid() and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _mine(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            raise StorageError("this process was forked inside a transaction of its parent, which is not for it to use")
        return self._connection


class SQLiteStore(Store):
    """A store in the file `path`, made when it is absent.

    synchronous: `FULL` makes what `add` has acknowledged survive a power cut; `NORMAL` leaves the last moments to the
    operating system, and is safe against killed processes all the same. vector_bytes: how much memory the vectors of the
    sessions searched last may take; those of others are read anew. busy_seconds: how long another process's writing is waited
    for before it is a `StorageError`. key: of a file that is encrypted with SQLCipher.
    Raises `ConfigError` for a key that does not open the file.
    Raises `NotAMemoryError` for a file that is something else, `FormatVersionError` for one of a newer version.
    """

    # How long `erase` waits for readers of other processes before it says that the bytes must wait.
    erase_seconds: float = 2.0

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        vector_bytes: int = 2**28,
        busy_seconds: float = BUSY_SECONDS,
        key: str | None = None,
    ) -> None:
        if synchronous not in _SYNCHRONOUS:
            raise ConfigError(f"synchronous={synchronous!r}: known are {', '.join(_SYNCHRONOUS)}")
        if vector_bytes < 0:
            raise ConfigError(f"vector_bytes={vector_bytes}: needed is a number of bytes from 0")
        if not busy_seconds > 0:
            raise ConfigError(f"busy_seconds={busy_seconds}: needed is a number of seconds above 0")
        if str(path).startswith((":memory:", "file:")):
            raise ConfigError(
                f"{path}: a memory is a file, which is named by its path; for one that does not last, a temporary file"
            )
        self.location = os.path.expanduser(path)
        self._synchronous, self._vector_bytes, self._busy_seconds = synchronous, vector_bytes, busy_seconds
        self.engine = engine_of(key)
        for other in stores_here(Path(self.location)):
            self.engine.take_salt(self.location, other.engine, other.location)
        self._read_only = False
        self._names: tuple[int, frozenset[str]] = (0, frozenset())
        self._thousandths = "thousandths"
        self._vectors: VectorCache | None = None
        _open_here.add(self)
        self._file: tuple[int, int] | None = None
        self._readers = Connections(
            self.location, self._connect_reader, _close, is_sound=_is_idle, left_open=self._leave
        )
        self._writers = Connections(
            self.location,
            self._connect_writer,
            _close,
            is_sound=_is_idle,
            most=1,
            left_open=self._leave,
        )
        try:
            with refusals(self.location, self._busy_seconds):
                self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def is_writable(self) -> bool:
        """See `Store`."""
        return not self._read_only

    @contextmanager
    def write(self) -> Iterator[_Rows]:
        """See `Store`."""
        with refusals(self.location, self._busy_seconds):
            self._require_writable()
            with self._writers.lend() as connection:
                rows = _Rows(connection)
                rows.run("BEGIN IMMEDIATE")
                try:
                    self._require_there()
                    yield rows
                    rows.run("COMMIT")
                except BaseException:
                    rows.roll_back()
                    raise

    @contextmanager
    def read(self) -> Iterator[_Rows]:
        """See `Store`."""
        with refusals(self.location, self._busy_seconds), self._readers.lend() as connection:
            rows = _Rows(connection, self._thousandths)
            try:
                rows.run("BEGIN")
                self._require_there()
                yield rows
            finally:
                rows.roll_back()  # nothing was written: this only ends the reading

    def lock_all(self, rows: Any) -> None:
        """See `Store`. Nothing to do: there is one writer at a time."""

    def lock(self, rows: Any, session: int) -> bool:
        """See `Store`. Nothing to do: there is one writer at a time, and it saw the session."""
        return True

    def lock_user(self, rows: Any, user: str) -> None:
        """See `Store`. Nothing to do: there is one writer at a time."""

    def add_terms(self, rows: Any, owner: int, entries: Iterable[tuple[int, Sequence[str]]]) -> None:
        """See `Store`."""
        entries = list(entries)
        rows.many(
            "INSERT INTO search (rowid, terms) VALUES (?, ?)",
            ((entry, _marked(f"{owner}_", terms)) for entry, terms in entries),
        )
        self._note_words(rows, owner, chain.from_iterable(terms for _, terms in entries))

    def move_terms(self, rows: Any, session: int, old_owner: int, owner: int) -> None:
        """See `Store`."""
        first, end = (
            entry_of(number_of(session, 0), Kind.SPEECH, 0),
            entry_of(number_of(session + 1, 0), Kind.SPEECH, 0),
        )
        old, mark = len(f"{old_owner}_"), f"{owner}_"
        entries = [
            (entry, [term[old:] for term in terms.split()])
            for entry, terms in rows.all("SELECT rowid, terms FROM search WHERE rowid >= ? AND rowid < ?", first, end)
        ]
        rows.many("UPDATE search SET terms = ? WHERE rowid = ?", ((_marked(mark, terms), n) for n, terms in entries))
        moved = {term for _, terms in entries for term in terms}
        self._note_words(rows, owner, moved)
        self._drop_words(rows, {(old_owner, term) for term in moved})

    def renumber_terms(self, rows: Any, moves: Sequence[tuple[int, int]]) -> None:
        """See `Store`."""
        rows.many("UPDATE search SET rowid = ? WHERE rowid = ?", ((-new, old) for old, new in moves))
        rows.many("UPDATE search SET rowid = ? WHERE rowid = ?", ((new, -new) for _, new in moves))

    def remove_terms(self, rows: Any, entries: Iterable[int]) -> None:
        """See `Store`."""
        entries = list(entries)
        gone = set()
        for entry in entries:
            for terms in rows.column("SELECT terms FROM search WHERE rowid = ?", entry):
                gone.update(terms.split())
        rows.many("DELETE FROM search WHERE rowid = ?", ((entry,) for entry in entries))
        marked = (term.split("_", 1) for term in gone)
        self._drop_words(rows, {(int(owner), term) for owner, term in marked})

    def clear_terms(self, rows: Any) -> None:
        """See `Store`."""
        rows.run("DELETE FROM search")
        if self._has(rows, _WORDS):
            rows.run(f"DELETE FROM {_WORDS}")

    def postings(self, rows: Any, owner: int, terms: Sequence[str]) -> dict[str, list[int]]:
        """See `Store`."""
        mark, found = f"{owner}_", {}
        for term in terms:  # quoted: a word of FTS5's language is a word
            entries = rows.column("SELECT rowid FROM search WHERE search MATCH ?", f'"{mark}{term}"')
            if entries:
                found[term] = entries
        return found

    def vocabulary(self, rows: Any, owner: int) -> dict[str, str]:
        """See `Store`. A file of an earlier version has no list of words, if it cannot be written, or was restored just now."""
        if not self._has(rows, _WORDS):
            mark = f"{owner}_"
            query = "SELECT term FROM temp.vocabulary WHERE term >= ? AND term < ?"
            return as_vocabulary(term[len(mark) :] for term in rows.column(query, mark, f"{owner}`"))
        found = rows.all(
            f"SELECT kind, char(10) || group_concat(word, char(10)) || char(10) FROM {_WORDS} WHERE owner = ? GROUP BY kind",
            owner,
        )
        return dict(found)

    def outlines(self, rows: Any, numbers: Sequence[int], most_tokens: int | None = None) -> dict[int, Outline]:
        """See `Store`. Messages lie far apart, a thousand of them on as many pages: their index without words is small.

        A file of an earlier version lacks it, if it cannot be written, or was restored under those who have it open.
        """
        hint = f"INDEXED BY {_OUTLINES}" if self._has(rows, _OUTLINES) else ""
        # one list is a third faster than hundreds of values
        query = (
            f"SELECT {OUTLINE_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN messages {hint} ON number = wanted.value"
        )
        listed = str(sorted(set(numbers)))
        if most_tokens is None:
            found = rows.all(query, listed)
        else:
            found = rows.all(f"{query} WHERE num_tokens <= ?", listed, most_tokens)
        return {outline[0]: outline for outline in found}

    def put_vectors(self, rows: Any, session: int, vectors: Sequence[tuple[int, int, Any]]) -> None:
        """See `Store`."""
        from interconnected_ai.memory.vector_cache import packed  # NumPy, only where vectors are

        rows.many(
            "INSERT OR REPLACE INTO vectors (session, number, part, data) VALUES (?, ?, ?, ?)",
            ((session, number, part, packed(vector)) for number, part, vector in vectors),
        )

    def nearest(self, rows: Any, sessions: Sequence[int], query: Any, limit: int) -> list[tuple[int, float]]:
        """See `Store`."""
        if self._vectors is None:
            from interconnected_ai.memory.vector_cache import VectorCache

            self._vectors = VectorCache(self._vector_bytes)
        return self._vectors.nearest(rows, sessions, query, limit)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads and is in no transaction, for what SQLite itself does with a whole file."""
        with refusals(self.location, self._busy_seconds), self._readers.lend() as connection:
            yield connection

    def faults(self, rows: Any) -> list[str]:
        """See `Store`."""
        try:
            found = [words for (words,) in rows.all("PRAGMA integrity_check(20)") if words != "ok"]
        except errors() as error:
            if code_of(error) not in _DAMAGED:
                raise
            return [str(error)]  # so damaged that looking ends there
        if self.engine.is_encrypted:  # pages whose signature is not of this key
            found += [words for (words,) in rows.all("PRAGMA cipher_integrity_check")]
        # some versions write to look through FTS5's index, which a reader may not
        return [words for words in found if "readonly database" not in words]

    def entries(self, rows: Any) -> Iterator[int]:
        """See `Store`."""
        return (entry for (entry,) in rows.all("SELECT rowid FROM search"))

    def is_scattered(self, rows: Any) -> bool:
        """See `Store`. Every transaction adds a segment, in which every term is looked up; FTS5 lets 15 of a size be."""
        sizes = _segments(rows)
        return sizes.count(1) > _MOST_SEGMENTS or (len(sizes) > _MOST_SEGMENTS and _is_in_parts(sizes))

    def gather(self, rows: Any, *, is_first: bool) -> bool:
        """See `Store`. FTS5's `merge`: by a negative number it takes all segments, else those of one size; done where it
        changes nothing. All are taken when a quarter lies outside of the largest, so that no page is written anew often."""
        changes = "SELECT total_changes()"
        (before,) = rows.column(changes)
        pages = -_PAGES_AT_ONCE if is_first and _is_in_parts(_segments(rows)) else _PAGES_AT_ONCE
        rows.run("INSERT INTO search (search, rank) VALUES ('merge', ?)", pages)
        (after,) = rows.column(changes)
        return bool(after - before > 1)  # the INSERT itself is one

    def unexplained(self, rows: Any) -> list[str]:
        """See `Store`. The list of words against the index."""
        if not self._has(rows, _WORDS):
            return []
        listed = set(rows.all(f"SELECT owner, kind, word FROM {_WORDS}"))
        found = set(_words_of(rows.column("SELECT term FROM temp.vocabulary")))
        missing, extra = len(found - listed), len(listed - found)
        return [
            *([f"the list of words lacks {missing} that stand in the index"] if missing else []),
            *([f"the list of words has {extra} that do not stand in the index"] if extra else []),
        ]

    def erase(self) -> bool:
        """Copy what is alive into fresh pages, zero the rest, and cut the write-ahead log to nothing."""
        self._require_writable()
        with refusals(self.location, self._busy_seconds), self._writers.lend() as connection:
            self._require_there()
            connection.execute("INSERT INTO search (search) VALUES ('optimize')")  # drops terms of deleted entries
            connection.execute("VACUUM")
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * self.erase_seconds)}")
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(1000 * self._busy_seconds)}")
            return not busy

    def file_bytes(self, rows: Any) -> int:
        """See `Store`."""
        files = (Path(self.location + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def cached_vector_bytes(self) -> int:
        """See `Store`."""
        return self._vectors.num_bytes if self._vectors is not None else 0

    def close(self) -> None:
        """See `Store`."""
        self._readers.close()
        self._writers.close()
        self._vectors = None
        _open_here.discard(self)

    def _prepare(self) -> None:
        path = Path(self.location)
        if path.is_dir():
            raise NotAMemoryError(f"{path} is a folder; a memory is one file, such as {path / 'memory.db'}")
        if path.exists() and not path.is_file():
            raise NotAMemoryError(f"{path} is no file but a device or the like; choose another name")
        if not path.parent.is_dir():
            raise StorageError(f"no folder {path.parent} for the memory {path.name}; make it first")
        fresh = not path.exists() or path.stat().st_size == 0
        self._read_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        if not fresh:
            require_ours(path, self.engine, opener=self)
            self._check_owner()
        if self._read_only:
            with self.read() as rows:
                if not _has_column(rows, "messages", "thousandths"):
                    self._thousandths = "NULL"
            return
        if fresh:
            make_private(path)
        try:
            with self.write() as rows:
                self._make_tables(rows)
        except ConfigError:
            if not fresh:
                raise
            self.engine.forget_salts()  # another process made the file first, with a salt of its own
            with self.write() as rows:
                self._make_tables(rows)

    def _make_tables(self, rows: _Rows) -> None:
        if rows.one("PRAGMA application_id") != (_APPLICATION_ID,):
            rows.run(f"PRAGMA application_id = {_APPLICATION_ID}")
            for statement in (*TABLES, *_INDEX):
                rows.run(statement.format(**SQLITE_TYPES) if "{" in statement else statement)
            rows.run(f"PRAGMA user_version = {SCHEMA_VERSION}")
            rows.run("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", str(SCHEMA_VERSION))
        elif rows.one("PRAGMA user_version") != (SCHEMA_VERSION,):  # `migration` does the rest, as `meta` tells it to
            rows.run(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in LATER_TABLES:
            rows.run(statement.format(**SQLITE_TYPES))
        for table, column, kind in LATER_COLUMNS:
            if not _has_column(rows, table, column):
                rows.run(f"ALTER TABLE {table} ADD COLUMN {column} {kind.format(**SQLITE_TYPES)}")
        for statement in LATER_INDEXES:
            rows.run(statement)
        rows.run(f"CREATE INDEX IF NOT EXISTS {_OUTLINES} ON messages ({OUTLINE_COLUMNS})")
        if not self._has(rows, _WORDS):
            rows.run(_WORDS_TABLE)
            known = rows.column("SELECT term FROM temp.vocabulary")
            rows.many(f"INSERT INTO {_WORDS} (owner, kind, word) VALUES (?, ?, ?)", _words_of(known))

    def _note_words(self, rows: Any, owner: int, terms: Iterable[str]) -> None:
        """Put terms on the list of words; one that was restored just now may lack it, and is given it when it is opened."""
        if self._has(rows, _WORDS):
            rows.many(
                f"INSERT OR IGNORE INTO {_WORDS} (owner, kind, word) VALUES (?, ?, ?)",
                ((owner, term[0], term[1:]) for term in sorted(set(terms)) if term[0] != _NO_WORD),
            )

    def _drop_words(self, rows: Any, terms: Iterable[tuple[int, str]]) -> None:
        """Take terms (with their owners) that no entry has any more off the list of words."""
        if self._has(rows, _WORDS):
            query = "SELECT 1 FROM search WHERE search MATCH ? LIMIT 1"
            gone = [
                (owner, term[0], term[1:])
                for owner, term in terms
                if term[0] != _NO_WORD and rows.one(query, f'"{owner}_{term}"') is None
            ]
            rows.many(f"DELETE FROM {_WORDS} WHERE owner = ? AND kind = ? AND word = ?", gone)

    def _has(self, rows: Any, name: str) -> bool:
        """Whether the file has a table or an index of this name. Its names are read anew when its schema has changed."""
        (version,) = rows.column("PRAGMA schema_version")
        known = self._names
        if known[0] != version:
            known = self._names = (version, frozenset(rows.column("SELECT name FROM sqlite_schema")))
        return name in known[1]

    def _check_owner(self) -> None:
        """Look before anything is written: only a file of ours, or one without tables, becomes a memory."""
        with self._readers.lend() as connection:
            check_version(connection, self.location)

    def _require_writable(self) -> None:
        if self._read_only:
            raise StorageError(
                f"{self.location} is read-only: it can be searched, not added to; make the file and its folder writable"
            )

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect("rwc")
        _switch_to_wal(connection, self._busy_seconds)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_MOST_WAL_BYTES}")
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect(self._read_only_mode() if self._read_only else "rw")
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _leave(self) -> None:
        if self._file is not None:
            _left_open.add(self._file)

    def _require_there(self) -> None:
        """Refuse to go on with a file that has lost its name: what is written there nobody else sees, and it is soon gone."""
        if self._file is not None and _identity(self.location) != self._file:
            raise StorageError(
                f"{self.location} was removed or replaced by another file while it was open; nothing of this was kept. Close "
                "this memory, and open it again to use what stands there now"
            )

    def _connect(self, mode: str) -> sqlite3.Connection:
        self._require_unshared()
        self._require_there()
        path = Path(self.location)
        connection = self.engine.connect(
            path,
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        self._file = self._file or _identity(self.location)
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, search, row)")
        return connection

    def _read_only_mode(self) -> str:
        """Without a write-ahead log nobody is writing, and the file can be read where nothing can be written."""
        waiting = Path(self.location + "-wal")
        return "ro" if waiting.exists() and waiting.stat().st_size else "ro&immutable=1"

    def _require_unshared(self) -> None:
        if _left_open and _identity(self.location) in _left_open:
            raise StorageError(
                f"{self.location}: a thread of the parent was at this file when the process was forked, and SQLite would take "
                "its locks for ours; fork while the memory is at rest, or start the process anew (spawn)"
            )


def _has_column(rows: _Rows, table: str, column: str) -> bool:
    return rows.one("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", table, column) is not None


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode, by which SQLite knows a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def stores_here(path: Path) -> list[SQLiteStore]:
    """The stores through which this process has a file open. Their files are for SQLite alone to open (see above)."""
    wanted = _identity(str(path))
    return [] if wanted is None else [store for store in list(_open_here) if _identity(store.location) == wanted]


def require_ours(path: Path, engine: Engine, *, opener: SQLiteStore | None = None) -> None:
    """Bytes 68 to 72 of an SQLite file are its application's mark: a foreign file is refused before it is opened.

    Of an encrypted file nothing can be said without its key, but that it is not a plain one. opener: the store that asks.
    """
    if others := [store for store in stores_here(path) if store is not opener]:
        _require_alike(path, engine, others[0].engine)
        return
    try:
        if engine.is_encrypted:
            if is_plain(path):
                raise ConfigError(
                    f"{path} is not encrypted: open it without a key, or encrypt it with `rekey` (iai memory rekey)"
                )
            return
        with path.open("rb") as file:
            header = file.read(72)
    except OSError as error:
        raise StorageError(f"cannot look into {path}: {error.strerror or error}; check its permissions") from error
    if not header.startswith(b"SQLite format 3\0"):
        raise NotAMemoryError(
            f"{path} is no memory: it is not an SQLite file; choose another name, or give its key (key=, IAI_MEMORY_KEY) if "
            "it is encrypted"
        )
    if int.from_bytes(header[68:72], "big") not in (0, _APPLICATION_ID):
        raise NotAMemoryError(f"{path} is the SQLite file of another program; choose another name")


def _require_alike(path: Path, engine: Engine, standing: Engine) -> None:
    if engine.is_encrypted != standing.is_encrypted:
        how = "encrypted: give its key" if standing.is_encrypted else "not encrypted: open it without a key"
        raise ConfigError(f"{path} is open in this process already, and it is {how}")


def check_version(connection: sqlite3.Connection, location: str) -> None:
    """Refuse a database of another program (`NotAMemoryError`), and one of a newer version (`FormatVersionError`)."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if mark != _APPLICATION_ID and num_tables:
        raise NotAMemoryError(f"{location} is the SQLite file of another program; choose another name")
    if version > SCHEMA_VERSION:
        raise FormatVersionError(
            f"{location} has schema version {version}, this package reads up to {SCHEMA_VERSION}; upgrade interconnected-ai"
        )


def mark_as_ours(connection: sqlite3.Connection, database: str) -> None:
    """Write what makes a database a memory of this version into its header."""
    connection.execute(f"PRAGMA {database}.application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA {database}.user_version = {SCHEMA_VERSION}")


def make_private(path: Path) -> None:
    """An empty file that only its owner may read, before SQLite, whose logs take its mode, makes one that all may."""
    with suppress(
        OSError
    ):  # what stands in the way, SQLite meets as well; a file that is there is not opened (see above)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _close(connection: sqlite3.Connection) -> None:
    connection.close()  # of SQLCipher's class as well


def _is_idle(connection: sqlite3.Connection) -> bool:
    return not connection.in_transaction


def _segments(rows: Rows) -> list[int]:
    """How many pages each segment of the index has."""
    return rows.column("SELECT count(*) FROM search_idx GROUP BY segid")


def _is_in_parts(sizes: Sequence[int]) -> bool:
    return 4 * (sum(sizes) - max(sizes)) >= sum(sizes)


def _words_of(marked: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """(owner, kind, word) of terms as they stand in the index, for the list of words."""
    for owner, term in (one.split("_", 1) for one in marked):
        if term[0] != _NO_WORD:
            yield int(owner), term[0], term[1:]


def _marked(mark: str, terms: Sequence[str]) -> str:
    """Terms with their session in front, each once."""
    once = dict.fromkeys(terms)
    return mark + f" {mark}".join(once) if once else ""


def _switch_to_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """WAL stays in the file; the first opener of many may find the others in the way, which no busy timeout covers."""
    import time

    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except errors() as error:
            if code_of(error) not in _OCCUPIED or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


_OCCUPIED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_LOCKED = "another process has been writing for {seconds:g} s; try again when it has finished"
_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing of this was kept and nothing else is lost: free some space, then try again",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file and its folder writable",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path and the permissions",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the path and the permissions",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; nothing of this was kept: check the disk and its free space",
    sqlite3.SQLITE_NOMEM: "there is not enough memory for this; nothing of it was kept",
    sqlite3.SQLITE_TOOBIG: "a text of this size is more than SQLite holds in a row; nothing of it was kept: cut it",
}


@contextmanager
def refusals(location: str, busy_seconds: float = BUSY_SECONDS) -> Iterator[None]:
    """SQLite's refusals in words that say what to do. busy_seconds: how long others were waited for."""
    try:
        yield
    except errors() as error:
        code = code_of(error)
        if code in _DAMAGED:
            raise NotAMemoryError(f"{location} is damaged or no memory ({error}); restore it from a copy") from error
        why = _REMEDIES.get(code, "it refuses this").format(seconds=busy_seconds)
        raise StorageError(f"{location}: {why} (SQLite says: {error})") from error
