"""What opens a memory's file: Python's own SQLite, or SQLCipher, which writes nothing to disk that is not encrypted.

Where a key comes from is left to the caller; how a file changes its key, to `rekeying`.
"""

import os
import sqlite3
import sys
from functools import cache
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require
from interconnected_ai.text import is_blank

_HEADER = b"SQLite format 3\0"
_SALT_BYTES, _KEY_BYTES, _ROUNDS = 16, 32, 256_000  # as SQLCipher 4 derives a key, so that its own tools open the file
_NOT_A_DATABASE = sqlite3.SQLITE_NOTADB


class Engine:
    """Python's own SQLite. Every method may be called from many threads at once."""

    is_encrypted = False

    def connect(self, path: Path, database: str, **settings: Any) -> sqlite3.Connection:
        """Open `database`, the name or URI of the file at `path`, as `sqlite3.connect` does."""
        connection: sqlite3.Connection = sqlite3.connect(database, **settings)
        return connection

    def take_salt(self, path: str, other: "Engine", place: str) -> None:
        """Know of the file at `path` what another engine, which has it open at `place`, knows of its key."""

    def forget_salts(self) -> None:
        """Look at the files anew for what their keys are made of."""


class Cipher(Engine):
    """SQLCipher with one key: AES-256, every page signed, PBKDF2-HMAC-SHA512 with 256,000 rounds over the file's salt.

    The key is derived once for a file, not for every connection. Raises `ConfigError` for a key that is none and
    `MissingExtraError` without sqlcipher3. Methods may be called from many threads at once.
    """

    is_encrypted = True

    def __init__(self, key: str) -> None:
        if not isinstance(key, str) or is_blank(key) or "\0" in key:
            raise ConfigError("key: needed is text that is not blank and has no NUL")
        self._key = key
        self._salts: dict[str, bytes] = {}
        self._keys: dict[bytes, str] = {}
        sqlcipher()

    def __repr__(self) -> str:
        return "Cipher(…)"

    def connect(self, path: Path, database: str, **settings: Any) -> sqlite3.Connection:
        """See `Engine`. Raises `ConfigError` when the key does not open the file."""
        connection: sqlite3.Connection = sqlcipher().connect(database, **settings)
        try:
            connection.execute("PRAGMA cipher_log_level = NONE")  # a wrong key is an error of ours, not lines on stderr
            connection.execute(f'PRAGMA key = "{self.raw_key(path)}"')
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except errors() as error:
            connection.close()
            if code_of(error) != _NOT_A_DATABASE:
                raise
            raise ConfigError(
                f"{path}: the key does not open it; give the one that it was encrypted with. Where it is, the file is "
                "damaged: restore it from a copy"
            ) from error
        return connection

    def raw_key(self, path: Path) -> str:
        """The key of a file as SQLCipher takes it when it has nothing to derive: key and salt."""
        place = os.path.abspath(path)
        if place not in self._salts:
            # read once: closing the file gives up the locks that this process holds on it (POSIX)
            self._salts[place] = _salt_in(path) or os.urandom(_SALT_BYTES)
        salt = self._salts[place]
        if salt not in self._keys:
            import hashlib  # OpenSSL is memory that a plain file needs not

            derived = hashlib.pbkdf2_hmac("sha512", self._key.encode(), salt, _ROUNDS, _KEY_BYTES)
            self._keys[salt] = f"x'{derived.hex()}{salt.hex()}'"
        return self._keys[salt]

    def take_salt(self, path: str, other: Engine, place: str) -> None:
        """See `Engine`."""
        if isinstance(other, Cipher) and (salt := other._salts.get(os.path.abspath(place))):
            self._salts[os.path.abspath(path)] = salt

    def forget_salts(self) -> None:
        """See `Engine`."""
        self._salts.clear()


def engine_of(key: str | None) -> Engine:
    """What opens a file with this key, or (None) without any."""
    return Engine() if key is None else Cipher(key)


@cache
def sqlcipher() -> Any:
    """SQLCipher's module, which speaks as `sqlite3` does. Raises `MissingExtraError` where it is not installed."""
    require("sqlcipher3", "encryption", "an encrypted memory")
    return require("sqlcipher3.dbapi2", "encryption", "an encrypted memory")


def errors() -> tuple[type[Exception], ...]:
    """What the databases that are in use raise: SQLCipher's errors are no kin of Python's own."""
    other = sys.modules.get("sqlcipher3.dbapi2")
    return (sqlite3.Error,) if other is None else (sqlite3.Error, other.Error)


def code_of(error: BaseException) -> int:
    """The primary result code (https://www.sqlite.org/rescode.html); -1 for what Python's module refuses by itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def is_plain(path: Path) -> bool:
    """Whether a file begins as those of SQLite do that are not encrypted."""
    with path.open("rb") as file:
        return file.read(len(_HEADER)) == _HEADER


def _salt_in(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            found = file.read(_SALT_BYTES)
    except FileNotFoundError:
        return None
    return found if len(found) == _SALT_BYTES else None
