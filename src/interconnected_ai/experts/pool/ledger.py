"""Who is in memory, who waits, what is to be done next: the pool's decisions without their effects.

A `Ledger` is told what happened and answers with `Action`s; it starts no thread, loads nothing and looks at no clock. What it
counts never exceeds the budget, because bytes are reserved before a load begins and given back only when an unload has ended.
"""

from dataclasses import dataclass, field
from enum import Enum

from interconnected_ai.errors import ConfigError, PoolError, UnknownNameError
from interconnected_ai.experts.pool.worth import Uses, cost_of_dropping


class State(Enum):
    """Where an expert is."""

    ABSENT = "absent"
    LOADING = "loading"
    RESIDENT = "resident"
    UNLOADING = "unloading"


@dataclass(frozen=True)
class Load:
    """Begin to load this one; tell `loaded` or `failed`."""

    key: str


@dataclass(frozen=True)
class Unload:
    """Begin to unload this one; tell `unloaded`."""

    key: str


@dataclass(frozen=True)
class Grant:
    """The borrower with this ticket has what it asked for; it tells `returned`."""

    ticket: int
    key: str


@dataclass(frozen=True)
class Deny:
    """The borrower with this ticket gets nothing, for this reason."""

    ticket: int
    reason: Exception


Action = Load | Unload | Grant | Deny


@dataclass
class Entry:
    """What the ledger knows of one expert. num_bytes: reserved or taken; while it is absent, what it is likely to take."""

    num_bytes: int
    load_seconds: float
    uses: Uses
    state: State = State.ABSENT
    num_borrowers: int = 0
    pinned: bool = False
    wanted: bool = False  # somebody asked for it, a prefetch alone did not
    true_bytes: int | None = None  # known after a load that is being undone
    num_loads: int = 0
    num_hits: int = 0
    num_evictions: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may go."""
        return self.state is State.RESIDENT and not self.num_borrowers and not self.pinned


@dataclass
class Ledger:
    """The bookkeeping of one pool. budget_bytes: of everything that is loaded, loading or unloading. Threads: one at a time."""

    budget_bytes: int
    entries: dict[str, Entry] = field(default_factory=dict)
    peak_bytes: int = 0
    num_requests: int = 0
    num_hits: int = 0
    num_evictions: int = 0
    _queue: list[tuple[int, str]] = field(default_factory=list)  # (ticket, key) of those who wait, the first first
    _next_ticket: int = 0

    def __post_init__(self) -> None:
        if type(self.budget_bytes) is not int or self.budget_bytes < 1:
            raise ConfigError(f"budget_bytes={self.budget_bytes!r}: needed is a number of bytes, 1 at least")

    # What is there

    @property
    def used_bytes(self) -> int:
        """Of all that is not absent."""
        return sum(entry.num_bytes for entry in self.entries.values() if entry.state is not State.ABSENT)

    @property
    def free_bytes(self) -> int:
        """What is left of the budget."""
        return self.budget_bytes - self.used_bytes

    @property
    def waiting(self) -> tuple[int, ...]:
        """Tickets of those who wait, the first first."""
        return tuple(ticket for ticket, _ in self._queue)

    def can_grant(self, key: str) -> bool:
        """Whether a borrower would wait for a load at most, not for other borrowers."""
        entry = self._entry(key)
        if entry.state in (State.RESIDENT, State.LOADING):
            return True
        idle = sum(other.num_bytes for other in self.entries.values() if other.is_idle)
        return not self._queue and entry.num_bytes <= self.free_bytes + idle

    # What happens

    def register(self, key: str, num_bytes: int, load_seconds: float = 1.0) -> None:
        """An expert that may be asked for. num_bytes, load_seconds: as far as known; loading it tells better."""
        if num_bytes < 0 or load_seconds <= 0:
            raise ConfigError(
                f"an expert of {num_bytes} bytes that loads in {load_seconds} s cannot be; give numbers above 0"
            )
        if key not in self.entries:
            self.entries[key] = Entry(num_bytes, load_seconds, Uses(prior=float(len(self.entries) + 1)))

    def ask(self, key: str) -> tuple[int, list[Action]]:
        """Somebody wants to borrow: its ticket, and what is to be done."""
        entry, ticket = self._entry(key), self._next_ticket
        self._next_ticket += 1
        self.num_requests += 1
        entry.uses.note(self.num_requests)
        entry.wanted = True
        if entry.state is State.RESIDENT:
            self.num_hits += 1
            entry.num_hits += 1
            entry.num_borrowers += 1
            return ticket, [Grant(ticket, key)]
        self._queue.append((ticket, key))
        return ticket, self._settle()

    def give_up(self, ticket: int) -> list[Action]:
        """A borrower that waits has gone."""
        self._queue = [(other, key) for other, key in self._queue if other != ticket]
        return self._settle()

    def returned(self, key: str) -> list[Action]:
        """A borrower is done."""
        entry = self._entry(key)
        assert entry.num_borrowers > 0, f"{key} was not borrowed"
        entry.num_borrowers -= 1
        return self._settle()

    def loaded(self, key: str, num_bytes: int, seconds: float) -> list[Action]:
        """A load has ended. num_bytes: what it takes in truth.

        Where that is more than was reserved and more than is free, the load is undone, and begins anew with the true size.
        """
        entry = self._entry(key)
        assert entry.state is State.LOADING, f"{key} was not loading"
        entry.load_seconds = max(1e-6, seconds)
        entry.num_loads += 1
        if num_bytes - entry.num_bytes > self.free_bytes:
            entry.state, entry.true_bytes = State.UNLOADING, num_bytes
            return [Unload(key)]
        entry.num_bytes, entry.state = num_bytes, State.RESIDENT
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return self._settle()

    def failed(self, key: str, error: Exception) -> list[Action]:
        """A load has failed: whoever waited for it is told."""
        entry = self._entry(key)
        assert entry.state is State.LOADING, f"{key} was not loading"
        entry.state = State.ABSENT
        denied = [Deny(ticket, error) for ticket, asked in self._queue if asked == key]
        self._queue = [(ticket, asked) for ticket, asked in self._queue if asked != key]
        return [*denied, *self._settle()]

    def unloaded(self, key: str) -> list[Action]:
        """An unload has ended: its bytes are free."""
        entry = self._entry(key)
        assert entry.state is State.UNLOADING, f"{key} was not unloading"
        entry.state, entry.wanted = State.ABSENT, False
        if entry.true_bytes is not None:
            entry.num_bytes, entry.true_bytes = entry.true_bytes, None
        return self._settle()

    def prefetch(self, key: str) -> list[Action]:
        """It may be asked for soon: loaded where there is room and nobody waits; nobody goes for it."""
        entry = self._entry(key)
        if entry.state is not State.ABSENT or self._queue or entry.num_bytes > self.free_bytes:
            return []
        return [self._begin(key)]

    def pin(self, key: str, pinned: bool = True) -> list[Action]:
        """It stays once it is there, or may go again."""
        self._entry(key).pinned = pinned
        return self._settle()

    def drop(self, key: str) -> list[Action]:
        """Unload it if it is there and nobody has it."""
        return [self._end(key)] if self._entry(key).is_idle else []

    # Decisions

    def _settle(self) -> list[Action]:
        """What can be done for those who wait, in their order.

        The first that needs bytes which are not free has victims unloaded for it, and nobody behind it takes what it waits
        for; nobody goes in vain, where all who may go would not be enough.
        """
        actions: list[Action] = []
        for ticket, key in list(self._queue):
            entry = self.entries[key]
            if entry.state is State.RESIDENT:
                self._queue.remove((ticket, key))
                entry.num_borrowers += 1
                actions.append(Grant(ticket, key))
            elif entry.state is State.ABSENT:
                if (reason := self._why_never(key)) is not None:
                    self._queue.remove((ticket, key))
                    actions.append(Deny(ticket, reason))
                elif entry.num_bytes <= self.free_bytes:
                    actions.append(self._begin(key))
                else:
                    leaving = sum(other.num_bytes for other in self.entries.values() if other.state is State.UNLOADING)
                    victims = self._victims(entry.num_bytes - self.free_bytes - leaving)
                    actions += [self._end(victim) for victim in victims]
                    break
        return actions

    def _begin(self, key: str) -> Load:
        self.entries[key].state = State.LOADING
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return Load(key)

    def _end(self, key: str) -> Unload:
        entry = self.entries[key]
        entry.state = State.UNLOADING
        entry.num_evictions += 1
        self.num_evictions += 1
        return Unload(key)

    def _victims(self, num_bytes: int) -> list[str]:
        """Who goes so that so many bytes become free, whom it costs least; nobody if all together are not enough."""
        if num_bytes <= 0:
            return []
        idle = [key for key, entry in self.entries.items() if entry.is_idle]
        if sum(self.entries[key].num_bytes for key in idle) < num_bytes:
            return []
        chosen: list[str] = []
        freed = 0
        for key in sorted(idle, key=self._worth):
            if freed >= num_bytes:
                break
            chosen.append(key)
            freed += self.entries[key].num_bytes
        for key in list(chosen):  # a small one may have become needless by a large one after it
            if freed - self.entries[key].num_bytes >= num_bytes:
                chosen.remove(key)
                freed -= self.entries[key].num_bytes
        return chosen

    def _worth(self, key: str) -> tuple[bool, float]:
        entry = self.entries[key]
        cost = cost_of_dropping(entry.uses, self.num_requests, entry.num_bytes, entry.load_seconds)
        return entry.wanted, cost

    def _why_never(self, key: str) -> PoolError | None:
        """Why no waiting would bring this expert into memory."""
        entry = self.entries[key]
        if entry.num_bytes > self.budget_bytes:
            return PoolError(
                f"the expert {key!r} takes {entry.num_bytes:,} bytes, the pool's budget is {self.budget_bytes:,}; raise the "
                "budget, or open it in fewer bits"
            )
        pinned = sum(
            other.num_bytes for other in self.entries.values() if other.pinned and other.state is not State.ABSENT
        )
        if entry.num_bytes > self.budget_bytes - pinned:
            return PoolError(
                f"the expert {key!r} takes {entry.num_bytes:,} bytes, and pinned experts leave "
                f"{self.budget_bytes - pinned:,} of the budget of {self.budget_bytes:,}; unpin one, or raise the budget"
            )
        return None

    def _entry(self, key: str) -> Entry:
        if key not in self.entries:
            raise UnknownNameError("expert", key, self.entries)
        return self.entries[key]
