"""A memory's file under another key: from plain to encrypted, back, or from key to key, whole or not at all."""

from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, NotAMemoryError, StorageError
from interconnected_ai.memory.engines import Cipher, Engine, engine_of, errors, sqlcipher
from interconnected_ai.memory.sqlite import (
    check_version,
    make_private,
    mark_as_ours,
    refusals,
    require_ours,
    stores_here,
)
from interconnected_ai.storage import atomic_file

_OCCUPIED_SECONDS = 2.0
_OPEN = "{path} is open, here or in another process; close it, then change its key"


def rekey(store: str | Path, *, key: str | None, new_key: str | None) -> int:
    """Write a memory's file anew under another key; None is no key, a plain file. Returns the bytes of the file.

    Nothing is done where it has that key already.

    Nobody may have the memory open. Raises `StorageError` where somebody does, `ConfigError` for a key that does not open it.
    """
    if "://" in str(store):
        raise ConfigError(f"{store} is no file: a PostgreSQL database is encrypted by the disk that it lies on")
    path = Path(store)
    if not path.is_file():
        raise NotAMemoryError(f"no memory at {path}")
    if stores_here(path):
        raise StorageError(_OPEN.format(path=path))
    current, new = engine_of(key), engine_of(new_key)
    require_ours(path, current)
    if key == new_key:
        with refusals(str(path)), closing(current.connect(path, str(path), isolation_level=None)) as standing:
            check_version(standing, str(path))
        return path.stat().st_size
    sqlcipher()  # for both ways: it reads plain files too
    with refusals(str(path)), closing(_alone(path, current)) as old, atomic_file(path) as scratch:
        make_private(scratch)
        _copy(old, scratch, new)
        with closing(new.connect(scratch, str(scratch), isolation_level=None)) as copy:
            _require_equal(old, copy, path)
    return path.stat().st_size


def _alone(path: Path, engine: Engine) -> Any:
    """A connection that keeps all others out, with nothing left in a write-ahead log."""
    module = sqlcipher()
    connection = (
        engine.connect(path, str(path), isolation_level=None, timeout=_OCCUPIED_SECONDS)
        if isinstance(engine, Cipher)
        else module.connect(str(path), isolation_level=None, timeout=_OCCUPIED_SECONDS)
    )
    try:
        check_version(connection, str(path))
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except errors():
            mode = ""
        if mode != "delete":
            raise StorageError(_OPEN.format(path=path))
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(old: Any, scratch: Path, new: Engine) -> None:
    key = new.raw_key(scratch) if isinstance(new, Cipher) else ""
    old.execute("ATTACH DATABASE ? AS made KEY ?", (str(scratch), key))
    try:
        old.execute("SELECT sqlcipher_export('made')")
        mark_as_ours(old, "made")
    finally:
        with suppress(*errors()):
            old.execute("DETACH DATABASE made")


def _require_equal(old: Any, copy: Any, path: Path) -> None:
    """The tables of both hold as many rows, and the copy is sound."""
    tables = [name for (name,) in old.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        ask = f'SELECT count(*) FROM "{table}"'
        if old.execute(ask).fetchone() != copy.execute(ask).fetchone():
            raise StorageError(f"{path}: its table {table} could not be copied whole; nothing was changed")
    (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise NotAMemoryError(f"{path} is damaged ({found}); nothing was changed: restore it from a copy")
