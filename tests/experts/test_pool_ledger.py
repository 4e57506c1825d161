"""The pool's decisions: a ledger that never exceeds its budget, whoever borrows, returns, fails, cancels and pins."""

import random
from itertools import accumulate

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interconnected_ai.errors import ConfigError, PoolError, UnknownNameError
from interconnected_ai.experts.pool import Action, Deny, Grant, Ledger, Load, State, Unload
from interconnected_ai.experts.pool.worth import Uses
from properties import examples

# e4 is larger than the budget; two adapters stand on a base; what is asked for as "light" has a hot form
SIZES = {"e0": 30, "e1": 40, "e2": 50, "e3": 20, "e4": 200, "base": 50, "a0": 5, "a1": 6, "light": 2, "hot": 45}
KEYS, ON_BASE = list(SIZES), ["a0", "a1"]
NAMES = [name for name in KEYS if name not in ("base", "hot")]


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
    """Everything that can happen to a pool, in any order: experts, two that stand on one base, one that has two forms."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(100, patience=5)
        for name in KEYS:
            self.ledger.register(
                name, SIZES[name], parts=["base"] if name in ON_BASE else [], hot_of="light" if name == "hot" else None
            )
        self.loading: list[str] = []
        self.unloading: list[str] = []
        self.lent: dict[int, tuple[str, ...]] = {}
        self.waiting: dict[int, tuple[str, ...]] = {}

    def take(self, actions: list) -> None:  # type: ignore[type-arg]
        for action in actions:
            match action:
                case Load(key):
                    assert key not in self.loading
                    assert all(
                        self.ledger.entries[part].state is State.RESIDENT for part in self.ledger.entries[key].parts
                    )
                    self.loading.append(key)
                case Unload(key):
                    assert all(key not in held for held in self.lent.values()), f"{key} is in use"
                    assert not (key == "base" and set(ON_BASE) & self.there()), "something stands on it"
                    self.unloading.append(key)
                case Grant(ticket, keys):
                    asked = self.waiting.pop(ticket)
                    assert [key.replace("hot", "light") for key in keys] == list(asked)
                    assert set(keys) <= self.there()
                    self.lent[ticket] = keys
                case Deny(ticket, reason):
                    assert isinstance(reason, Exception)
                    del self.waiting[ticket]

    def there(self) -> set[str]:
        return {key for key, entry in self.ledger.entries.items() if entry.state in (State.RESIDENT, State.UNLOADING)}

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), at_once=st.booleans())
    def ask(self, names: list[str], at_once: bool) -> None:
        can_grant = self.ledger.can_grant(*names)
        ticket, actions = self.ledger.ask(*names, at_once=at_once)
        self.waiting[ticket] = tuple(names)
        self.take(actions)
        if at_once:
            assert can_grant == (ticket in self.waiting or ticket in self.lent)

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), grown=st.floats(0.8, 2.0))
    def give_back(self, data: st.DataObject, grown: float) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.lent)))
        keys = self.lent.pop(ticket)
        self.take(self.ledger.returned(ticket, {key: int(SIZES[key] * grown) for key in keys}))

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

    @rule(name=st.sampled_from([*NAMES, "base"]), pinned=st.booleans())
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
        assert set(self.ledger.lent) == set(self.lent)
        for name, entry in self.ledger.entries.items():
            assert entry.num_borrowers >= sum(name in held for held in self.lent.values())
            assert (entry.state is State.LOADING) == (name in self.loading)
            assert (entry.state is State.UNLOADING) == (name in self.unloading)
            assert entry.state is not State.RESERVED or self.loading
        on_base = [self.ledger.entries[name].state is not State.ABSENT for name in ON_BASE]
        assert self.ledger.entries["base"].num_dependents == sum(on_base)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Where nothing loads, unloads or is lent, and nothing is pinned, whoever waits has been served or refused."""
        if self.loading or self.unloading or self.lent or any(e.pinned for e in self.ledger.entries.values()):
            return
        assert not self.waiting

    def teardown(self) -> None:
        """Once all is given back and every load ends, no waiter is left."""
        for name in KEYS:
            self.take(self.ledger.pin(name, False))
        while self.loading or self.unloading or self.lent:
            if self.loading:
                self.load_ends_truly(self.loading.pop())
            elif self.unloading:
                self.take(self.ledger.unloaded(self.unloading.pop()))
            else:
                self.take(self.ledger.returned(self.lent.popitem()[0]))
        assert not self.waiting
        assert not self.ledger.owed_bytes
        assert all(entry.num_borrowers == 0 for entry in self.ledger.entries.values())

    def load_ends_truly(self, name: str) -> None:
        self.take(self.ledger.loaded(name, self.ledger.entries[name].num_bytes, 0.5))


def last_of(ledger: Ledger) -> int:
    """The ticket of the latest borrower who has something."""
    return ledger.lent[-1]


TestBorrowing = Borrowing.TestCase
TestBorrowing.settings = examples(60, stateful_step_count=40)


def test_an_expert_in_memory_is_handed_over_at_once() -> None:
    ledger = ledger_of({"a": 60})
    assert come(ledger, "a") == [Load("a"), Grant(0, ("a",))]
    assert come(ledger, "a") == [Grant(1, ("a",))]
    assert ledger.num_hits == 1


def test_two_who_ask_for_one_cold_expert_cost_one_load() -> None:
    ledger = ledger_of({"a": 60})
    first, actions = ledger.ask("a")
    assert actions == [Load("a")]
    second, actions = ledger.ask("a")
    assert actions == []
    assert ledger.loaded("a", 60, 1.0) == [Grant(first, ("a",)), Grant(second, ("a",))]


def test_who_is_in_use_never_goes_and_the_next_waits_for_it() -> None:
    ledger = ledger_of({"a": 60, "b": 60})
    come(ledger, "a")
    ticket, actions = ledger.ask("b")
    assert actions == []
    assert not ledger.can_grant("b")
    assert ledger.returned(last_of(ledger)) == [Unload("a")]
    assert ledger.unloaded("a") == [Load("b")]
    assert ledger.loaded("b", 60, 1.0) == [Grant(ticket, ("b",))]


def test_a_large_one_that_waits_is_not_overtaken_by_small_ones() -> None:
    ledger = ledger_of({"a": 50, "b": 50, "large": 100, "small": 10})
    come(ledger, "a")
    come(ledger, "b")
    a, b = ledger.lent
    ledger.ask("large")
    assert ledger.returned(a) == []  # all who may go would not be enough, so nobody goes
    _, actions = ledger.ask("small")
    assert actions == []
    assert {action.key for action in ledger.returned(b) if isinstance(action, Unload)} == {"a", "b"}


def test_a_borrower_that_has_gone_costs_no_load() -> None:
    ledger = ledger_of({"a": 60, "b": 60})
    come(ledger, "a")
    ticket, _ = ledger.ask("b")
    assert ledger.give_up(ticket) == []
    assert ledger.returned(last_of(ledger)) == []
    assert ledger.entries["a"].state is State.RESIDENT


def test_one_that_is_larger_than_it_said_is_loaded_anew_with_its_true_size() -> None:
    ledger = ledger_of({"a": 50, "b": 50})
    come(ledger, "a")
    ledger.returned(last_of(ledger))
    ticket, _ = ledger.ask("b")
    assert ledger.loaded("b", 80, 1.0) == [Unload("b"), Unload("a")]
    assert ledger.used_bytes <= 100
    assert ledger.unloaded("b") == []
    assert ledger.unloaded("a") == [Load("b")]
    assert ledger.loaded("b", 80, 1.0) == [Grant(ticket, ("b",))]


def test_one_that_can_never_come_is_refused_with_the_reason() -> None:
    ledger = ledger_of({"a": 60, "large": 200, "b": 60})
    (deny,) = ledger.ask("large")[1]
    assert isinstance(deny, Deny)
    assert "raise the budget" in str(deny.reason)
    come(ledger, "a")
    ledger.returned(last_of(ledger))
    ledger.pin("a")
    (deny,) = ledger.ask("b")[1]
    assert "pinned experts leave 40" in str(deny.reason)  # type: ignore[union-attr]


def test_what_is_needed_last_goes_first_when_experts_take_turns() -> None:
    names = [f"e{number}" for number in range(8)]
    ledger = ledger_of(dict.fromkeys(names, 25))  # four fit
    for _ in range(30):
        for name in names:
            come(ledger, name)
            ledger.returned(last_of(ledger))
    hits = ledger.num_hits
    for _ in range(10):
        for name in names:
            come(ledger, name)
            ledger.returned(last_of(ledger))
    assert ledger.num_hits - hits > 0.3 * 80  # the least recently used would never be there; Belady has 3 of 7


def used(*moments: int) -> Uses:
    uses = Uses(prior=10.0)
    for moment in moments:
        uses.note(moment)
    return uses


def test_a_rhythm_says_when_the_next_use_is() -> None:
    uses = used(*range(0, 400, 20))
    assert uses.remaining(381) == pytest.approx(19, rel=0.1)
    assert uses.remaining(398) == pytest.approx(2, rel=0.3)


def test_a_conversation_that_has_paused_for_longer_than_its_turns_is_over() -> None:
    talking = used(*[start + turn for start in range(0, 800, 200) for turn in (0, 3, 6, 8, 12, 15)])
    assert talking.remaining(616) < 20
    assert talking.remaining(640) > 60


def test_of_uses_without_a_rhythm_the_rate_alone_counts() -> None:
    draw = random.Random(0)
    moments = list(accumulate(max(1, round(draw.expovariate(1 / 30))) for _ in range(200)))
    uses = used(*moments)
    assert uses.remaining(moments[-1] + 40) < 2.5 * uses.remaining(moments[-1] + 1)


def test_what_is_cheap_to_load_goes_before_what_is_dear() -> None:
    ledger = Ledger(100)
    for name, seconds in (("dear", 10.0), ("cheap", 0.1), ("new", 1.0)):
        ledger.register(name, 50, seconds)
    for name, seconds in (("dear", 10.0), ("cheap", 0.1)):
        ledger.ask(name)
        ledger.loaded(name, 50, seconds)
        ledger.returned(last_of(ledger))
    assert ledger.ask("new")[1] == [Unload("cheap")]


def test_a_prefetch_takes_free_room_alone_and_goes_first() -> None:
    ledger = ledger_of({"a": 40, "b": 40, "c": 40})
    come(ledger, "a")
    ledger.returned(last_of(ledger))
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


def test_several_are_reserved_together_or_not_at_all() -> None:
    ledger = ledger_of({"a": 50, "b": 50})
    first, actions = ledger.ask("a", "b")
    assert actions == [Load("a"), Load("b")]
    second, actions = ledger.ask("b", "a")
    assert actions == []
    assert ledger.loaded("a", 50, 1.0) == []
    assert ledger.loaded("b", 50, 1.0) == [Grant(first, ("a", "b")), Grant(second, ("b", "a"))]


def test_two_who_want_what_the_other_wants_never_hold_one_and_wait_for_the_other() -> None:
    ledger = ledger_of({"a": 60, "b": 40, "c": 60})
    come(ledger, "c")
    first, _ = ledger.ask("a", "b")
    second, _ = ledger.ask("b", "c")
    assert ledger.entries["b"].state is State.ABSENT  # there would be room for it, but not for both
    assert ledger.returned(last_of(ledger)) == [Unload("c")]
    assert ledger.unloaded("c") == [Load("a"), Load("b")]
    ledger.loaded("a", 60, 1.0)
    assert ledger.loaded("b", 40, 1.0) == [Grant(first, ("a", "b"))]
    assert ledger.returned(first) == [Unload("a")]  # and the base of what is wanted, b, stays
    assert ledger.unloaded("a") == [Load("c")]
    assert ledger.loaded("c", 60, 1.0) == [Grant(second, ("b", "c"))]


def test_who_holds_one_is_refused_another_at_once_rather_than_waiting_for_others() -> None:
    ledger = ledger_of({"a": 60, "b": 60, "c": 40})
    come(ledger, "a")
    (deny,) = ledger.ask("b", at_once=True)[1]
    assert isinstance(deny, Deny)
    assert "without waiting for others" in str(deny.reason)
    ticket, actions = ledger.ask("c", at_once=True)  # a load is no other borrower
    assert actions == [Load("c")]
    assert ledger.loaded("c", 40, 1.0) == [Grant(ticket, ("c",))]


def test_a_large_one_is_served_though_small_ones_never_stop_coming() -> None:
    ledger = Ledger(100, patience=8)
    for name, size in (("small", 50), ("large", 100)):
        ledger.register(name, size)
    come(ledger, "small")
    large, _ = ledger.ask("large")
    granted: list[Action] = []
    for _ in range(20):  # the next one comes before the last one goes
        _, actions = ledger.ask("small")
        granted += actions
        if ledger.lent:
            actions = ledger.returned(ledger.lent[0])
        if actions == [Unload("small")]:
            break
    assert len(granted) == 8
    assert ledger.unloaded("small") == [Load("large")]
    assert ledger.loaded("large", 100, 1.0)[0] == Grant(large, ("large",))


def test_one_that_is_asked_for_while_it_is_unloaded_is_loaded_again() -> None:
    ledger = ledger_of({"a": 60, "b": 60})
    come(ledger, "a")
    a = last_of(ledger)
    b, _ = ledger.ask("b")
    assert ledger.returned(a) == [Unload("a")]
    again, actions = ledger.ask("a")
    assert actions == []
    assert ledger.unloaded("a") == [Load("b")]
    assert ledger.loaded("b", 60, 1.0) == [Grant(b, ("b",))]
    assert ledger.returned(b) == [Unload("b")]
    assert ledger.unloaded("b") == [Load("a")]
    assert ledger.loaded("a", 60, 1.0) == [Grant(again, ("a",))]


def on_a_base(budget: int = 100) -> Ledger:
    ledger = Ledger(budget)
    ledger.register("base", 50)
    for name in ("one", "two"):
        ledger.register(name, 5, parts=["base"])
    ledger.register("other", 60)
    return ledger


def test_a_base_is_loaded_before_the_first_that_stands_on_it_and_goes_after_the_last() -> None:
    ledger = on_a_base()
    one, actions = ledger.ask("one")
    assert actions == [Load("base")]
    two, actions = ledger.ask("two")
    assert actions == []
    assert ledger.loaded("base", 50, 1.0) == [Load("one"), Load("two")]
    assert ledger.loaded("one", 5, 1.0) == [Grant(one, ("one",))]
    assert ledger.loaded("two", 5, 1.0) == [Grant(two, ("two",))]
    ledger.returned(one)
    other, actions = ledger.ask("other")
    assert actions == []  # two is in use, and its base with it
    assert {action.key for action in ledger.returned(two) if isinstance(action, Unload)} == {"one", "two"}
    assert ledger.unloaded("one") == []
    assert ledger.unloaded("two") == [Unload("base")]
    assert ledger.unloaded("base") == [Load("other")]
    assert ledger.loaded("other", 60, 1.0) == [Grant(other, ("other",))]


def test_a_base_that_cannot_be_loaded_is_told_to_all_who_wait_for_what_stands_on_it() -> None:
    ledger = on_a_base()
    one, _ = ledger.ask("one")
    two, _ = ledger.ask("two")
    error = PoolError("broken")
    assert ledger.failed("base", error) == [Deny(one, error), Deny(two, error)]
    assert ledger.used_bytes == 0


def test_one_that_is_wanted_no_more_before_its_base_is_there_is_not_loaded() -> None:
    ledger = on_a_base()
    one, _ = ledger.ask("one")
    assert ledger.give_up(one) == []
    assert ledger.loaded("base", 50, 1.0) == []
    assert ledger.used_bytes == 50


def test_what_has_grown_while_it_was_lent_makes_others_go() -> None:
    ledger = ledger_of({"chatting": 40, "idle": 40})
    for name in ("chatting", "idle"):
        come(ledger, name)
    chatting, idle = ledger.lent
    ledger.returned(idle)
    assert ledger.returned(chatting, {"chatting": 70}) == [Unload("idle")]  # not the one that remembers the chat
    assert (ledger.used_bytes, ledger.owed_bytes) == (100, 10)
    assert ledger.unloaded("idle") == []
    assert (ledger.used_bytes, ledger.owed_bytes) == (70, 0)


def test_what_has_grown_larger_than_the_budget_goes_itself_and_comes_back_as_it_was() -> None:
    ledger = ledger_of({"a": 40})
    come(ledger, "a")
    assert ledger.returned(0, {"a": 130}) == [Unload("a")]
    assert ledger.unloaded("a") == []
    assert ledger.used_bytes == ledger.owed_bytes == 0
    assert come(ledger, "a") == [Load("a"), Grant(1, ("a",))]
    assert ledger.used_bytes == 40


def two_forms(budget: int = 100) -> Ledger:
    ledger = Ledger(budget)
    for name in "abc":
        ledger.register(name, 2)
        ledger.register(f"{name} hot", 45, hot_of=name)
    return ledger


def test_what_has_two_forms_is_lent_in_the_light_one_first_and_in_the_hot_one_from_the_second_use_on() -> None:
    ledger = two_forms()
    assert come(ledger, "a") == [Load("a"), Grant(0, ("a",))]
    ledger.returned(0)
    assert come(ledger, "a") == [Grant(1, ("a",)), Load("a hot")]
    ledger.returned(1)
    assert come(ledger, "a") == [Grant(2, ("a hot",))]
    assert ledger.num_hits == 2


def test_who_needs_room_takes_it_from_hot_forms_and_the_light_ones_stay() -> None:
    ledger = two_forms()
    ledger.register("large", 80)
    for _ in range(3):
        for name in "ab":
            come(ledger, name)
            ledger.returned(last_of(ledger))
    assert ledger.used_bytes == 94
    going = {action.key for action in come(ledger, "large") if isinstance(action, Unload)}
    assert going == {"a hot", "b hot"}
    ledger.returned(last_of(ledger))
    assert ledger.is_there("a")
    assert come(ledger, "a") == [Grant(ledger.lent[-1], ("a",))]  # nobody goes for a hot form but a colder one


def test_a_hot_form_that_fails_leaves_the_light_one_at_work_and_is_not_tried_at_every_use() -> None:
    ledger = two_forms()
    come(ledger, "a")
    _, actions = ledger.ask("a")
    assert actions[-1] == Load("a hot")
    assert ledger.failed("a hot", PoolError("broken")) == []
    for _ in range(5):
        assert come(ledger, "a") == [Grant(ledger.lent[-1], ("a",))]
