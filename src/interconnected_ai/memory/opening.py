"""From a path or an address to the store that is there."""

from contextlib import closing
from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory.migration import migrate
from interconnected_ai.memory.postgres import PostgresStore
from interconnected_ai.memory.sqlite import SQLiteStore
from interconnected_ai.memory.store import Store


def restore(backup: str | Path, store: str | Path, *, overwrite: bool = False) -> None:
    """Put a copy that `ThreeLevelMemory.backup` made in the place of a memory, whole or not at all.

    Who has that memory open sees the copy from then on. overwrite: where a memory stands. Raises `NotAMemoryError` for what is
    no memory or damaged, `FormatVersionError` for a newer version's, `StorageError` where a memory stands. May be called from
    several threads at once.
    """
    from interconnected_ai.memory import copies  # here: OpenSSL is memory that a conversation needs not

    copies.restore(backup, store, overwrite=overwrite)
    with closing(
        SQLiteStore(store)
    ) as restored:  # the copy may be of an earlier version, and somebody have the memory open
        migrate(restored)


def open_store(location: str | Path | Store) -> Store:
    """The store at a path or address: a file is SQLite, `postgresql://…` PostgreSQL; a `Store` is taken as it is."""
    if isinstance(location, Store):
        return location
    address = str(location)
    if address.startswith(("postgresql://", "postgres://")):
        return PostgresStore(address)
    if "://" in address:
        raise ConfigError(
            f"store={address!r}: an address of this kind is unknown; give the path of a file, or postgresql://USER@HOST/DATABASE"
        )
    return SQLiteStore(address)
