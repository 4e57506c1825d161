"""What a pool lends, and what it says of itself."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Lendable(Protocol):
    """What a pool lends: it says what it takes, and gives it back. Threads: both from any of them."""

    @property
    def num_bytes(self) -> int:
        """Its private bytes as they are now, second copies of an engine included."""

    def close(self) -> None:
        """Give the memory back."""


Item = TypeVar("Item", bound=Lendable)


@dataclass(frozen=True)
class Loan(Generic[Item]):
    """An expert that is borrowed.

    was_resident: it was in memory when it was asked for. waited_seconds: until it was handed over.
    """

    name: str
    expert: Item
    was_resident: bool
    waited_seconds: float


@dataclass(frozen=True)
class ExpertStats:
    """What the pool knows of one expert.

    state: absent, reserved, loading, unloading, resident, or mapped where its light form alone is in memory. num_bytes: of all
    its forms that are there; of none, what it is likely to take. num_loads, num_evictions: of all its forms.
    """

    state: str
    num_bytes: int
    num_borrowers: int
    pinned: bool
    num_loads: int
    num_hits: int
    num_evictions: int
    load_seconds: float


@dataclass(frozen=True)
class PoolStats:
    """The pool at one moment.

    used_bytes: of what is loaded, loading or unloading, what experts stand on among it; peak_bytes: the most that was.
    owed_bytes: by which experts have grown while they were in use, and for which others are going.
    """

    budget_bytes: int
    used_bytes: int
    peak_bytes: int
    owed_bytes: int
    num_requests: int
    num_hits: int
    num_evictions: int
    num_waiting: int
    experts: dict[str, ExpertStats]

    @property
    def hit_rate(self) -> float:
        """Requests whose experts were in memory, of all; 1 before the first."""
        return self.num_hits / self.num_requests if self.num_requests else 1.0
