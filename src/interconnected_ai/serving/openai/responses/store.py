"""`ResponseStore`: responses that outlive their request, in one SQLite file; whose they are, and how many there may be."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.errors import StorageError

_VERSION = 1
_TABLES = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, previous TEXT, session TEXT NOT NULL, used INTEGER NOT NULL,
    num_bytes INTEGER NOT NULL, response TEXT NOT NULL, items TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX responses_used ON responses (owner, used);
CREATE TABLE items (
    id TEXT NOT NULL, response TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE, PRIMARY KEY (id, response)
) WITHOUT ROWID;
CREATE INDEX items_response ON items (response);
"""
_CHAIN = """
WITH RECURSIVE chain (id, previous, depth) AS (
    SELECT id, previous, 0 FROM responses WHERE id = :id AND owner = :owner
    UNION SELECT r.id, r.previous, depth + 1 FROM responses r JOIN chain ON r.id = chain.previous WHERE r.owner = :owner
)
SELECT r.id, r.previous, r.session, r.response, r.items FROM chain JOIN responses r USING (id) ORDER BY depth DESC
"""


@dataclass(frozen=True)
class StoredResponse:
    """A response as it was sent. items: what was asked in this turn. session: the conversation's name."""

    response: Mapping[str, Any]
    items: tuple[dict[str, Any], ...]
    previous: str | None
    session: str

    @property
    def id(self) -> str:
        """The response's."""
        return str(self.response["id"])

    @property
    def all_items(self) -> tuple[dict[str, Any], ...]:
        """What was asked, and what was answered."""
        return (*self.items, *self.response["output"])


class ResponseStore:
    """Responses by their owner, a key's id or None: nobody finds another's.

    place: the file; None keeps them in memory. Of each owner there are `max_count`, and `max_bytes` of JSON: those that were
    used longest ago leave first, and what a conversation goes on from was used. What is deleted is deleted from the file's
    bytes too.

    Threads: any number at once, in one process. A file that cannot be used fails where it is used (`StorageError`).
    """

    def __init__(self, place: Path | None, *, max_count: int, max_bytes: int) -> None:
        self.place, self.max_count, self.max_bytes = place, max_count, max_bytes
        self._guard = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def add(self, owner: str | None, stored: StoredResponse) -> None:
        """Keep a response; when this returns it is on disk."""
        response, items = _written(stored.response), _written(stored.items)
        num_bytes = len(response.encode()) + len(items.encode())
        if num_bytes > self.max_bytes:
            raise StorageError(
                f"the response has {num_bytes:,} bytes, and {self.max_bytes:,} are kept; raise kept_responses_mb"
            )
        whose = _owner(owner)
        with self._writing() as store:
            (used,) = store.execute("SELECT coalesce(max(used), 0) + 1 FROM responses").fetchone()
            store.execute(
                "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (stored.id, whose, stored.previous, stored.session, used, num_bytes, response, items),
            )
            store.executemany(
                "INSERT OR IGNORE INTO items VALUES (?, ?)", [(item["id"], stored.id) for item in stored.all_items]
            )
            self._make_room(store, whose)

    def chain(self, owner: str | None, id: str) -> tuple[StoredResponse, ...]:
        """A response and all that it goes on from, the first of all first; empty where there is none. They were used now.

        One that is gone from the middle ends the chain: the first found then names one before it.
        """
        with self._writing() as store:
            found = store.execute(_CHAIN, {"id": id, "owner": _owner(owner)}).fetchall()
            if not found:
                return ()
            (used,) = store.execute("SELECT max(used) + 1 FROM responses").fetchone()
            store.executemany("UPDATE responses SET used = ? WHERE id = ?", [(used, each[0]) for each in found])
        return tuple(_read(*each[1:]) for each in found)

    def find(self, owner: str | None, id: str) -> StoredResponse | None:
        """One response."""
        with self._writing() as store:
            found = store.execute(
                "SELECT previous, session, response, items FROM responses WHERE id = ? AND owner = ?",
                (id, _owner(owner)),
            ).fetchone()
        return None if found is None else _read(*found)

    def item(self, owner: str | None, id: str) -> dict[str, Any] | None:
        """An item that was asked or answered."""
        with self._writing() as store:
            found = store.execute(
                "SELECT r.previous, r.session, r.response, r.items FROM items JOIN responses r ON r.id = items.response "
                "WHERE items.id = ? AND r.owner = ? ORDER BY r.used DESC LIMIT 1",
                (id, _owner(owner)),
            ).fetchone()
        items = () if found is None else _read(*found).all_items
        return next((item for item in items if item["id"] == id), None)

    def remove(self, owner: str | None, id: str) -> bool:
        """Whether there was one, which is gone."""
        with self._writing() as store:
            gone = store.execute("DELETE FROM responses WHERE id = ? AND owner = ?", (id, _owner(owner)))
            return gone.rowcount > 0

    def close(self) -> None:
        """Let the file go. Idempotent."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _make_room(self, store: sqlite3.Connection, owner: str) -> None:
        """Those used longest ago leave, until number and bytes are allowed."""
        store.execute(
            "DELETE FROM responses WHERE id IN (SELECT id FROM ("
            " SELECT id, row_number() OVER newest AS place, sum(num_bytes) OVER newest AS bytes FROM responses"
            " WHERE owner = ? WINDOW newest AS (ORDER BY used DESC, id ROWS UNBOUNDED PRECEDING)"
            ") WHERE place > ? OR bytes > ?)",
            (owner, self.max_count, self.max_bytes),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone. Raises `StorageError`."""
        with self._guard:
            try:
                store = self._connected()
                with store:  # commits, or takes back
                    yield store
            except (sqlite3.Error, OSError) as error:
                where = "in memory" if self.place is None else f"at {self.place}"
                raise StorageError(f"the kept responses {where} cannot be used: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._opened is None:
            if self.place is not None:
                self.place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(self.place, os.O_RDWR | os.O_CREAT, 0o600))  # its owner's alone to read
            self._opened = _opened(self.place)
        return self._opened


def _opened(place: Path | None) -> sqlite3.Connection:
    store = sqlite3.connect(":memory:" if place is None else place, check_same_thread=False, timeout=5.0)
    try:
        store.execute("PRAGMA secure_delete = ON")
        store.execute("PRAGMA foreign_keys = ON")
        store.execute("PRAGMA synchronous = FULL")
        (version,) = store.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StorageError(f"{place} was written by a newer version; use that, or name another folder as state")
        if version == 0:
            store.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {_VERSION};COMMIT;")
    except BaseException:
        store.close()
        raise
    return store


def _owner(owner: str | None) -> str:
    return "" if owner is None else owner


def _written(content: Any) -> str:
    """JSON in ASCII, so that half a character comes back as it was."""
    return json.dumps(content, separators=(",", ":"))


def _read(previous: str | None, session: str, response: str, items: str) -> StoredResponse:
    return StoredResponse(json.loads(response), tuple(json.loads(items)), previous, session)
