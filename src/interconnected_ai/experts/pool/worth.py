"""What keeping an expert in memory is worth: when it is likely to be asked for again, and what loading it anew would take.

Time is counted in requests, so a decision depends on what was asked and on no clock.
"""

import math

_PACE = 0.25  # how much the latest pause between two uses counts
_BLIND = 2  # pauses before which nothing is known of their evenness
_SAME_USE = 2  # uses that are so near each other are one, as the turns of a conversation are


class Uses:
    """When one expert was asked for, in a few numbers. prior: the pause between two uses that is expected of an unknown one."""

    __slots__ = ("_mean", "_num_pauses", "_square", "last")

    def __init__(self, prior: float) -> None:
        self.last: int | None = None
        self._mean, self._square, self._num_pauses = prior, 2 * prior * prior, 0

    def note(self, now: int) -> None:
        """It is asked for in the request number `now`."""
        if self.last is not None and now - self.last > _SAME_USE:
            pause = float(now - self.last)
            share = max(_PACE, 1 / (self._num_pauses + 1))
            self._mean += share * (pause - self._mean)
            self._square += share * (pause * pause - self._square)
            self._num_pauses += 1
        self.last = now

    def remaining(self, now: int) -> float:
        """In how many requests it is likely to be asked for again.

        Uses without a rhythm have no memory: however long ago the last one was, the next is a mean pause away. Even ones come
        a pause after the last: of experts that take turns the one that has just answered is needed last (Belady 1966).
        """
        if self.last is None:
            return self._mean
        since = now - self.last
        if self._num_pauses < _BLIND:
            return max(self._mean, float(since))
        spread = math.sqrt(max(0.0, self._square - self._mean**2)) / self._mean
        evenness = max(0.0, 1.0 - 2.0 * spread)
        due = self._mean - since
        return evenness * (due if due > 0 else self._mean) + (1 - evenness) * max(self._mean, since / 2)


def cost_of_dropping(uses: Uses, now: int, num_bytes: int, load_seconds: float) -> float:
    """Seconds of loading for each byte and request: who has the least goes first."""
    return load_seconds / (max(1, num_bytes) * max(1.0, uses.remaining(now)))
