"""What a ledger writes down: of each expert an `Entry`, of each borrower a `Wish`."""

from dataclasses import dataclass
from enum import Enum

from interconnected_ai.experts.pool.worth import Uses, cost_of_dropping


class State(Enum):
    """Where an expert is. From RESERVED on its bytes are in the ledger."""

    ABSENT = "absent"
    RESERVED = "reserved"  # its room is kept until what it stands on is loaded
    LOADING = "loading"
    RESIDENT = "resident"
    UNLOADING = "unloading"


@dataclass
class Entry:
    """What the ledger knows of one expert, or of one form of it.

    expected_bytes: what a load is likely to take, the last one's truth. num_bytes: what is counted while it is not absent.
    owed_bytes: by which it has grown beyond that since there was no room. parts: what it stands on. hot: its form that takes
    more bytes and computes faster. num_borrowers: who have it, or will have it when it is loaded. num_dependents: those that
    stand on it and are not absent. wanted: somebody asked for it, a prefetch alone did not. hot_from: the request before which
    its hot form is not loaded.
    """

    expected_bytes: int
    load_seconds: float
    uses: Uses
    title: str
    parts: tuple[str, ...] = ()
    hot: str | None = None
    is_hot: bool = False
    state: State = State.ABSENT
    num_bytes: int = 0
    owed_bytes: int = 0
    num_borrowers: int = 0
    num_dependents: int = 0
    pinned: bool = False
    wanted: bool = False
    hot_from: int = 0
    num_loads: int = 0
    num_hits: int = 0
    num_evictions: int = 0

    @property
    def may_go(self) -> bool:
        """Whether nobody needs it, but for what stands on it."""
        return self.state is State.RESIDENT and not self.num_borrowers and not self.pinned

    @property
    def is_idle(self) -> bool:
        """Whether it may go now."""
        return self.may_go and not self.num_dependents

    @property
    def is_missing(self) -> bool:
        """Whether it takes room that is not kept for it yet."""
        return self.state in (State.ABSENT, State.UNLOADING)

    def cost(self, now: int) -> float:
        """What it costs to do without it, for each of its bytes. now: in requests."""
        return cost_of_dropping(self.uses, now, self.num_bytes or self.expected_bytes, self.load_seconds)


@dataclass(eq=False)
class Wish:
    """Some experts that somebody wants together. ticket: None is a prefetch, which nobody waits for.

    at_once: it is denied where it would have to wait for other borrowers. lent: the form of each key, once there is room;
    held: these and what they stand on, parts first. num_overtakers: who were served past it while it waited for room.
    """

    ticket: int | None
    keys: tuple[str, ...]
    at_once: bool = False
    lent: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    num_overtakers: int = 0
