"""`Admission`: who of those that wait may come in. Plain bookkeeping: no threads, no tensors."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Admission(Generic[Item]):
    """Items of parties wait for a place and for bytes. Parties take turns, a party's items keep their order.

    Whoever's turn it is waits until there is room, and nobody comes in before: small items cannot starve a large one.

    num_places, num_bytes: of what is inside, at most.
    """

    def __init__(self, num_places: int, num_bytes: int) -> None:
        self._num_places, self._num_bytes = num_places, num_bytes
        self._waiting: OrderedDict[Hashable, deque[Item]] = OrderedDict()  # by party, whose turn is next first
        self._sizes: dict[Item, int] = {}
        self._inside: set[Item] = set()
        self.used_bytes = 0

    @property
    def num_inside(self) -> int:
        """Items that have come in and not left."""
        return len(self._inside)

    @property
    def num_waiting(self) -> int:
        """Items that have not come in."""
        return len(self._sizes) - len(self._inside)

    def ask(self, party: Hashable, item: Item, num_bytes: int) -> None:
        """An item that is new comes to wait. One that could never come in is the caller's to refuse."""
        assert item not in self._sizes, "an item asks once"
        assert num_bytes <= self._num_bytes, "an item that never fits"
        self._waiting.setdefault(party, deque()).append(item)
        self._sizes[item] = num_bytes

    def admit(self) -> list[Item]:
        """Those who come in, in their order."""
        admitted: list[Item] = []
        while self._waiting and len(self._inside) < self._num_places:
            party, items = next(iter(self._waiting.items()))
            if self.used_bytes + self._sizes[items[0]] > self._num_bytes:
                break
            item = items.popleft()
            self._inside.add(item)
            self.used_bytes += self._sizes[item]
            admitted.append(item)
            if items:
                self._waiting.move_to_end(party)
            else:
                del self._waiting[party]
        return admitted

    def leave(self, item: Item) -> None:
        """An item that is inside gives its place back; nothing happens for any other."""
        if item in self._inside:
            self._inside.remove(item)
            self.used_bytes -= self._sizes.pop(item)

    def withdraw(self, item: Item) -> None:
        """An item waits no longer; nothing happens for any other."""
        for party, items in self._waiting.items():
            if item in items:
                items.remove(item)
                del self._sizes[item]
                if not items:
                    del self._waiting[party]
                return
