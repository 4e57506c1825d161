"""From a path or an address to the store that is there."""

from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory.postgres import PostgresStore
from interconnected_ai.memory.sqlite import SQLiteStore
from interconnected_ai.memory.store import Store


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
