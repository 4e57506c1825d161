"""Where a memory is kept: what a store must be able to do. The SQL of the rooms above runs on every store alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Outline = tuple[int, int, int, float, str]  # of a message: number, is_reply, num_tokens, time, role
OUTLINE_COLUMNS = "number, is_reply, num_tokens, time, role"
_AT_ONCE = 512


def for_in(values: Sequence[int]) -> tuple[str, list[int]]:
    """The marks of `IN (?, …)` and its values: to a round number, the last one again.

    So statements of thousands of lengths are a dozen, which a database need not prepare anew each time.
    """
    length = 1 << (len(values) - 1).bit_length()
    return ", ".join("?" * length), [*values, *(length - len(values)) * [values[-1]]]


class Rows(Protocol):
    """An open transaction: SQL with `?` for values.

    thousandths: the column of messages, or NULL where a database of an earlier version lacks it and cannot be given it.
    """

    thousandths: str

    def run(self, sql: str, *values: Any) -> int:
        """Carry out a statement; how many rows it changed."""

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, or of a statement with RETURNING."""

    def column(self, sql: str, *values: Any) -> list[Any]:
        """The first value of every row."""

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Carry out a statement once for each row of values."""


def as_vocabulary(terms: Iterable[str]) -> dict[str, str]:
    """By their first letter, what is behind it: a text in which each stands between two line breaks."""
    kinds: dict[str, list[str]] = {}
    for term in terms:
        if term[0] != "l":
            kinds.setdefault(term[0], []).append(term[1:])
    return {kind: "\n{}\n".format("\n".join(found)) for kind, found in kinds.items()}


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
    def lock_all(self, rows: Rows) -> None:
        """Keep other writers away from all sessions, also those to come, until this transaction ends. Comes before all else."""

    @abstractmethod
    def lock(self, rows: Rows, session: int) -> bool:
        """Keep other writers away from a session until this transaction ends; False where it is not there any more.

        Comes before any writing: no two may wait for each other. So does it where what others write of their sessions is
        changed: jobs, messages, facts.
        """

    @abstractmethod
    def lock_user(self, rows: Rows, user: str) -> None:
        """Keep other writers away from a user's facts until this transaction ends. Comes before `lock` and any writing."""

    @abstractmethod
    def add_terms(self, rows: Rows, owner: int, entries: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Put terms of entries (see `numbering`) into the index, all of one owner (see `scope`)."""

    @abstractmethod
    def move_terms(self, rows: Rows, session: int, old_owner: int, owner: int) -> None:
        """Give the entries of a session to another owner."""

    @abstractmethod
    def renumber_terms(self, rows: Rows, moves: Sequence[tuple[int, int]]) -> None:
        """Give entries other numbers, (old, new) each, all at once: an old one may be another's new one."""

    @abstractmethod
    def remove_terms(self, rows: Rows, entries: Iterable[int]) -> None:
        """Take entries out of the index."""

    @abstractmethod
    def clear_terms(self, rows: Rows) -> None:
        """Empty the index."""

    @abstractmethod
    def postings(self, rows: Rows, owner: int, terms: Sequence[str]) -> dict[str, list[int]]:
        """For each term that stands anywhere in an owner's sessions: the entries that have it."""

    @abstractmethod
    def vocabulary(self, rows: Rows, owner: int) -> dict[str, str]:
        """All terms of an owner's sessions but dictionary forms, which have their stems beside them (see `as_vocabulary`)."""

    def outlines(self, rows: Rows, numbers: Sequence[int], most_tokens: int | None = None) -> dict[int, Outline]:
        """What is known without their words of those of these messages that are there, by number.

        most_tokens: only of those that are no longer.
        """
        found: dict[int, Outline] = {}
        wanted = sorted(set(numbers))
        short, most = ("", ()) if most_tokens is None else (" AND num_tokens <= ?", (most_tokens,))
        for start in range(0, len(wanted), _AT_ONCE):
            marks, part = for_in(wanted[start : start + _AT_ONCE])
            query = f"SELECT {OUTLINE_COLUMNS} FROM messages WHERE number IN ({marks}){short}"
            for row in rows.all(query, *part, *most):
                found[row[0]] = row
        return found

    @abstractmethod
    def put_vectors(self, rows: Rows, session: int, vectors: Sequence[tuple[int, int, Any]]) -> None:
        """Keep vectors of messages: (number, part, vector)."""

    @abstractmethod
    def nearest(self, rows: Rows, sessions: Sequence[int], query: Any, limit: int) -> list[tuple[int, float]]:
        """The messages of these sessions whose vectors are most like the query's, best first: (number, likeness).

        Likeness is the cosine in standard deviations above the mean of them all, and only what lies above it is given:
        everything has some cosine with everything, and what has no more than the rest has nothing to do with the query.
        """

    @abstractmethod
    def entries(self, rows: Rows) -> Iterator[int]:
        """All entries of the index (see `numbering`)."""

    def is_scattered(self, rows: Rows) -> bool:
        """Whether the index lies in so many pieces that looking a term up takes long; `gather` puts them together."""
        return False

    def gather(self, rows: Rows, *, is_first: bool) -> bool:
        """Put pieces of the index together, as many as take some milliseconds; whether more are left.

        is_first: of a row of such calls, each of which is a transaction of its own.
        """
        return False

    def unexplained(self, rows: Rows) -> list[str]:
        """What a store keeps beside its index and that does not follow from it, in words."""
        return []

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
