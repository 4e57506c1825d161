"""From a path or an address to the store that is there."""

from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory.postgres import PostgresStore
from interconnected_ai.memory.sqlite import SQLiteStore
from interconnected_ai.memory.store import Store


def restore(backup: str | Path, store: str | Path, *, overwrite: bool = False, key: str | None = None) -> None:
    """Put a copy that `ThreeLevelMemory.backup` made in the place of a memory, whole or not at all.

    Who has that memory open sees the copy from then on. overwrite: where a memory stands. key: of both, where they are
    encrypted. Raises `NotAMemoryError` for what is
    no memory or damaged, `FormatVersionError` for a newer version's, `StorageError` where a memory stands. May be called from
    several threads at once.
    """
    from interconnected_ai.memory import copies  # here: OpenSSL is memory that a conversation needs not

    copies.restore(backup, store, overwrite=overwrite, key=key)


def rekey(store: str | Path, *, key: str | None = None, new_key: str | None = None) -> int:
    """Encrypt a memory's file, decrypt it (new_key None), or give it another key; returns the bytes of the new file.

    key: the one it has, None for a plain file. It is written anew beside the old one and takes its place when it is whole;
    nobody may have the memory open. Raises `ConfigError` for a wrong key, `StorageError` where the memory is open,
    `MissingExtraError` without the extra `encryption`.
    """
    from interconnected_ai.memory import rekeying  # here: OpenSSL, see above

    return rekeying.rekey(store, key=key, new_key=new_key)


def open_store(location: str | Path | Store, key: str | None = None) -> Store:
    """The store at a path or address: a file is SQLite, `postgresql://…` PostgreSQL; a `Store` is taken as it is.

    key: of a file that is encrypted.
    """
    if isinstance(location, Store):
        if key is not None:
            raise ConfigError("key goes with a path; a store that is given has its own: SQLiteStore(path, key=…)")
        return location
    address = str(location)
    if key is not None and "://" in address:
        raise ConfigError("key goes with a file; a PostgreSQL database is encrypted by the disk that it lies on")
    if address.startswith(("postgresql://", "postgres://")):
        return PostgresStore(address)
    if "://" in address:
        raise ConfigError(
            f"store={address!r}: an address of this kind is unknown; give the path of a file, or postgresql://USER@HOST/DATABASE"
        )
    return SQLiteStore(address, key=key)
