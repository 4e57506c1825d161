"""The pool's decisions: a ledger that never exceeds its budget, whoever borrows, returns, fails, cancels and pins."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interconnected_ai.errors import ConfigError, PoolError, UnknownNameError
from interconnected_ai.experts.pool import Deny, Grant, Ledger, Load, State, Unload
from properties import examples

NAMES = [f"e{number}" for number in range(6)]
SIZES = dict(zip(NAMES, [30, 40, 50, 20, 60, 200], strict=True))  # the last is larger than the budget


def ledger_of(sizes: dict[str, int], budget: int = 100) -> Ledger:
    ledger = Ledger(budget)
    for name, size in sizes.items():
        ledger.register(name, size)
    return ledger


def come(ledger: Ledger, name: str) -> list[object]:
    """Ask for an expert, and let loads and unloads end at once."""
    _, actions = ledger.ask(name)
    done: list[object] = []
    while actions:
        action = actions.pop(0)
        done.append(action)
        match action:
            case Load(key):
                actions += ledger.loaded(key, ledger.entries[key].num_bytes, 1.0)
            case Unload(key):
                actions += ledger.unloaded(key)
    return done


class Borrowing(RuleBasedStateMachine):
    """Everything that can happen to a pool, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ledger_of(SIZES)
        self.loading: list[str] = []
        self.unloading: list[str] = []
        self.lent: list[str] = []
        self.waiting: dict[int, str] = {}

    def take(self, actions: list) -> None:  # type: ignore[type-arg]
        for action in actions:
            match action:
                case Load(key):
                    assert key not in self.loading
                    self.loading.append(key)
                case Unload(key):
                    assert key not in self.lent, f"{key} is in use"
                    self.unloading.append(key)
                case Grant(ticket, key):
                    assert self.waiting.pop(ticket) == key
                    self.lent.append(key)
                case Deny(ticket, reason):
                    assert isinstance(reason, Exception)
                    del self.waiting[ticket]

    @rule(name=st.sampled_from(NAMES))
    def ask(self, name: str) -> None:
        ticket, actions = self.ledger.ask(name)
        self.waiting[ticket] = name
        self.take(actions)

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.lent))
        self.lent.remove(name)
        self.take(self.ledger.returned(name))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[ticket]
        self.take(self.ledger.give_up(ticket))

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), truth=st.floats(0.5, 1.6))
    def load_ends(self, data: st.DataObject, truth: float) -> None:
        name = self.loading.pop(self.loading.index(data.draw(st.sampled_from(self.loading))))
        self.take(self.ledger.loaded(name, int(SIZES[name] * truth), 0.5))

    @precondition(lambda self: self.loading)
    @rule(data=st.data())
    def load_fails(self, data: st.DataObject) -> None:
        name = self.loading.pop(self.loading.index(data.draw(st.sampled_from(self.loading))))
        self.take(self.ledger.failed(name, PoolError("broken")))

    @precondition(lambda self: self.unloading)
    @rule(data=st.data())
    def unload_ends(self, data: st.DataObject) -> None:
        name = self.unloading.pop(self.unloading.index(data.draw(st.sampled_from(self.unloading))))
        self.take(self.ledger.unloaded(name))

    @rule(name=st.sampled_from(NAMES), pinned=st.booleans())
    def pin(self, name: str, pinned: bool) -> None:
        self.take(self.ledger.pin(name, pinned))

    @rule(name=st.sampled_from(NAMES))
    def prefetch(self, name: str) -> None:
        self.take(self.ledger.prefetch(name))

    @rule(name=st.sampled_from(NAMES))
    def drop(self, name: str) -> None:
        self.take(self.ledger.drop(name))

    @invariant()
    def the_budget_holds(self) -> None:
        assert 0 <= self.ledger.used_bytes <= self.ledger.budget_bytes
        assert self.ledger.peak_bytes <= self.ledger.budget_bytes

    @invariant()
    def the_books_agree(self) -> None:
        assert set(self.ledger.waiting) == set(self.waiting)
        for name in NAMES:
            entry = self.ledger.entries[name]
            assert entry.num_borrowers == self.lent.count(name)
            assert (entry.state is State.LOADING) == (name in self.loading)
            assert (entry.state is State.UNLOADING) == (name in self.unloading)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Where nothing loads, unloads or is lent, and nothing is pinned, whoever waits has been served or refused."""
        if self.loading or self.unloading or self.lent or any(e.pinned for e in self.ledger.entries.values()):
            return
        assert not self.waiting

    def teardown(self) -> None:
        """Once all is given back and every load ends, no waiter is left."""
        for name in NAMES:
            self.take(self.ledger.pin(name, False))
        while self.loading or self.unloading or self.lent:
            if self.loading:
                self.load_ends_truly(self.loading.pop())
            elif self.unloading:
                self.take(self.ledger.unloaded(self.unloading.pop()))
            else:
                self.take(self.ledger.returned(self.lent.pop()))
        assert not self.waiting

    def load_ends_truly(self, name: str) -> None:
        self.take(self.ledger.loaded(name, self.ledger.entries[name].num_bytes, 0.5))


TestBorrowing = Borrowing.TestCase
TestBorrowing.settings = examples(60, stateful_step_count=40)


def test_an_expert_in_memory_is_handed_over_at_once() -> None:
    ledger = ledger_of({"a": 60})
    assert come(ledger, "a") == [Load("a"), Grant(0, "a")]
    assert come(ledger, "a") == [Grant(1, "a")]
    assert ledger.num_hits == 1


def test_two_who_ask_for_one_cold_expert_cost_one_load() -> None:
    ledger = ledger_of({"a": 60})
    first, actions = ledger.ask("a")
    assert actions == [Load("a")]
    second, actions = ledger.ask("a")
    assert actions == []
    assert ledger.loaded("a", 60, 1.0) == [Grant(first, "a"), Grant(second, "a")]


def test_who_is_in_use_never_goes_and_the_next_waits_for_it() -> None:
    ledger = ledger_of({"a": 60, "b": 60})
    come(ledger, "a")
    ticket, actions = ledger.ask("b")
    assert actions == []
    assert not ledger.can_grant("b")
    assert ledger.returned("a") == [Unload("a")]
    assert ledger.unloaded("a") == [Load("b")]
    assert ledger.loaded("b", 60, 1.0) == [Grant(ticket, "b")]


def test_a_large_one_that_waits_is_not_overtaken_by_small_ones() -> None:
    ledger = ledger_of({"a": 50, "b": 50, "large": 100, "small": 10})
    come(ledger, "a")
    come(ledger, "b")
    ledger.ask("large")
    assert ledger.returned("a") == []  # all who may go would not be enough, so nobody goes
    _, actions = ledger.ask("small")
    assert actions == []
    assert {action.key for action in ledger.returned("b") if isinstance(action, Unload)} == {"a", "b"}


def test_a_borrower_that_has_gone_costs_no_load() -> None:
    ledger = ledger_of({"a": 60, "b": 60})
    come(ledger, "a")
    ticket, _ = ledger.ask("b")
    assert ledger.give_up(ticket) == []
    assert ledger.returned("a") == []
    assert ledger.entries["a"].state is State.RESIDENT


def test_one_that_is_larger_than_it_said_is_loaded_anew_with_its_true_size() -> None:
    ledger = ledger_of({"a": 50, "b": 50})
    come(ledger, "a")
    ledger.returned("a")
    ticket, _ = ledger.ask("b")
    assert ledger.loaded("b", 80, 1.0) == [Unload("b")]
    assert ledger.used_bytes <= 100
    assert ledger.unloaded("b") == [Unload("a")]
    assert ledger.unloaded("a") == [Load("b")]
    assert ledger.loaded("b", 80, 1.0) == [Grant(ticket, "b")]


def test_one_that_can_never_come_is_refused_with_the_reason() -> None:
    ledger = ledger_of({"a": 60, "large": 200, "b": 60})
    (deny,) = ledger.ask("large")[1]
    assert isinstance(deny, Deny)
    assert "raise the budget" in str(deny.reason)
    come(ledger, "a")
    ledger.returned("a")
    ledger.pin("a")
    (deny,) = ledger.ask("b")[1]
    assert "pinned experts leave 40" in str(deny.reason)  # type: ignore[union-attr]


def test_what_is_needed_last_goes_first_when_experts_take_turns() -> None:
    names = [f"e{number}" for number in range(8)]
    ledger = ledger_of(dict.fromkeys(names, 25))  # four fit
    for _ in range(30):
        for name in names:
            come(ledger, name)
            ledger.returned(name)
    hits = ledger.num_hits
    for _ in range(10):
        for name in names:
            come(ledger, name)
            ledger.returned(name)
    assert ledger.num_hits - hits > 0.3 * 80  # the least recently used would never be there; Belady has 3 of 7


def test_what_is_cheap_to_load_goes_before_what_is_dear() -> None:
    ledger = Ledger(100)
    for name, seconds in (("dear", 10.0), ("cheap", 0.1), ("new", 1.0)):
        ledger.register(name, 50, seconds)
    for name, seconds in (("dear", 10.0), ("cheap", 0.1)):
        ledger.ask(name)
        ledger.loaded(name, 50, seconds)
        ledger.returned(name)
    assert ledger.ask("new")[1] == [Unload("cheap")]


def test_a_prefetch_takes_free_room_alone_and_goes_first() -> None:
    ledger = ledger_of({"a": 40, "b": 40, "c": 40})
    come(ledger, "a")
    ledger.returned("a")
    assert ledger.prefetch("b") == [Load("b")]
    ledger.loaded("b", 40, 1.0)
    assert ledger.prefetch("c") == []
    assert ledger.ask("c")[1] == [Unload("b")]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget_bytes=0"):
        Ledger(0)
    with pytest.raises(UnknownNameError):
        Ledger(1).ask("nobody")
    with pytest.raises(ConfigError, match="numbers above 0"):
        Ledger(1).register("a", -1)
