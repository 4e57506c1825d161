"""Which of what was said of one thing holds: a fold in the order of time, what was set by hand last. Rows are left to others.

The outcome depends on what was said when, not on the order in which it was told, read or imported.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from interconnected_ai.memory.fact_rules import opposite_of
from interconnected_ai.text import normalize, terms

# Kinds of what says that something ended: one value, or whatever the relation held. Such rows are never current.
END, END_OF_ALL = "end", "end of all"


@dataclass(frozen=True, slots=True)
class Said:
    """One statement as it is kept. key: equal for values that are alike. source: a message, or below 0 what was set by hand.

    is_ahead: it is dated later than it can have been said, so it counts as said before everything else.
    """

    number: int
    relation: str
    value: str
    key: int
    kind: str
    is_single: bool
    time: float
    source: int
    is_ahead: bool
    valid_until: float | None

    @property
    def moment(self) -> tuple[float, int, int]:
        """What it is ordered by: when it was said; of equal times by session and place, then as it stands in the message."""
        return (-math.inf if self.is_ahead else self.time, self.source, self.number)


@dataclass(slots=True)
class Standing:
    """What has become of a statement. repeats: the number of the fact that it says again, which it then is superseded by."""

    superseded_by: int | None = None
    contradicts: list[int] = field(default_factory=list)
    repeats: int | None = None
    valid_until: float | None = None


@dataclass(slots=True, eq=False)
class _Held:
    said: Said
    last: float  # when it was last said


def fold(said: Iterable[Said]) -> dict[int, Standing]:
    """The standing of every statement, by number. They are of one subject, and of one relation and its contrary."""
    book = _Book()
    every = list(said)
    for one in sorted((one for one in every if one.source >= 0), key=lambda one: one.moment):
        if one.kind in (END, END_OF_ALL):
            book.end(one)
        else:
            book.say(one)
    hands = sorted((one for one in every if one.source < 0), key=lambda one: (one.time, -one.source))
    in_force = _in_force(hands)
    for one in hands:
        book.set(one, in_force.get(one.number, math.inf))
    return book.standings


def _in_force(hands: Sequence[Said]) -> dict[int, float]:
    """Until when each thing that was set by hand is in force: its own end, or the moment when another was set against it."""
    until: dict[int, float] = {}
    held: list[Said] = []
    for one in hands:
        for other in [other for other in held if _meets(one, other)]:
            until[other.number] = min(until[other.number], one.time)
            held.remove(other)
        if one.kind != END:
            until[one.number] = math.inf if one.valid_until is None else one.valid_until
            held.append(one)
    return until


def _meets(one: Said, other: Said) -> bool:
    """Whether what is set by hand cannot hold beside something else, or says the same."""
    if one.relation == other.relation:
        return (one.is_single and one.kind != END) or are_same(other.value, one.value)
    return one.kind != END and are_same(other.value, one.value)


class _Book:
    """What holds so far: by relation, then by the key of the value, since a subject may like thousands of things."""

    def __init__(self) -> None:
        self.standings: dict[int, Standing] = {}
        self._held: dict[str, dict[int, list[_Held]]] = {}
        self._ends: dict[str, list[Said]] = {}

    def say(self, one: Said) -> None:
        known = list(self._same(one, one.relation))
        repeated = next((held for held in known if held.said.is_ahead == one.is_ahead), None)
        if repeated is not None:
            self._repeat(one, repeated)
            return
        against = [*known, *self._against(one)]
        if one.is_single:
            against += [held for held in self._all(one.relation) if held not in known]
        self._close(one, against)
        self._hold(one)

    def end(self, one: Said) -> None:
        closed = [
            held
            for held in self._all(one.relation)
            if held.said.source != one.source and (one.kind == END_OF_ALL or overlap(held.said.value, one.value))
        ]
        ends = self._ends.setdefault(one.relation, [])
        known = next((end for end in ends if are_alike(end.value, one.value)), None)
        if known is not None and not closed:
            self.standings[one.number] = Standing(known.number, [], known.number, one.valid_until)
            return
        self._close(one, closed)
        self.standings[one.number].superseded_by = one.number
        ends.append(one)

    def set(self, one: Said, until: float) -> None:
        """By hand, it closes what stands against it whenever that was said, but what is said after it is in force no more."""
        is_end = one.kind == END
        against = list(self._same(one, one.relation))
        if not is_end:
            against += self._against(one)
            if one.is_single:
                against += [held for held in self._all(one.relation) if held not in against]
        self._close(one, [held for held in against if held.said.source < 0 or held.last <= until])
        if is_end:
            self.standings[one.number].superseded_by = one.number
        else:
            self._hold(one)

    def _repeat(self, one: Said, held: _Held) -> None:
        number = held.said.number
        self.standings[one.number] = Standing(number, [], number, one.valid_until)
        held.last = max(held.last, one.time)
        standing = self.standings[number]
        if standing.valid_until is not None and one.valid_until is not None:  # said again, it holds longer
            standing.valid_until = max(standing.valid_until, one.valid_until)

    def _close(self, one: Said, closed: Sequence[_Held]) -> None:
        for held in closed:
            self.standings[held.said.number].superseded_by = one.number
            alike = self._held[held.said.relation][held.said.key]
            alike.remove(held)
        numbers = sorted(held.said.number for held in closed)
        self.standings[one.number] = Standing(None, numbers, None, one.valid_until)

    def _hold(self, one: Said) -> None:
        self._held.setdefault(one.relation, {}).setdefault(one.key, []).append(_Held(one, one.time))

    def _all(self, relation: str) -> Iterator[_Held]:
        for alike in self._held.get(relation, {}).values():
            yield from alike

    def _same(self, one: Said, relation: str) -> Iterator[_Held]:
        alike = self._held.get(relation, {}).get(one.key, ())
        return (held for held in alike if are_same(held.said.value, one.value))

    def _against(self, one: Said) -> Iterator[_Held]:
        """What says the contrary of the same value."""
        contrary = opposite_of(one.relation)
        return self._same(one, contrary) if contrary is not None else iter(())


def are_alike(old: str, value: str) -> bool:
    """Whether two values are of one thing: the same words but for their endings."""
    ours, theirs = set(terms(value).terms), set(terms(old).terms)
    return bool(ours) and ours == theirs


def are_same(old: str, value: str) -> bool:
    """Whether two values are one: spelled alike, or of the same words."""
    return normalize(old) == normalize(value) or are_alike(old, value)


def overlap(old: str, value: str) -> bool:
    """Whether one of two values names what the other does: "my Toyota" and "a red Toyota Corolla"."""
    ours, theirs = set(terms(value).terms), set(terms(old).terms)
    return bool(ours) and bool(theirs) and (ours <= theirs or theirs <= ours)
