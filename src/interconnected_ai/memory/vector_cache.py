"""Vectors of the sessions searched last, within a number of bytes, and the nearest of them by brute force.

NumPy is imported here, and this file only where vectors are.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interconnected_ai.memory.forks import Forkable, survive_forks
from interconnected_ai.memory.store import Rows

MOST_ROWS = 100_000  # of a session; 20 ms to search, 154 MB at 384 dimensions. Beyond, the newest are searched
_BLOCK_ROWS = 4_096  # read, and multiplied, at once

_LEAST_DEVIATION = 1e-6  # of cosines that are all the same


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Vectors in the order they were made: their serials, their messages' numbers, and (rows, dimension) float32."""

    serials: Any
    numbers: Any
    vectors: Any

    @property
    def num_bytes(self) -> int:
        return int(self.serials.nbytes + self.numbers.nbytes + self.vectors.nbytes)

    def upto(self, serial: int) -> "_Block":
        """What was there when `serial` was the newest."""
        num_rows = int(np.searchsorted(self.serials, serial, side="right"))
        return self if num_rows == len(self.serials) else self.part(slice(0, num_rows))

    def part(self, rows: slice) -> "_Block":
        return _Block(self.serials[rows].copy(), self.numbers[rows].copy(), self.vectors[rows].copy())


@dataclass(slots=True, eq=False)
class _Session:
    """The vectors of one session that were read so far. removals: how often some had been removed by then."""

    removals: int
    blocks: list[_Block] = field(default_factory=list)

    @property
    def last(self) -> int:
        return int(self.blocks[-1].serials[-1]) if self.blocks else 0

    @property
    def num_bytes(self) -> int:
        return sum(block.num_bytes for block in self.blocks)

    def add(self, block: _Block) -> None:
        """Blocks stay large: the last one grows until it is full, so each row is copied a bounded number of times."""
        if self.blocks and len(self.blocks[-1].serials) + len(block.serials) <= _BLOCK_ROWS:
            tail = self.blocks.pop()
            pairs = ((tail.serials, block.serials), (tail.numbers, block.numbers), (tail.vectors, block.vectors))
            block = _Block(*(np.concatenate(pair) for pair in pairs))
        self.blocks.append(block)
        excess = sum(len(one.serials) for one in self.blocks) - MOST_ROWS
        while excess > 0:
            oldest = self.blocks.pop(0)
            if len(oldest.serials) > excess:
                self.blocks.insert(0, oldest.part(slice(excess, None)))
            excess -= len(oldest.serials)


class VectorCache(Forkable):
    """The vectors of the sessions searched last, as long as they take at most `most_bytes` together.

    A session that does not fit is read anew for each search: slower, and with the same results. May be called from many
    threads at once; each sees the vectors of its own transaction.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._sessions: OrderedDict[int, _Session] = OrderedDict()
        survive_forks(self)

    @property
    def num_bytes(self) -> int:
        """What the vectors take that are held."""
        with self._lock:
            return sum(session.num_bytes for session in self._sessions.values())

    def nearest(self, rows: Rows, sessions: Sequence[int], query: Any, limit: int) -> list[tuple[int, float]]:
        """(number, likeness) of the best part of each message of these sessions, the best first: see `Store.nearest`."""
        wanted = np.asarray(query, dtype=np.float32)
        numbers, cosines = [], []
        for session in sessions:
            newest = rows.one("SELECT max(serial) FROM vectors WHERE session = ?", session)
            if newest is None or newest[0] is None:
                continue
            mine, likenesses = [], []
            for block in self._blocks(rows, session, int(newest[0])):
                mine.append(block.numbers)
                likenesses.append(block.vectors @ wanted)
            numbers.append(np.concatenate(mine)[-MOST_ROWS:])
            cosines.append(np.concatenate(likenesses)[-MOST_ROWS:])
        return _best(np.concatenate(numbers), np.concatenate(cosines), limit) if numbers else []

    def before_fork(self, deadline: float) -> None:
        """See `Forkable`. Nothing to do: the child reads for itself."""

    def after_fork_in_parent(self) -> None:
        """See `Forkable`."""

    def after_fork_in_child(self) -> None:
        """See `Forkable`."""
        self._lock = threading.Lock()
        self._sessions = OrderedDict()

    def _blocks(self, rows: Rows, session: int, newest: int) -> Iterator[_Block]:
        """The vectors of a session up to a serial."""
        removals = _num_removals(rows)
        with self._lock:
            known = self._sessions.get(session)
            if known is not None and known.removals == removals:
                self._sessions.move_to_end(session)
            else:
                known = None
            held = list(known.blocks) if known is not None else []
        held = [part for block in held if len((part := block.upto(newest)).serials)]
        yield from held
        last = int(held[-1].serials[-1]) if held else 0
        fresh = _Session(removals, held)
        num_bytes = fresh.num_bytes
        oldest = 0 if held else _serial_of_the_oldest(rows, session, newest)
        for block in _read(rows, session, max(last, oldest), newest):
            yield block
            num_bytes += block.num_bytes
            if num_bytes <= self.most_bytes:
                fresh.add(block)
            else:
                fresh.blocks.clear()
        if fresh.last == newest:
            self._keep(session, fresh)

    def _keep(self, session: int, fresh: _Session) -> None:
        """Hold what was read, unless somebody has read further; let go of the sessions that were not asked for longest."""
        with self._lock:
            known = self._sessions.get(session)
            if known is None or (fresh.removals, fresh.last) > (known.removals, known.last):
                self._sessions[session] = fresh
            self._sessions.move_to_end(session)
            num_bytes = sum(one.num_bytes for one in self._sessions.values())
            while num_bytes > self.most_bytes:
                _, dropped = self._sessions.popitem(last=False)
                num_bytes -= dropped.num_bytes


def packed(vector: Any) -> bytes:
    """A vector as float16 bytes, little-endian."""
    return np.asarray(vector).astype("<f2").tobytes()


def _num_removals(rows: Rows) -> int:
    found = rows.one("SELECT value FROM meta WHERE name = 'vector_removals'")
    return int(found[0]) if found else 0


def _serial_of_the_oldest(rows: Rows, session: int, newest: int) -> int:
    """The serial after which the newest `MOST_ROWS` rows begin."""
    found = rows.one(
        "SELECT serial FROM vectors WHERE session = ? AND serial <= ? ORDER BY serial DESC LIMIT 1 OFFSET ?",
        session, newest, MOST_ROWS,
    )  # fmt: skip
    return int(found[0]) if found else 0


def _read(rows: Rows, session: int, after: int, upto: int) -> Iterator[_Block]:
    """Vectors made after one serial and up to another."""
    while after < upto:
        found = rows.all(
            "SELECT serial, number, data FROM vectors WHERE session = ? AND serial > ? AND serial <= ? "
            "ORDER BY serial LIMIT ?",
            session, after, upto, _BLOCK_ROWS,
        )  # fmt: skip
        if not found:
            return
        vectors = np.frombuffer(b"".join(data for *_, data in found), dtype="<f2").reshape(len(found), -1)
        serials, numbers = (np.array([row[column] for row in found], dtype=np.int64) for column in (0, 1))
        yield _Block(serials, numbers, vectors.astype(np.float32))
        after = found[-1][0]


def _best(numbers: Any, cosines: Any, limit: int) -> list[tuple[int, float]]:
    mean, deviation = float(cosines.mean()), float(cosines.std())
    if deviation < _LEAST_DEVIATION:
        return []
    num_best = min(len(cosines), 2 * limit)
    best: dict[int, float] = {}
    for row in np.argpartition(-cosines, num_best - 1)[:num_best]:
        # equal vectors are alike to the last digit that is kept, however the blocks were cut
        number, likeness = int(numbers[row]), round((float(cosines[row]) - mean) / deviation, 4)
        if likeness > max(0.0, best.get(number, 0.0)):
            best[number] = likeness
    return sorted(best.items(), key=lambda pair: (-pair[1], -pair[0]))[:limit]
