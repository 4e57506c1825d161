"""`ExpertPool`: experts lent within a budget of bytes. The ledger decides, this does it: threads, waiting, time."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from interconnected_ai.errors import ClosedError, ConfigError, PoolError, UnknownNameError
from interconnected_ai.experts.pool.ledger import Action, Deny, Grant, Ledger, Load, State, Unload

_LOOK_SECONDS = 0.05  # how soon a cancelled wait is noticed


class Lendable(Protocol):
    """What a pool lends: it says what it takes, and gives it back."""

    @property
    def num_bytes(self) -> int:
        """Its private bytes, second copies of an engine included."""

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
    """What the pool knows of one expert. state: absent, loading, resident or unloading."""

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
    """The pool at one moment."""

    budget_bytes: int
    used_bytes: int
    peak_bytes: int
    num_requests: int
    num_hits: int
    num_evictions: int
    num_waiting: int
    experts: dict[str, ExpertStats]

    @property
    def hit_rate(self) -> float:
        """Requests whose expert was in memory, of all; 1 before the first."""
        return self.num_hits / self.num_requests if self.num_requests else 1.0


@dataclass
class _Wait:
    """A borrower that waits."""

    granted: bool = False
    denied: Exception | None = None


class ExpertPool(Generic[Item]):
    """Lends experts by name, and keeps in memory what its budget holds.

    budget_bytes: of everything that is loaded, by what each expert says it takes. An expert that nobody has may go when room is
    needed: whose loading costs least for the bytes it takes and the time until it is likely to be asked for again. One that
    somebody has never goes. One load at a time for an expert, different ones at once. Two names of one content (`key`) are
    one load.

    Threads: everything may be called from any number of them. Loads and unloads run in threads of their own, so a borrower
    that gives up leaves nothing half done. After `close` calls raise `ClosedError`; what is borrowed then is unloaded when it
    comes back.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._ledger = Ledger(budget_bytes)
        self._changed = threading.Condition()
        self._keys: dict[str, str] = {}  # by name
        self._openers: dict[str, Callable[[], Item]] = {}  # by key, as all below
        self._items: dict[str, Item] = {}
        self._waits: dict[int, _Wait] = {}
        self._num_working = 0
        self._closed = False

    # What may be borrowed

    def add(
        self, name: str, open: Callable[[], Item], *, num_bytes: int, key: str | None = None, load_seconds: float = 1.0
    ) -> None:
        """An expert that may be borrowed under this name; nothing is loaded.

        open: loads it. num_bytes, load_seconds: what it is likely to take; loading tells the truth. key: of its content, such
        as a SHA-256: what has the same key is loaded once. Raises `ConfigError` for a name that is taken.
        """
        with self._changed:
            self._require_open()
            if name in self._keys:
                raise ConfigError(f"the pool has an expert {name!r} already; take another name")
            at = f"name {name}" if key is None else f"key {key}"
            self._ledger.register(at, num_bytes, load_seconds)
            self._openers.setdefault(at, open)
            self._keys[name] = at

    @property
    def names(self) -> tuple[str, ...]:
        """What may be borrowed."""
        with self._changed:
            return tuple(self._keys)

    def can_borrow(self, name: str) -> bool:
        """Whether a borrower would wait for loading at most, not for others to give back."""
        with self._changed:
            return self._ledger.can_grant(self._key(name))

    @contextmanager
    def borrow(
        self, name: str, *, timeout_seconds: float | None = None, cancelled: threading.Event | None = None
    ) -> Generator[Loan[Item], None, None]:
        """The expert, for as long as the block lasts.

        timeout_seconds: how long is waited at most, None for ever. cancelled: set by anybody to end the waiting. Raises
        `PoolError` for an expert that cannot come into memory, and for a wait that is over or was cancelled; what loading
        raised; `UnknownNameError`; `ClosedError`.
        """
        began = time.monotonic()
        with self._changed:
            self._require_open()
            key = self._key(name)
            was_resident = self._ledger.entries[key].state is State.RESIDENT
            ticket, actions = self._ledger.ask(key)
            wait = self._waits[ticket] = _Wait()
            self._do(actions)
            try:
                self._await(name, wait, timeout_seconds, cancelled)
            except BaseException:
                if wait.granted:
                    self._do(self._ledger.returned(key))
                else:
                    self._do(self._ledger.give_up(ticket))
                raise
            finally:
                del self._waits[ticket]
            item = self._items[key]
        try:
            yield Loan(name, item, was_resident, time.monotonic() - began)
        finally:
            with self._changed:
                self._do(self._ledger.returned(key))
                self._empty_if_closed()

    # Before it is asked for, and by hand

    def prefetch(self, names: Iterable[str]) -> None:
        """These may be asked for soon, the likeliest first: loaded where there is room and nobody waits."""
        with self._changed:
            self._require_open()
            for name in names:
                self._do(self._ledger.prefetch(self._key(name)))

    def pin(self, name: str, pinned: bool = True) -> None:
        """It stays once it is there; with False it may go again."""
        with self._changed:
            self._require_open()
            self._do(self._ledger.pin(self._key(name), pinned))

    def unload(self, name: str) -> bool:
        """Unload it now; False where it is not there, somebody has it, or it is pinned."""
        with self._changed:
            self._require_open()
            actions = self._ledger.drop(self._key(name))
            self._do(actions)
            return bool(actions)

    def stats(self) -> PoolStats:
        """The pool as it is."""
        with self._changed:
            ledger = self._ledger
            experts = {
                name: ExpertStats(
                    entry.state.value, entry.num_bytes, entry.num_borrowers, entry.pinned, entry.num_loads,
                    entry.num_hits, entry.num_evictions, entry.load_seconds,
                )
                for name, entry in ((name, ledger.entries[key]) for name, key in self._keys.items())
            }  # fmt: skip
            return PoolStats(
                ledger.budget_bytes, ledger.used_bytes, ledger.peak_bytes, ledger.num_requests, ledger.num_hits,
                ledger.num_evictions, len(ledger.waiting), experts,
            )  # fmt: skip

    def close(self) -> None:
        """Unload everything; waits for loads and unloads that run. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._empty_if_closed()
            self._changed.wait_for(lambda: self._num_working == 0)
            self._empty_if_closed()
            self._changed.wait_for(lambda: self._num_working == 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Effects; the lock is held in all of them

    def _await(self, name: str, wait: _Wait, timeout_seconds: float | None, cancelled: threading.Event | None) -> None:
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not wait.granted:
            if wait.denied is not None:
                raise wait.denied
            self._require_open()
            if cancelled is not None and cancelled.is_set():
                raise PoolError(f"waiting for the expert {name!r} was cancelled")
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise PoolError(
                    f"the expert {name!r} did not come within {timeout_seconds} s: {self._who_has_the_room()}; wait longer, "
                    "or raise the budget"
                )
            self._changed.wait(left if cancelled is None else min(_LOOK_SECONDS, left or _LOOK_SECONDS))

    def _who_has_the_room(self) -> str:
        ledger = self._ledger
        busy = [
            name
            for name, key in self._keys.items()
            if ledger.entries[key].num_borrowers or ledger.entries[key].state is State.LOADING
        ]
        return f"{', '.join(busy[:5]) or 'nobody'} in use or loading, {ledger.used_bytes:,} of {ledger.budget_bytes:,} bytes"

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Grant(ticket, _):
                    self._waits[ticket].granted = True
                case Deny(ticket, reason):
                    self._waits[ticket].denied = reason
                case Load(key):
                    self._work(self._load, key)
                case Unload(key):
                    self._work(self._unload, key)
        if actions:
            self._changed.notify_all()

    def _work(self, task: Callable[[str], None], key: str) -> None:
        self._num_working += 1
        threading.Thread(target=task, args=(key,), name=f"pool {key}", daemon=True).start()

    def _load(self, key: str) -> None:
        """In a thread of its own, without the lock until the end."""
        began = time.monotonic()
        try:
            item = self._openers[key]()
            num_bytes = item.num_bytes
        except Exception as error:  # noqa: BLE001 - it is raised again where somebody waits for it
            with self._changed:
                self._num_working -= 1
                self._do(self._ledger.failed(key, error))
                self._changed.notify_all()
            return
        with self._changed:
            self._num_working -= 1
            self._items[key] = item
            self._do(self._ledger.loaded(key, num_bytes, time.monotonic() - began))
            self._empty_if_closed()
            self._changed.notify_all()

    def _unload(self, key: str) -> None:
        """The same."""
        with self._changed:
            item = self._items.pop(key)
        try:
            item.close()
        finally:
            del item
            with self._changed:
                self._num_working -= 1
                self._do(self._ledger.unloaded(key))
                self._changed.notify_all()

    def _empty_if_closed(self) -> None:
        if self._closed:
            for key, entry in self._ledger.entries.items():
                entry.pinned = False
                self._do(self._ledger.drop(key))

    def _key(self, name: str) -> str:
        if name not in self._keys:
            raise UnknownNameError("expert", name, self._keys)
        return self._keys[name]

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the pool is closed; make another")
