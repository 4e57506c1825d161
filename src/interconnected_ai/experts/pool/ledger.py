"""Who is in memory, who waits, what is to be done next: the pool's decisions without their effects.

A `Ledger` is told what happened and answers with `Action`s; it starts no thread, loads nothing and looks at no clock. What it
counts never exceeds the budget, because bytes are reserved before a load begins and given back only when an unload has ended.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from interconnected_ai.errors import ConfigError, PoolError, UnknownNameError
from interconnected_ai.experts.pool.actions import Action, Deny, Grant, Load, Unload
from interconnected_ai.experts.pool.entries import Entry, State, Wish
from interconnected_ai.experts.pool.room import colder, leaving_bytes, victims
from interconnected_ai.experts.pool.worth import Uses

PATIENCE = 64  # borrowers that may be served past one that waits for room
_HOTTER = 2.0  # by how much a form must be worth more than those which it drives out
_COOLING = 64  # requests for which a hot form that failed to load is not tried again


@dataclass
class Ledger:
    """The bookkeeping of one pool. Threads: one at a time.

    budget_bytes: of everything that is loaded, loading or unloading. patience: borrowers of what is loaded that may be served
    past one that waits for room; then they wait behind it, so that nobody waits for ever.

    - What is asked for together is reserved together or not at all: no two borrowers wait for what the other holds.
    - Who waits for room is served in the order of asking. The first that needs bytes which are not free has others unloaded
      for it, those whose absence costs least; nobody goes in vain, where all who may go would not be enough.
    - What stands on a part (an adapter on its base) keeps it, and is loaded after it; a part that nothing stands on may go.
    - What has two forms is lent in the light one first. From the second use on its hot form is loaded into free room, or into
      that of hot forms which are worth much less; whoever needs room takes it from these first, and the light one stays.
    """

    budget_bytes: int
    patience: int = PATIENCE
    entries: dict[str, Entry] = field(default_factory=dict)
    peak_bytes: int = 0
    num_requests: int = 0
    num_hits: int = 0
    num_evictions: int = 0
    _queue: list[Wish] = field(default_factory=list)  # who wait for room, the first first
    _coming: list[Wish] = field(default_factory=list)  # who have their room and wait for loads
    _lent: dict[int, Wish] = field(default_factory=dict)
    _next_ticket: int = 0

    def __post_init__(self) -> None:
        if type(self.budget_bytes) is not int or self.budget_bytes < 1:
            raise ConfigError(f"budget_bytes={self.budget_bytes!r}: needed is a number of bytes, 1 at least")

    # What is there

    @property
    def used_bytes(self) -> int:
        """Of all that is not absent."""
        return sum(entry.num_bytes for entry in self.entries.values())

    @property
    def free_bytes(self) -> int:
        """What is left of the budget."""
        return self.budget_bytes - self.used_bytes

    @property
    def owed_bytes(self) -> int:
        """By which those who are in memory have grown, beyond what there is room for."""
        return sum(entry.owed_bytes for entry in self.entries.values())

    @property
    def waiting(self) -> tuple[int, ...]:
        """Tickets of those who wait, the first first."""
        return tuple(sorted(wish.ticket for wish in (*self._queue, *self._coming) if wish.ticket is not None))

    @property
    def lent(self) -> tuple[int, ...]:
        """Tickets of those who have what they asked for."""
        return tuple(self._lent)

    def is_there(self, key: str) -> bool:
        """Whether a form of it is in memory."""
        return self.entries[self._form(key)].state is State.RESIDENT

    def can_grant(self, *keys: str) -> bool:
        """Whether a borrower of all these would wait for loads at most, not for other borrowers."""
        needed = self._needed(keys)
        missing = [key for key in needed if self.entries[key].is_missing]
        if not missing:
            return not any(wish.num_overtakers >= self.patience for wish in self._queue)
        if self._queue or self._why_never(needed) is not None:
            return False
        return self._victims(self._short_bytes(missing), needed) is not None

    # What may be asked for

    def register(
        self,
        key: str,
        num_bytes: int,
        load_seconds: float = 1.0,
        *,
        title: str | None = None,
        parts: Iterable[str] = (),
        hot_of: str | None = None,
    ) -> None:
        """An expert that may be asked for. num_bytes, load_seconds: as far as known; loading it tells better.

        title: for messages. parts: keys of what it stands on, registered before. hot_of: the key of the light form; this is
        its hot one, which nobody asks for. What is there already stays as it is.
        """
        if num_bytes < 0 or load_seconds <= 0:
            raise ConfigError(
                f"an expert of {num_bytes} bytes that loads in {load_seconds} s cannot be; give numbers above 0"
            )
        for part in parts:
            self._entry(part)
        if key in self.entries:
            return
        prior = float(len(self.entries) + 1)
        self.entries[key] = Entry(num_bytes, load_seconds, Uses(prior), title or key, tuple(parts))
        if hot_of is not None:
            light, hot = self._entry(hot_of), self.entries[key]
            light.hot, hot.is_hot, hot.wanted, hot.uses = key, True, True, light.uses

    # What happens

    def ask(self, *keys: str, at_once: bool = False) -> tuple[int, list[Action]]:
        """Somebody wants to borrow these together: its ticket, and what is to be done.

        at_once: deny it rather than let it wait for other borrowers, as befits one that holds something already.
        """
        needed = self._needed(keys)
        ticket = self._next_ticket
        self._next_ticket += 1
        self.num_requests += 1
        for key in {*keys, *needed}:
            self.entries[key].wanted = True
            self.entries[key].uses.note(self.num_requests)
        hits = [key for key in keys if self.is_there(key)]
        if len(hits) == len(keys):
            self.num_hits += 1
            for key in hits:
                self.entries[key].num_hits += 1
        self._queue.append(Wish(ticket, keys, at_once))
        actions = self._settle()
        for key in hits:
            actions += self._heat(key)
        return ticket, actions

    def give_up(self, ticket: int) -> list[Action]:
        """A borrower that waits has gone. A load that has not begun for it does not begin."""
        for wish in (*self._queue, *self._coming):
            if wish.ticket == ticket:
                self._forget(wish)
        return self._settle()

    def returned(self, ticket: int, sizes: Mapping[str, int] | None = None) -> list[Action]:
        """A borrower is done. sizes: bytes of what it had, as they are now."""
        wish = self._lent.pop(ticket)
        self._release(wish)
        for key, num_bytes in (sizes or {}).items():
            if self.entries[key].state is State.RESIDENT:
                self._resize(self.entries[key], num_bytes)
        return self._settle()

    def loaded(self, key: str, num_bytes: int, seconds: float) -> list[Action]:
        """A load has ended. num_bytes: what it takes in truth.

        Where that is more than was reserved and more than is free, the load is undone, and begins anew with the true size.
        """
        entry = self._entry(key)
        assert entry.state is State.LOADING, f"{key} was not loading"
        entry.load_seconds, entry.expected_bytes = max(1e-6, seconds), num_bytes
        entry.num_loads += 1
        if num_bytes - entry.num_bytes > self.free_bytes:
            entry.state = State.UNLOADING
            self._wait_anew(key)
            return [Unload(key), *self._settle()]
        entry.num_bytes, entry.state = num_bytes, State.RESIDENT
        self._note_peak()
        standing_on_it = [other for other, each in self.entries.items() if key in each.parts]
        return [*self._begin(standing_on_it), *self._grants(), *self._settle()]

    def failed(self, key: str, error: BaseException) -> list[Action]:
        """A load has failed: whoever waits for it is told."""
        entry = self._entry(key)
        assert entry.state is State.LOADING, f"{key} was not loading"
        waiting = [wish for wish in (*self._coming, *self._queue) if key in (wish.held or self._needed(wish.keys))]
        denied = [action for wish in waiting for action in self._deny(wish, error)]
        self._leave(key)
        for light in self.entries.values():
            if light.hot == key:
                light.hot_from = self.num_requests + _COOLING
        return [*denied, *self._settle()]

    def unloaded(self, key: str) -> list[Action]:
        """An unload has ended: its bytes are free."""
        entry = self._entry(key)
        assert entry.state is State.UNLOADING, f"{key} was not unloading"
        entry.wanted = entry.is_hot
        self._leave(key)
        return self._settle()

    def prefetch(self, key: str) -> list[Action]:
        """It may be asked for soon: loaded where there is room and nobody waits; nobody goes for it."""
        needed = self._needed([key])
        missing = [one for one in needed if self.entries[one].is_missing]
        if not missing or self._queue or not self._has_room(missing):
            return []
        return self._reserve(Wish(None, (key,)))

    def pin(self, key: str, pinned: bool = True) -> list[Action]:
        """It stays once it is there, or may go again."""
        for form in self._forms(key):
            self.entries[form].pinned = pinned
        return self._settle()

    def drop(self, key: str) -> list[Action]:
        """Unload it if it is there and nobody has it."""
        return [self._end(form) for form in self._forms(key) if self.entries[form].is_idle]

    def end(self, error: BaseException) -> list[Action]:
        """Nothing is lent any more: whoever waits is told, and all that nobody has goes, now and when it comes back."""
        actions = [action for wish in (*self._queue, *self._coming) for action in self._deny(wish, error)]
        for key, entry in self.entries.items():
            entry.pinned = False
            if entry.is_idle:
                actions.append(self._end(key))
        return actions

    # Wishes

    def _settle(self) -> list[Action]:
        """What can be done for those who wait, in their order."""
        actions = self._pay_debts()
        blocked: Wish | None = None
        for wish in list(self._queue):
            needed = self._needed(wish.keys)
            missing = [key for key in needed if self.entries[key].is_missing]
            if not missing and (blocked is None or blocked.num_overtakers < self.patience):
                if blocked is not None:
                    blocked.num_overtakers += 1
                actions += self._reserve(wish)
            elif missing and (reason := self._why_never(needed)) is not None:
                actions += self._deny(wish, reason)
            elif blocked is not None:
                actions += self._deny_if_at_once(wish)
            elif missing and self._has_room(missing):
                actions += self._reserve(wish)
            else:
                chosen = self._victims(self._short_bytes(missing), needed)
                if chosen is None and wish.at_once:
                    actions += self._deny_if_at_once(wish)
                    continue
                blocked = wish
                actions += self._evict(chosen or ())
        return actions

    def _reserve(self, wish: Wish) -> list[Action]:
        """Keep what is there and the room of what is not, and begin to load it."""
        if wish in self._queue:
            self._queue.remove(wish)
        self._coming.append(wish)
        wish.lent, wish.held = tuple(map(self._form, wish.keys)), tuple(self._needed(wish.keys))
        for key in wish.held:
            entry = self.entries[key]
            entry.num_borrowers += 1
            if entry.state is State.ABSENT:
                entry.state, entry.num_bytes = State.RESERVED, entry.expected_bytes
                for part in entry.parts:
                    self.entries[part].num_dependents += 1
        self._note_peak()
        return [*self._begin(wish.held), *self._grants()]

    def _grants(self) -> list[Action]:
        """To those for whom everything is loaded."""
        actions: list[Action] = []
        for wish in list(self._coming):
            if any(self.entries[key].state is not State.RESIDENT for key in wish.held):
                continue
            self._coming.remove(wish)
            if wish.ticket is None:
                self._release(wish)
            else:
                self._lent[wish.ticket] = wish
                actions.append(Grant(wish.ticket, wish.lent))
        return actions

    def _deny(self, wish: Wish, reason: BaseException) -> list[Action]:
        self._forget(wish)
        return [] if wish.ticket is None else [Deny(wish.ticket, reason)]

    def _deny_if_at_once(self, wish: Wish) -> list[Action]:
        if not wish.at_once:
            return []
        titles = ", ".join(repr(self.entries[key].title) for key in wish.keys)
        return self._deny(wish, PoolError(f"there is no room for {titles} without waiting for others; ask again later"))

    def _forget(self, wish: Wish) -> None:
        """It waits no more."""
        if wish in self._queue:
            self._queue.remove(wish)
        elif wish in self._coming:
            self._coming.remove(wish)
            self._release(wish)

    def _release(self, wish: Wish) -> None:
        """It holds nothing any more; room that was kept for a load that did not begin is free again."""
        for key in reversed(wish.held):  # parts after what stands on them
            entry = self.entries[key]
            entry.num_borrowers -= 1
            if entry.state is State.RESERVED and not entry.num_borrowers:
                self._leave(key)
        wish.held, wish.lent = (), ()

    def _wait_anew(self, key: str) -> None:
        """What was to come needs more room than was kept: whoever waits for it waits for room again."""
        for wish in [each for each in self._coming if key in each.held]:
            self._coming.remove(wish)
            self._release(wish)
            if wish.ticket is not None:
                self._queue.append(wish)
        self._queue.sort(key=lambda wish: wish.ticket or 0)

    # Loads and unloads

    def _begin(self, keys: Iterable[str]) -> list[Action]:
        """To load those whose room is kept and whose parts are there."""
        actions: list[Action] = []
        for key in keys:
            entry = self.entries[key]
            if entry.state is State.RESERVED and all(
                self.entries[part].state is State.RESIDENT for part in entry.parts
            ):
                entry.state = State.LOADING
                actions.append(Load(key))
        return actions

    def _end(self, key: str) -> Unload:
        entry = self.entries[key]
        entry.state = State.UNLOADING
        entry.num_evictions += 1
        self.num_evictions += 1
        return Unload(key)

    def _leave(self, key: str) -> None:
        """It is absent, its bytes are free, and its parts have one less that stands on them."""
        entry = self.entries[key]
        entry.state, entry.num_bytes, entry.owed_bytes = State.ABSENT, 0, 0
        for part in entry.parts:
            under = self.entries[part]
            under.num_dependents -= 1
            if under.state is State.RESERVED and not under.num_borrowers and not under.num_dependents:
                self._leave(part)

    def _heat(self, key: str) -> list[Action]:
        """Load the hot form of one that was used again, where that is worth it; room is made for the next use only."""
        entry = self.entries[key]
        if entry.hot is None or entry.hot_from > self.num_requests or self._queue or self.owed_bytes:
            return []
        hot = self.entries[entry.hot]
        if hot.state is not State.ABSENT or hot.expected_bytes > self.budget_bytes:
            return []
        if hot.expected_bytes <= self.free_bytes:
            return self._reserve(Wish(None, (entry.hot,)))
        now = self.num_requests
        short = hot.expected_bytes - self.free_bytes - leaving_bytes(self.entries)
        return self._evict(colder(self.entries, short, hot.cost(now) / _HOTTER, now) or ())

    # Room

    def _resize(self, entry: Entry, num_bytes: int) -> None:
        """It takes another size than when it was lent; what there is no room for is owed until somebody goes."""
        known = entry.num_bytes
        entry.num_bytes = min(num_bytes, known + max(0, self.free_bytes))
        entry.owed_bytes = num_bytes - entry.num_bytes
        self._note_peak()

    def _pay_debts(self) -> list[Action]:
        """What has grown takes what is free before anybody else, and others go for the rest; only then it goes itself."""
        for entry in self.entries.values():
            if entry.owed_bytes:
                self._resize(entry, entry.num_bytes + entry.owed_bytes)
        if not self.owed_bytes:
            return []
        short = self.owed_bytes - self.free_bytes - leaving_bytes(self.entries)
        chosen = self._victims(short, {key for key, entry in self.entries.items() if entry.owed_bytes})
        return self._evict(chosen if chosen is not None else self._victims(short, ()) or ())

    def _short_bytes(self, missing: Iterable[str]) -> int:
        """What is lacking for these once everything that leaves has left; what has grown takes its share first."""
        needed = sum(self.entries[key].expected_bytes for key in missing)
        return needed + self.owed_bytes - self.free_bytes - leaving_bytes(self.entries)

    def _has_room(self, missing: Iterable[str]) -> bool:
        entries = [self.entries[key] for key in missing]
        is_free = sum(entry.expected_bytes for entry in entries) <= self.free_bytes
        return is_free and all(entry.state is State.ABSENT for entry in entries)

    def _victims(self, num_bytes: int, kept: Collection[str]) -> list[str] | None:
        return victims(self.entries, num_bytes, kept, self.num_requests)

    def _evict(self, chosen: Iterable[str]) -> list[Action]:
        """Those of them that may go now; a part goes when what stands on it has gone."""
        return [self._end(key) for key in chosen if self.entries[key].is_idle]

    def _note_peak(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _why_never(self, keys: Iterable[str]) -> PoolError | None:
        """Why no waiting would bring these into memory together."""
        wanted = list(keys)
        num_bytes = sum(max(entry.num_bytes, entry.expected_bytes) for entry in map(self.entries.__getitem__, wanted))
        titles = ", ".join(repr(self.entries[key].title) for key in wanted)
        what = f"the expert {titles} takes" if len(wanted) == 1 else f"{titles} take"
        if num_bytes > self.budget_bytes:
            return PoolError(
                f"{what} {num_bytes:,} bytes, the pool's budget is {self.budget_bytes:,}; raise the budget, or open it in "
                "fewer bits"
            )
        staying = self._with_parts(key for key, entry in self.entries.items() if entry.pinned)
        pinned = sum(self.entries[key].num_bytes for key in staying if key not in wanted)
        if num_bytes > self.budget_bytes - pinned:
            return PoolError(
                f"{what} {num_bytes:,} bytes, and pinned experts leave {self.budget_bytes - pinned:,} of the budget of "
                f"{self.budget_bytes:,}; unpin one, or raise the budget"
            )
        return None

    # Looking things up

    def _form(self, key: str) -> str:
        """The form of it that is lent now."""
        hot = self._entry(key).hot
        return hot if hot is not None and self.entries[hot].state is State.RESIDENT else key

    def _forms(self, key: str) -> list[str]:
        hot = self._entry(key).hot
        return [key] if hot is None else [hot, key]

    def _needed(self, keys: Iterable[str]) -> list[str]:
        """The forms of these that are lent now, and what they stand on, parts first, each once."""
        return self._with_parts(map(self._form, keys))

    def _with_parts(self, keys: Iterable[str]) -> list[str]:
        found: dict[str, None] = {}
        for key in keys:
            found.update(dict.fromkeys(self._with_parts(self._entry(key).parts)))
            found[key] = None
        return list(found)

    def _entry(self, key: str) -> Entry:
        if key not in self.entries:
            raise UnknownNameError("expert", key, self.entries)
        return self.entries[key]
