"""`ExpertPool`: experts lent within a budget of bytes. The ledger decides, this does it: threads, waiting, time."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self

from interconnected_ai.errors import ClosedError, ConfigError, ForkError, PoolError, UnknownNameError
from interconnected_ai.experts.pool.actions import Action, Deny, Grant, Load, Unload
from interconnected_ai.experts.pool.entries import Entry, State
from interconnected_ai.experts.pool.ledger import Ledger
from interconnected_ai.experts.pool.loans import ExpertStats, Item, Lendable, Loan, PoolStats

_LOOK_SECONDS = 0.05  # how soon a wait that was cancelled is noticed
_log = logging.getLogger(__name__)


@dataclass
class _Wait:
    """What came of a wish; guarded by the pool's lock. keys: what is lent, in the forms that were granted."""

    began: float
    keys: tuple[str, ...] | None = None
    denied: BaseException | None = None
    waited_seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.keys is not None or self.denied is not None


class Borrowing(Generic[Item]):
    """Experts that were asked for together, from `ExpertPool.ask` until `close`.

    Threads: everything may be called from any number of them; `close` is idempotent and ends the waiting of the others.
    """

    def __init__(self, pool: "ExpertPool[Item]", names: tuple[str, ...], at_once: bool) -> None:
        self.names = names
        self._pool = pool
        self._were_resident, self._ticket, self._answer = pool._ask(names, at_once)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait at most so long, None for ever: whether it is decided, so that `loans` gives them or says why not."""
        return self._pool._wait_for(self._answer, seconds)

    def waiting(self, timeout_seconds: float | None = None) -> Generator[None, None, None]:
        """Wait in small pieces, so that who iterates can stop in between. Raises `PoolError` when the time is over."""
        until = None if timeout_seconds is None else self._answer.began + timeout_seconds
        while not self.wait(_LOOK_SECONDS if until is None else min(_LOOK_SECONDS, until - time.monotonic())):
            if until is not None and time.monotonic() >= until:
                raise self._pool._too_late(self.names, timeout_seconds)
            yield

    def loans(self) -> tuple[Loan[Item], ...]:
        """What was asked for, in its order. Raises why there is nothing, `PoolError` where it is not decided yet."""
        items = self._pool._items_of(self.names, self._answer)
        return tuple(
            Loan(name, item, resident, self._answer.waited_seconds)
            for name, item, resident in zip(self.names, items, self._were_resident, strict=True)
        )

    def close(self) -> None:
        """Give them back, or want them no more."""
        self._pool._done(self._ticket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ExpertPool(Generic[Item]):
    """Lends experts by name, and keeps in memory what its budget holds.

    budget_bytes: of everything that is loaded, by what each expert says it takes. An expert that nobody has may go when room is
    needed: whose loading costs least for the bytes it takes and the time until it is likely to be asked for again. One that
    somebody has never goes. One load at a time for an expert, different ones at once. Two names of one content (`key`) are
    one load. See `Ledger` for who waits, and for how long.

    Threads: everything may be called from any number of them. Loads and unloads run in threads of their own, so a borrower
    that gives up leaves nothing half done. After `close` calls raise `ClosedError`; what is borrowed then is unloaded when it
    comes back.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._ledger = Ledger(budget_bytes)
        self._changed = threading.Condition()
        self._keys: dict[str, str] = {}  # by name
        self._openers: dict[str, Callable[[], Lendable]] = {}  # by key, as all below
        self._gone: set[str] = set()  # keys that no name has any more
        self._items: dict[str, Lendable] = {}
        self._waits: dict[int, _Wait] = {}  # by ticket, until what was asked for is given back
        self._given_back: deque[int] = deque()  # tickets whose borrowers are done, which the ledger is still to be told
        self._is_deciding = False
        self._num_working = 0
        self._closed = False
        self._process = os.getpid()

    # What may be borrowed

    def add(
        self,
        name: str,
        open: Callable[[], Item],
        *,
        num_bytes: int,
        key: str | None = None,
        load_seconds: float = 1.0,
        parts: Iterable[str] = (),
        mapped: Callable[[], Item] | None = None,
        mapped_bytes: int = 0,
    ) -> None:
        """An expert that may be borrowed under this name; nothing is loaded.

        open: loads it. num_bytes, load_seconds: what it is likely to take; loading tells the truth. key: of its content, such
        as a SHA-256: what has the same key is loaded once. parts: what it stands on, as `add_part` has it. mapped: loads it in
        a form that takes few bytes and is there soon, but computes slower; that is lent first, and `open` is called from the
        second use on, where there is room for it; a form that takes no fewer bytes is left aside. Raises `ConfigError` for a
        name that is taken.
        """
        with self._deciding():
            self._require_open()
            if name in self._keys:
                raise ConfigError(f"the pool has an expert {name!r} already; take another name")
            at = f"name {name}" if key is None else f"key {key}"
            under = [_part_key(part) for part in parts]
            if mapped is None or 0 < num_bytes <= mapped_bytes:
                self._register(at, open, num_bytes, load_seconds, title=name, parts=under)
            else:
                self._register(at, mapped, mapped_bytes, load_seconds, title=name, parts=under)
                hot = f"{at} hot"
                self._register(hot, open, num_bytes, load_seconds, title=name, parts=under, hot_of=at)
            self._keys[name] = at
            self._gone.discard(at)

    def replace(
        self,
        name: str,
        open: Callable[[], Item],
        *,
        key: str,
        wait_seconds: float | None = None,
        **more: Any,
    ) -> None:
        """Have a name stand for another expert; who has the old one keeps it, and it goes when it is given back.

        key: of the new content. more: as `add` has it. Where the old one is in memory the new one is loaded before it stands in
        its place, within the budget, at most so long waited for: what `borrow` raises is raised then, and nothing has changed.
        """
        coming = f"{name} (the next one)"
        with self._deciding():
            was_there = self._ledger.is_there(self._key(name))
            pinned = self._ledger.entries[self._key(name)].pinned
        self.add(coming, open, key=key, **more)
        try:
            if was_there:
                with self.borrow(coming, timeout_seconds=wait_seconds):
                    pass  # it can be loaded
            with self._deciding():
                old, self._keys[name] = self._key(name), self._keys.pop(coming)
                self._retire(old)
                self._do(self._ledger.pin(self._keys[name], pinned))
        finally:
            if coming in self._keys:
                self.remove(coming)

    def remove(self, name: str) -> None:
        """Have a name stand for nothing any more; who has its expert keeps it, and it goes when it is given back."""
        with self._deciding():
            self._key(name)
            self._retire(self._keys.pop(name))

    def _retire(self, key: str) -> None:
        if key not in self._keys.values():
            self._gone.add(key)
            self._do(self._ledger.pin(key, False))
            self._do(self._ledger.drop(key))

    def add_part(self, key: str, open: Callable[[], Lendable], *, num_bytes: int, load_seconds: float = 1.0) -> None:
        """What experts stand on, such as the base of adapters: loaded before the first of them, gone after the last.

        A key that is there already is the same part.
        """
        with self._deciding():
            self._require_open()
            self._register(_part_key(key), open, num_bytes, load_seconds, title=key)

    @property
    def names(self) -> tuple[str, ...]:
        """What may be borrowed."""
        with self._changed:
            return tuple(self._keys)

    def can_borrow(self, *names: str) -> bool:
        """Whether a borrower of all these would wait for loading at most, not for others to give back."""
        with self._changed:
            return self._ledger.can_grant(*map(self._key, names))

    def ask(self, *names: str, at_once: bool = False) -> Borrowing[Item]:
        """Ask for these experts together, and wait later; what is given must be closed, with `with` or by hand.

        at_once: nothing is given rather than that other borrowers are waited for, though loads are. Who holds an expert and
        asks for another one asks like that, or two of them could wait for each other. Raises `UnknownNameError`, `ClosedError`.
        """
        return Borrowing(self, names, at_once)

    @contextmanager
    def borrow(
        self,
        name: str,
        *,
        timeout_seconds: float | None = None,
        cancelled: threading.Event | None = None,
        at_once: bool = False,
    ) -> Generator[Loan[Item], None, None]:
        """The expert, for as long as the block lasts.

        timeout_seconds: how long is waited at most, None for ever. cancelled: set by anybody to end the waiting. at_once: as
        `ask` has it. Raises `PoolError` for an expert that cannot come into memory, and for a wait that is over or was
        cancelled; what loading raised; `UnknownNameError`; `ClosedError`.
        """
        with self.ask(name, at_once=at_once) as asked:
            yield self._waited(asked, timeout_seconds, cancelled)[0]

    @contextmanager
    def borrow_all(
        self, *names: str, timeout_seconds: float | None = None, cancelled: threading.Event | None = None
    ) -> Generator[tuple[Loan[Item], ...], None, None]:
        """Several experts together: all of them, or none is held while one waits for the others. Otherwise as `borrow`."""
        with self.ask(*names) as asked:
            yield self._waited(asked, timeout_seconds, cancelled)

    # Before it is asked for, and by hand

    def prefetch(self, names: Iterable[str]) -> None:
        """These may be asked for soon, the likeliest first: loaded where there is room and nobody waits."""
        with self._deciding():
            self._require_open()
            for name in names:
                self._do(self._ledger.prefetch(self._key(name)))

    def pin(self, name: str, pinned: bool = True) -> None:
        """It stays once it is there; with False it may go again."""
        with self._deciding():
            self._require_open()
            self._do(self._ledger.pin(self._key(name), pinned))

    def unload(self, name: str) -> bool:
        """Unload it now; False where it is not there, somebody has it, or it is pinned."""
        with self._deciding():
            self._require_open()
            actions = self._ledger.drop(self._key(name))
            self._do(actions)
            return bool(actions)

    def stats(self) -> PoolStats:
        """The pool as it is."""
        with self._changed:
            ledger = self._ledger
            experts = {name: self._stats_of(key) for name, key in self._keys.items()}
            return PoolStats(
                ledger.budget_bytes, ledger.used_bytes, ledger.peak_bytes, ledger.owed_bytes, ledger.num_requests,
                ledger.num_hits, ledger.num_evictions, len(ledger.waiting), experts,
            )  # fmt: skip

    def close(self) -> None:
        """Unload everything; waits for loads and unloads that run. Idempotent."""
        if self._process != os.getpid():
            return  # what the parent has is the parent's
        with self._deciding():
            self._closed = True
            self._empty_if_closed()
        with self._changed:
            self._changed.wait_for(lambda: self._num_working == 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Wishes

    @contextmanager
    def _deciding(self) -> Generator[None, None, None]:
        """The lock, for one decision at a time.

        A borrower that the garbage collector ends in the middle of a decision, in the thread that makes it, is heard after it.
        """
        if self._process != os.getpid():
            raise ForkError(
                "this pool belongs to the process that made it; make one in the child, or start it with spawn"
            )
        with self._changed:
            is_inner, self._is_deciding = self._is_deciding, True
            try:
                yield
            finally:
                if not is_inner:
                    while self._given_back:
                        self._take_back(self._given_back.popleft())
                    self._is_deciding = False

    def _ask(self, names: tuple[str, ...], at_once: bool) -> tuple[list[bool], int, _Wait]:
        """Whether each is in memory, the ticket, and what comes of it."""
        if not names:
            raise ConfigError("no expert is named; name what is to be borrowed")
        with self._deciding():
            self._require_open()
            keys = [self._key(name) for name in names]
            were_resident = [self._ledger.is_there(key) for key in keys]
            ticket, actions = self._ledger.ask(*keys, at_once=at_once)
            wait = self._waits[ticket] = _Wait(time.monotonic())
            self._do(actions)
        return were_resident, ticket, wait

    def _wait_for(self, wait: _Wait, seconds: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: wait.is_over, seconds)

    def _waited(
        self, asked: Borrowing[Item], timeout_seconds: float | None, cancelled: threading.Event | None
    ) -> tuple[Loan[Item], ...]:
        if cancelled is None:
            if not asked.wait(timeout_seconds):
                raise self._too_late(asked.names, timeout_seconds)
            return asked.loans()
        for _ in asked.waiting(timeout_seconds):
            if cancelled.is_set():
                raise PoolError(f"waiting for the expert {', '.join(map(repr, asked.names))} was cancelled")
        return asked.loans()

    def _items_of(self, names: tuple[str, ...], wait: _Wait) -> list[Item]:
        with self._changed:
            if wait.denied is not None:
                raise wait.denied
            if wait.keys is None:
                raise PoolError(f"the expert {', '.join(map(repr, names))} is not there yet; wait for it")
            return [self._items[key] for key in wait.keys]  # type: ignore[misc]  # what `add` opened, not `add_part`

    def _done(self, ticket: int) -> None:
        self._given_back.append(ticket)
        if self._process == os.getpid():
            with self._deciding():
                pass

    def _take_back(self, ticket: int) -> None:
        wait = self._waits.pop(ticket, None)
        if wait is None:
            return
        if wait.keys is None:
            self._do(self._ledger.give_up(ticket))
        else:
            self._do(self._ledger.returned(ticket, self._sizes(wait.keys)))
        wait.keys, wait.denied = None, wait.denied or PoolError("it was given back; ask again")
        for key in self._gone:
            self._do(self._ledger.drop(key))
        self._changed.notify_all()
        self._empty_if_closed()

    def _sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """What these take now; nothing of one that cannot tell, which then counts as before."""
        sizes: dict[str, int] = {}
        for key in keys:
            try:
                sizes[key] = self._items[key].num_bytes
            except Exception as error:  # noqa: BLE001 - a foreign thing; it is given back all the same
                _log.warning("%s does not say what it takes: %s", self._ledger.entries[key].title, error)
        return sizes

    def _too_late(self, names: tuple[str, ...], timeout_seconds: float | None) -> PoolError:
        with self._changed:
            ledger = self._ledger
            busy = [
                name
                for name, key in self._keys.items()
                for entry in [ledger.entries[key]]
                if entry.num_borrowers or entry.state is State.LOADING
            ]
            who = f"{', '.join(busy[:5]) or 'nobody'} in use or loading"
            return PoolError(
                f"the expert {', '.join(map(repr, names))} did not come within {timeout_seconds} s: {who}, "
                f"{ledger.used_bytes:,} of {ledger.budget_bytes:,} bytes; wait longer, or raise the budget"
            )

    # Effects; the lock is held in all of them

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Grant(ticket, keys):
                    wait = self._waits[ticket]
                    wait.keys, wait.waited_seconds = keys, time.monotonic() - wait.began
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
        try:
            threading.Thread(target=task, args=(key,), name=f"pool {key}", daemon=True).start()
        except RuntimeError as error:  # the machine has no thread left
            if task == self._unload:
                self._unload(key)
            else:
                self._load_failed(key, PoolError(f"{self._ledger.entries[key].title} cannot be loaded: {error}"))

    def _load(self, key: str) -> None:
        """In a thread of its own, without the lock until the end."""
        began = time.monotonic()
        item: Lendable | None = None
        try:
            item = self._openers[key]()
            num_bytes = item.num_bytes
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            if item is not None:
                self._close_item(key, item)
            self._load_failed(key, error)
            return
        with self._deciding():
            self._num_working -= 1
            self._items[key] = item
            self._do(self._ledger.loaded(key, num_bytes, time.monotonic() - began))
            self._empty_if_closed()
            self._changed.notify_all()

    def _load_failed(self, key: str, error: BaseException) -> None:
        told = error
        if not isinstance(error, Exception):  # it was to end the thread that loads, not those that wait
            told = PoolError(f"loading {self._ledger.entries[key].title} was ended by {type(error).__name__}: {error}")
        with self._deciding():
            self._num_working -= 1
            self._do(self._ledger.failed(key, told))
            self._empty_if_closed()
            self._changed.notify_all()

    def _unload(self, key: str) -> None:
        """The same."""
        with self._changed:
            item = self._items.pop(key)
        self._close_item(key, item)
        del item  # its bytes come back with its last name
        with self._deciding():
            self._num_working -= 1
            self._do(self._ledger.unloaded(key))
            self._empty_if_closed()
            self._changed.notify_all()

    def _close_item(self, key: str, item: Lendable) -> None:
        try:
            item.close()
        except Exception as error:  # noqa: BLE001 - a foreign thing may raise anything, and has gone all the same
            _log.warning("closing %s failed: %s: %s", self._ledger.entries[key].title, type(error).__name__, error)

    def _empty_if_closed(self) -> None:
        if self._closed:
            self._do(self._ledger.end(ClosedError("the pool is closed; make another")))

    # Looking things up

    def _register(
        self,
        key: str,
        open: Callable[[], Lendable],
        num_bytes: int,
        load_seconds: float,
        *,
        title: str,
        parts: Sequence[str] = (),
        hot_of: str | None = None,
    ) -> None:
        self._ledger.register(key, num_bytes, load_seconds, title=title, parts=parts, hot_of=hot_of)
        self._openers.setdefault(key, open)

    def _stats_of(self, key: str) -> ExpertStats:
        light = self._ledger.entries[key]
        hot = None if light.hot is None else self._ledger.entries[light.hot]
        forms: list[Entry] = [light] if hot is None else [light, hot]
        state = light.state.value
        if hot is not None:
            state = hot.state.value if hot.state is State.RESIDENT else state
            state = "mapped" if state == State.RESIDENT.value and hot.state is not State.RESIDENT else state
        return ExpertStats(
            state, sum(each.num_bytes for each in forms) or forms[-1].expected_bytes,
            sum(each.num_borrowers for each in forms), light.pinned, sum(each.num_loads for each in forms),
            light.num_hits, sum(each.num_evictions for each in forms), light.load_seconds,
        )  # fmt: skip

    def _key(self, name: str) -> str:
        if name not in self._keys:
            raise UnknownNameError("expert", name, self._keys)
        return self._keys[name]

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the pool is closed; make another")


def _part_key(key: str) -> str:
    return f"part {key}"
