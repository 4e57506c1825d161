"""Vectors of a session in memory, and the nearest of them by brute force. NumPy is imported here, and only when asked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interconnected_ai.memory.store import Rows

MOST_ROWS = 100_000  # of a session; 20 ms to search, 154 MB at 384 dimensions. Beyond, the newest are searched

_LEAST_DEVIATION = 1e-6  # of cosines that are all the same


@dataclass(slots=True)
class SessionVectors:
    """The vectors of one session that were read so far, rows in the order they were made."""

    removals: int
    last: int = 0
    numbers: list[int] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    matrix: Any = None

    def read_new(self, rows: Rows, session: int) -> None:
        """Read what was embedded since the last time."""
        fresh = rows.all(
            "SELECT serial, number, data FROM vectors WHERE session = ? AND serial > ? ORDER BY serial",
            session,
            self.last,
        )
        if not fresh:
            return
        self.last = fresh[-1][0]
        self.numbers += [number for _, number, _ in fresh]
        block = np.frombuffer(b"".join(data for _, _, data in fresh), dtype="<f2").reshape(len(fresh), -1)
        block = block.astype(np.float32)
        self.matrix = block if self.matrix is None else np.concatenate([self.matrix, block])
        if len(self.numbers) > MOST_ROWS:
            self.numbers, self.matrix = self.numbers[-MOST_ROWS:], self.matrix[-MOST_ROWS:].copy()

    def nearest(self, query: Any, limit: int) -> list[tuple[int, float]]:
        """(number, likeness) of the best part of each message, the best first: see `Store.nearest`."""
        if self.matrix is None:
            return []
        cosines = self.matrix @ np.asarray(query, dtype=np.float32)
        mean, deviation = float(cosines.mean()), float(cosines.std())
        if deviation < _LEAST_DEVIATION:
            return []
        num_best = min(len(cosines), 2 * limit)
        best: dict[int, float] = {}
        for row in np.argpartition(-cosines, num_best - 1)[:num_best]:
            number, likeness = self.numbers[row], (float(cosines[row]) - mean) / deviation
            if likeness > max(0.0, best.get(number, 0.0)):
                best[number] = likeness
        return sorted(best.items(), key=lambda pair: (-pair[1], -pair[0]))[:limit]


def packed(vector: Any) -> bytes:
    """A vector as float16 bytes, little-endian."""
    return np.asarray(vector).astype("<f2").tobytes()
