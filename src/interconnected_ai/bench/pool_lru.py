"""A pool as other servers keep it: at most so many experts, the least recently used goes, one load at a time.

That is what Ollama (OLLAMA_MAX_LOADED_MODELS), llama.cpp's router (--models-max) and Ray Serve
(max_num_models_per_replica) do, without their processes and networks.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from interconnected_ai.experts import TextExpert


class CountLru:
    """Lends experts by name. Threads: `borrow` from any number of them; `close` when all have given back."""

    def __init__(self, openers: Mapping[str, Callable[[], TextExpert]], most: int) -> None:
        self._openers, self._most = openers, most
        self._changed = threading.Condition()
        self._there: OrderedDict[str, TextExpert] = OrderedDict()  # the longest unused first
        self._users: Counter[str] = Counter()
        self._is_loading = False
        self.num_requests = self.num_hits = 0

    @contextmanager
    def borrow(self, name: str) -> Generator[TextExpert, None, None]:
        """The expert, for as long as the block lasts."""
        with self._changed:
            self.num_requests += 1
            self.num_hits += name in self._there
            self._changed.wait_for(lambda: name in self._there or self._may_load())
            self._users[name] += 1
            is_mine = name not in self._there
            if is_mine:
                self._is_loading = True
                self._make_room()
        try:
            if is_mine:
                self._load(name)
            with self._changed:
                self._there.move_to_end(name)
                expert = self._there[name]
            yield expert
        finally:
            with self._changed:
                self._users[name] -= 1
                self._changed.notify_all()

    @property
    def hit_rate(self) -> float:
        """Requests whose expert was in memory, of all."""
        return self.num_hits / max(1, self.num_requests)

    def close(self) -> None:
        """Let all go."""
        while self._there:
            self._there.popitem()[1].close()

    def _may_load(self) -> bool:
        return not self._is_loading and (
            len(self._there) < self._most or any(not self._users[name] for name in self._there)
        )

    def _make_room(self) -> None:
        while len(self._there) >= self._most:
            idle = next(name for name in self._there if not self._users[name])
            self._there.pop(idle).close()

    def _load(self, name: str) -> None:
        try:
            expert = self._openers[name]()
            with self._changed:
                self._there[name] = expert
        finally:
            with self._changed:
                self._is_loading = False
                self._changed.notify_all()
