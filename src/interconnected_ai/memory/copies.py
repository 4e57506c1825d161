"""Whole copies of a memory's file: made while it is in use, and put back. By SQLite's backup API, page by page."""

import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from interconnected_ai.errors import ConfigError, NotAMemoryError, StorageError
from interconnected_ai.memory.engines import Engine, engine_of
from interconnected_ai.memory.sqlite import (
    BUSY_SECONDS,
    SQLiteStore,
    check_version,
    make_private,
    refusals,
    require_ours,
    stores_here,
)
from interconnected_ai.memory.store import Store
from interconnected_ai.storage import atomic_file

_SUFFIXES = ("", "-wal", "-shm", "-journal")


def back_up(store: Store, path: Path, *, overwrite: bool = False) -> int:
    """Copy a memory as it stands at one moment; others may read and write it meanwhile. Returns the copy's bytes.

    The copy is one file, its owner's alone, whole or not there. Raises `ConfigError` for a memory that is no file,
    `StorageError` where a file stands and `overwrite` is not asked for, and where it would replace a memory that is in use.
    """
    if not isinstance(store, SQLiteStore):
        raise ConfigError(
            f"{store.location} is no file: keep a PostgreSQL database with pg_dump, or write its log with `export`"
        )
    _require_free(path, store, overwrite)
    with atomic_file(path) as scratch:
        make_private(scratch)
        with refusals(str(path)), store.reading() as source, closing(_connect(scratch, store.engine)) as copy:
            source.backup(copy, progress=_patience(path))
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, that a reader makes no others beside
            _require_sound(copy, store.location)
        _require_free(path, store, overwrite)  # somebody may have written there meanwhile
    return path.stat().st_size


def restore(source: str | Path, target: str | Path, *, overwrite: bool = False, key: str | None = None) -> None:
    """Put a copy in the place of a memory, whole or not at all; who has that memory open sees the copy from then on.

    key: of both, where they are encrypted.
    Raises `NotAMemoryError` for a source or a standing target that is no memory, or a damaged source, `FormatVersionError` for
    a source of a newer version, `StorageError` where a memory stands and `overwrite` is not asked for.
    """
    for place in (source, target):
        if "://" in str(place):
            raise ConfigError(f"{place} is no file: a PostgreSQL database is restored with pg_restore")
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise NotAMemoryError(f"no copy at {source}; make one with: iai memory backup memory.db {source}")
    if not target.parent.is_dir():
        raise StorageError(f"no folder {target.parent} for the memory {target.name}; make it first")
    is_new, engine = not target.exists(), engine_of(key)
    for place in (source, target):
        for other in stores_here(place):
            engine.take_salt(str(place), other.engine, other.location)
    if not is_new:
        _require_replaceable(source, target, overwrite, engine)
    require_ours(source, engine)
    with refusals(str(source)), closing(_connect_to_read(source, engine)) as copy:
        check_version(copy, str(source))
        _require_sound(copy, str(source))
        try:
            with refusals(str(target)):
                _write_over(copy, target, engine)
        except BaseException:
            if is_new:
                for suffix in _SUFFIXES:
                    Path(f"{target}{suffix}").unlink(missing_ok=True)
            raise


def _write_over(copy: sqlite3.Connection, target: Path, engine: Engine) -> None:
    make_private(target)
    with closing(_connect(target, engine)) as made:
        copy.backup(made, progress=_patience(target))
        # every process that holds vectors of what stood there reads them anew
        made.execute(
            "INSERT INTO meta (name, value) VALUES ('vector_removals', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(uuid.uuid4().int >> 80),),
        )


def _connect(path: Path, engine: Engine) -> sqlite3.Connection:
    return engine.connect(path, str(path), timeout=BUSY_SECONDS, isolation_level=None)


def _connect_to_read(path: Path, engine: Engine) -> sqlite3.Connection:
    log = Path(f"{path}-wal")
    mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
    return engine.connect(path, f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _patience(path: Path) -> Callable[[int, int, int], None]:
    """Told of every step of a copy; ends one that others have been keeping from writing for too long."""
    deadline = time.monotonic() + BUSY_SECONDS

    def look(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise StorageError(f"{path}: another process has been at it for {BUSY_SECONDS:.0f} s; try again later")

    return look


def _require_sound(connection: sqlite3.Connection, location: str) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise NotAMemoryError(f"{location} is damaged ({found}); restore it from another copy")


def _require_free(path: Path, store: SQLiteStore, overwrite: bool) -> None:
    """A copy replaces an older copy, and never a memory that is in use, the one it is made of least of all."""
    if not path.parent.is_dir():
        raise StorageError(f"no folder {path.parent} for the copy {path.name}; make it first")
    if not path.exists():
        return
    if not path.is_file():
        raise StorageError(f"{path} is no file that could be replaced; choose another name")
    if path.samefile(store.location):
        raise StorageError(f"{path} is the memory itself; choose another name for its copy")
    if Path(f"{path}-wal").exists():
        raise StorageError(f"{path} is a memory that is in use (it has a write-ahead log); choose another name")
    if not overwrite:
        raise StorageError(f"{path} exists; use --overwrite (overwrite=True) to replace it, or choose another name")


def _require_replaceable(source: Path, target: Path, overwrite: bool, engine: Engine) -> None:
    if not target.is_file():
        raise NotAMemoryError(f"{target} is no file; choose another name")
    if target.samefile(source):
        raise StorageError(f"{source} and {target} are one file; name the copy and the memory")
    if not overwrite:
        raise StorageError(f"{target} exists; use --overwrite (overwrite=True) to replace it, or choose another name")
    if target.stat().st_size:
        require_ours(target, engine)
