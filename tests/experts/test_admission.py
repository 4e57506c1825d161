"""Who comes in: never more than there is room for, parties in turn, nobody overtaken, nothing kept of those who left."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import BatchLimits
from interconnected_ai.experts.batching import Admission
from properties import examples

PLACES, BYTES = 3, 100


class Waiting(RuleBasedStateMachine):
    """Against lists: what every party asked, in its order, and who is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.admission: Admission[int] = Admission(PLACES, BYTES)
        self.waiting: dict[str, list[int]] = {}
        self.inside: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.number = 0

    @rule(party=st.sampled_from("abc"), num_bytes=st.integers(0, BYTES))
    def ask(self, party: str, num_bytes: int) -> None:
        self.number += 1
        self.sizes[self.number] = num_bytes
        self.waiting.setdefault(party, []).append(self.number)
        self.admission.ask(party, self.number, num_bytes)

    @rule()
    def admit(self) -> None:
        for item in self.admission.admit():
            party = next(party for party, items in self.waiting.items() if item in items)
            assert self.waiting[party][0] == item, "a party's items keep their order"
            self.waiting[party].pop(0)
            self.inside.add(item)
        if any(self.waiting.values()) and len(self.inside) < PLACES:
            least = min(self.sizes[items[0]] for items in self.waiting.values() if items)
            most = max(self.sizes[items[0]] for items in self.waiting.values() if items)
            assert self.used() + most > BYTES or self.used() + least > BYTES, "somebody waits although all would fit"

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.inside:
            item = data.draw(st.sampled_from(sorted(self.inside)))
            self.inside.remove(item)
            self.admission.leave(item)
            self.admission.leave(item)  # twice is the same

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if items := [item for items in self.waiting.values() for item in items]:
            item = data.draw(st.sampled_from(items))
            for others in self.waiting.values():
                if item in others:
                    others.remove(item)
            self.admission.leave(item)  # who waits has no place to give back
            assert self.admission.num_waiting == len(items)
            self.admission.withdraw(item)
            self.admission.withdraw(item)

    def used(self) -> int:
        return sum(self.sizes[item] for item in self.inside)

    @invariant()
    def counts_agree(self) -> None:
        admission = self.admission
        assert admission.num_inside == len(self.inside) <= PLACES
        assert admission.used_bytes == self.used() <= BYTES
        assert admission.num_waiting == sum(map(len, self.waiting.values()))


Waiting.TestCase.settings = examples(60, stateful_step_count=40)
TestWaiting = Waiting.TestCase


def test_a_large_item_waits_its_turn_and_small_ones_do_not_overtake_it() -> None:
    admission: Admission[str] = Admission(10, 100)
    for item, size in (("first", 60), ("large", 90), ("small", 10)):
        admission.ask(item, item, size)
    assert admission.admit() == ["first"]
    assert admission.admit() == []
    admission.leave("first")
    assert admission.admit() == ["large", "small"]


def test_a_call_of_many_rows_leaves_room_for_others() -> None:
    admission: Admission[str] = Admission(2, 100)
    for number in range(5):
        admission.ask("many", f"many {number}", 1)
    admission.ask("one", "one", 1)
    assert admission.admit() == ["many 0", "one"]
    admission.leave("one")
    assert admission.admit() == ["many 1"]


@pytest.mark.parametrize("name", ["num_rows", "cache_bytes", "num_waiting", "prompt_tokens", "num_unread"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "8", None])
def test_limits_are_whole_numbers_from_one(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        BatchLimits(**{name: value})
