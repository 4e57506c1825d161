"""Where a memory is kept: what a store must be able to do. The SQL of the rooms above runs on every store alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Rows(Protocol):
    """An open transaction: SQL with `?` for values."""

    def run(self, sql: str, *values: Any) -> int:
        """Carry out a statement; how many rows it changed."""

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, or of a statement with RETURNING."""

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Carry out a statement once for each row of values."""


class Store(ABC):
    """A database with the tables of `schema`, an index of terms, and vectors.

    Everything may be called from many threads at once, and from many processes on one database. A transaction belongs to the
    thread that began it. After a fork the child has connections of its own. Raises `ClosedError` after `close`, `StorageError`
    (and kin) for whatever the database refuses: a full disk, a read-only file, a lost connection.
    """

    location: str
    # Appended to the query that takes a job, where a database can pass over rows that others hold.
    skip_locked: str = ""

    @property
    def is_writable(self) -> bool:
        """Whether it is open for more than reading."""
        return True

    @abstractmethod
    def write(self) -> AbstractContextManager[Rows]:
        """A transaction that writes: committed when the block ends well, else nothing of it happened. One at a time."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Rows]:
        """A transaction that reads: it sees one state from beginning to end, and waits for no writer."""

    @abstractmethod
    def lock(self, rows: Rows, session: int) -> None:
        """Keep other writers away from a session until this transaction ends. Comes first: no two may wait for each other."""

    @abstractmethod
    def add_terms(self, rows: Rows, entries: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Put terms of entries (see `numbering`) into the index."""

    @abstractmethod
    def remove_terms(self, rows: Rows, entries: Iterable[int]) -> None:
        """Take entries out of the index."""

    @abstractmethod
    def clear_terms(self, rows: Rows) -> None:
        """Empty the index."""

    @abstractmethod
    def postings(self, rows: Rows, session: int, terms: Sequence[str]) -> dict[str, list[int]]:
        """For each term that stands in the session: the entries that have it."""

    @abstractmethod
    def vocabulary(self, rows: Rows, session: int) -> Iterator[str]:
        """All terms of a session."""

    @abstractmethod
    def put_vectors(self, rows: Rows, session: int, vectors: Sequence[tuple[int, int, Any]]) -> None:
        """Keep vectors of messages: (number, part, vector)."""

    @abstractmethod
    def nearest(self, rows: Rows, session: int, query: Any, limit: int) -> list[tuple[int, float]]:
        """The messages whose vectors are most like the query's, best first: (number, likeness).

        Likeness is the cosine in standard deviations above the mean of the session, and only what lies above it is given:
        everything has some cosine with everything, and what has no more than the rest has nothing to do with the query.
        """

    @abstractmethod
    def entries(self, rows: Rows) -> Iterator[int]:
        """All entries of the index (see `numbering`)."""

    @abstractmethod
    def faults(self, rows: Rows) -> list[str]:
        """What the database itself finds damaged, in its own words; none where it looks after that elsewhere."""

    @abstractmethod
    def erase(self) -> bool:
        """Make sure that nothing deleted is left in the bytes of the files; False when that must wait for a reader."""

    @abstractmethod
    def file_bytes(self, rows: Rows) -> int:
        """Size on disk."""

    @abstractmethod
    def cached_vector_bytes(self) -> int:
        """Size of the vectors that this process holds in memory."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections. Other threads' transactions are waited for; a second call does nothing."""
