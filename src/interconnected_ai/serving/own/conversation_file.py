"""Conversations on disk, in SQLite: whose they are, which version is the newest, and which of them hold some words."""

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.errors import StorageError
from interconnected_ai.serving.faults import Refusal

MOST_KEPT = 2_000  # conversations of one owner
MOST_BYTES = 2_000_000  # of one conversation, as JSON
_FORMAT = 1
_SCHEMA = """
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, title TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL, num_messages INTEGER NOT NULL, content TEXT NOT NULL, UNIQUE (owner, id)
) STRICT;
CREATE INDEX conversations_by_time ON conversations (owner, updated, number);
CREATE VIRTUAL TABLE words USING fts5 (title, said, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3');
"""
_SUMMARY = "id, version, title, created, updated, num_messages"
_FOUND = ", ".join(f"conversations.{column}" for column in _SUMMARY.split(", "))  # words has a title, too
_WORD = re.compile(r"\w+")
_MOST_WORDS = 16
_SAME_LETTERS = str.maketrans("ёЁ", "еЕ")


@dataclass(frozen=True)
class Summary:
    """What a list shows of a conversation. excerpt: where its words were found, for a search."""

    id: str
    version: int
    title: str
    created_at: float
    updated_at: float
    num_messages: int
    excerpt: str | None = None


class ConversationFile:
    """What people said and were answered. owner: the id of a key; None is whoever needs none.

    What `put` and `remove` returned from is on disk; words of what was removed stand nowhere in the file any more.
    Raises `StorageError` where the disk refuses, or the file is none of ours.

    Threads: any number at once, one after another.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def listed(self, owner: str | None, limit: int, after: str | None = None) -> list[Summary]:
        """Summaries, the newest first. after: the id of the last one that was seen."""
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT {_SUMMARY} FROM conversations WHERE owner = :owner AND (:after IS NULL OR (updated, number) < "
                "(SELECT updated, number FROM conversations WHERE owner = :owner AND id = :after)) "
                "ORDER BY updated DESC, number DESC LIMIT :limit",
                {"owner": owner or "", "after": after, "limit": limit},
            )
            return [Summary(*row) for row in rows]

    def get(self, owner: str | None, id: str) -> tuple[Summary, Mapping[str, Any]]:
        """One conversation. Raises `Refusal`, 404."""
        with self._opened() as connection:
            return _found(connection, owner, id)

    def put(self, owner: str | None, id: str, version: int, title: str, content: Mapping[str, Any]) -> Summary:
        """Keep it in the place of the version that was read; 0: it is new. The summary has its next version.

        Raises `Refusal`: 409 where another version stands there, 413 where it is too much.
        """
        text = json.dumps(content)
        if len(text) > MOST_BYTES:
            raise Refusal(
                413,
                f"a conversation has {MOST_BYTES:,} bytes at most, got {len(text):,}; begin another",
                code="too_large",
            )
        messages: Sequence[Mapping[str, Any]] = content["messages"]
        said = "\n".join(str(message["content"]) for message in messages)
        with self._opened() as connection:
            row = connection.execute(
                "SELECT number, version FROM conversations WHERE owner = ? AND id = ?", (owner or "", id)
            ).fetchone()
            number, standing = row or (None, 0)
            if standing != version:
                what = "stands there no more" if row is None else f"has version {standing}, not {version}"
                raise Refusal(
                    409, f"the conversation {what}; read it again and add to what stands there", code="conflict",
                    param="version",
                )  # fmt: skip
            now = self._clock()
            if number is None:
                self._require_room(connection, owner)
                number = connection.execute(
                    "INSERT INTO conversations (owner, id, version, title, created, updated, num_messages, content) "
                    "VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
                    (owner or "", id, _sound(title), now, now, len(messages), text),
                ).lastrowid
            else:
                connection.execute(
                    "UPDATE conversations SET version = version + 1, title = ?, updated = ?, num_messages = ?, content = ? "
                    "WHERE number = ?",
                    (_sound(title), now, len(messages), text, number),
                )
                connection.execute("DELETE FROM words WHERE rowid = ?", (number,))
            connection.execute(
                "INSERT INTO words (rowid, title, said) VALUES (?, ?, ?)", (number, _indexed(title), _indexed(said))
            )
            return _found(connection, owner, id)[0]

    def remove(self, owner: str | None, id: str) -> None:
        """Forget it. Raises `Refusal`, 404."""
        with self._opened() as connection:
            _found(connection, owner, id)
            (number,) = connection.execute(
                "DELETE FROM conversations WHERE owner = ? AND id = ? RETURNING number", (owner or "", id)
            ).fetchone()
            connection.execute("DELETE FROM words WHERE rowid = ?", (number,))
            connection.execute(
                "INSERT INTO words (words) VALUES ('optimize')"
            )  # else the index keeps the words a while
        with self._opened() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def search(self, owner: str | None, query: str, limit: int) -> list[Summary]:
        """Conversations that hold every word of the query, or one that begins with it, the best first."""
        words = _WORD.findall(_indexed(query))[:_MOST_WORDS]
        if not words:
            return []
        asked = " AND ".join(f'"{word}"*' for word in words)
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT {_FOUND}, snippet(words, 1, '', '', '…', 16) FROM words "
                "JOIN conversations ON number = words.rowid WHERE words MATCH ? AND owner = ? "
                "ORDER BY bm25(words, 4.0, 1.0), updated DESC LIMIT ?",
                (asked, owner or "", limit),
            ).fetchall()
        return [Summary(*row) for row in rows]  # the excerpt is the last column of both

    def close(self) -> None:
        """Let the file go. Idempotent."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @staticmethod
    def _require_room(connection: sqlite3.Connection, owner: str | None) -> None:
        (kept,) = connection.execute("SELECT count(*) FROM conversations WHERE owner = ?", (owner or "",)).fetchone()
        if kept >= MOST_KEPT:
            raise Refusal(413, f"{kept:,} conversations are kept, {MOST_KEPT:,} at most; remove some", code="too_many")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The file in one transaction, which holds as a whole or not at all."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = _open(self.path)
                with self._connection:
                    yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise StorageError(f"could not use {self.path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its owner's alone from its first moment
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        (format_version,) = connection.execute("PRAGMA user_version").fetchone()
        if format_version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")
        elif format_version != _FORMAT:
            raise StorageError(f"{path} has format {format_version}, and this version reads {_FORMAT}; use a newer one")
    except BaseException:
        connection.close()
        raise
    return connection


def _found(connection: sqlite3.Connection, owner: str | None, id: str) -> tuple[Summary, Mapping[str, Any]]:
    row = connection.execute(
        f"SELECT {_SUMMARY}, content FROM conversations WHERE owner = ? AND id = ?", (owner or "", id)
    ).fetchone()
    if row is None:
        raise Refusal(404, "there is no such conversation, or it is another key's", code="not_found")
    return Summary(*row[:-1]), json.loads(row[-1])


def _sound(text: str) -> str:
    """Without half characters, which cannot be written, and without NUL, at which SQLite would end."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def _indexed(text: str) -> str:
    """As words are looked for: people write ё and е for the same letter."""
    return _sound(text).translate(_SAME_LETTERS)
