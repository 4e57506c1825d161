"""What keeping an expert in memory is worth: when it is likely to be asked for again, and what loading it anew would take.

Time is counted in requests, so a decision depends on what was asked and on no clock.
"""

import math
from dataclasses import dataclass, field

_FADING = 0.92  # what an older pause counts against the next one
_PRIOR = 0.5  # pauses that an unknown expert counts for as if they had been
_PER_DOUBLING = 2  # pauses are told apart by steps of √2


@dataclass
class _Pauses:
    """Pauses of about one length. weight: how many they were, older ones counting less."""

    weight: float = 0.0
    mean: float = 0.0

    def add(self, pause: int) -> None:
        self.mean = (self.mean * self.weight + pause) / (self.weight + 1)
        self.weight += 1


@dataclass
class Uses:
    """When one expert was asked for, in a few numbers. prior: the pause between two uses that is expected of an unknown one."""

    prior: float
    last: int | None = None
    _pauses: dict[int, _Pauses] = field(default_factory=dict)  # by the logarithm of their length

    def note(self, now: int) -> None:
        """It is asked for in the request number `now`."""
        if self.last is not None and now > self.last:
            for pauses in self._pauses.values():
                pauses.weight *= _FADING
            pause = now - self.last
            self._pauses.setdefault(round(_PER_DOUBLING * math.log2(pause)), _Pauses()).add(pause)
        self.last = now

    def remaining(self, now: int) -> float:
        """In how many requests it is likely to be asked for again, at least 1.

        It has paused for some time already. Of its earlier pauses those that were longer tell how much longer: the geometric
        mean of what was left of them. An even rhythm thus says exactly when: of experts that take turns the one that has just
        answered is needed last (Belady 1966). Uses without a rhythm have no memory, and the rate alone counts. A conversation
        that has paused for longer than its turns is over.
        """
        if self.last is None:
            return self.prior
        since = now - self.last
        weight, logs = _PRIOR, _PRIOR * math.log(max(1.0, self.prior, since))
        for pauses in self._pauses.values():
            if pauses.mean > since:
                weight += pauses.weight
                logs += pauses.weight * math.log(max(1.0, pauses.mean - since))
        return math.exp(logs / weight)


def cost_of_dropping(uses: Uses, now: int, num_bytes: int, load_seconds: float) -> float:
    """Seconds of loading for each byte and request: who has the least goes first."""
    return load_seconds / (max(1, num_bytes) * max(1.0, uses.remaining(now)))
