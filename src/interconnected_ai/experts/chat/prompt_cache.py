"""`PromptCache`: what decoders remember of conversations, so that the next turn reads only what is new."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interconnected_ai.experts.decoder import PrefixState  # with it comes torch

DEFAULT_BYTES = 256 << 20


class PromptCache:
    """States by conversation and by what computed them, of so many bytes together; the longest unused goes first.

    A state is found by what stands in it: as much of it counts as the new prompt begins with, token by token, so a changed
    beginning, a shorter prompt or another template cannot give a wrong answer. owner: what tells weights and adapter from all
    others; nothing that one computed is handed to another, and what an adapter's turns left is there when it comes back.
    session: the conversation; none sees, or is faster for, what another said.

    Threads: all of it from any number of threads at once.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.RLock()  # a stream that the garbage collector finds leaves in whatever thread it runs
        self._states: OrderedDict[tuple[Hashable, Hashable], PrefixState] = OrderedDict()  # the longest unused first
        self._num_bytes = 0
        self._is_closed = False

    @property
    def num_bytes(self) -> int:
        """Bytes of all states."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._states)

    def known(self, prompt: Sequence[int], *, owner: Hashable, session: Hashable) -> "PrefixState | None":
        """What this conversation knows of the prompt's beginning with this owner; None where it is nothing."""
        with self._lock:
            state = self._states.get((session, owner))
            if state is None or not state.num_shared(prompt):
                return None
            self._states.move_to_end((session, owner))
            return state

    def keep(self, state: "PrefixState", *, owner: Hashable, session: Hashable) -> None:
        """Keep a state in the place of this conversation's last with this owner. One that is larger than everything is not."""
        with self._lock:
            self._drop((session, owner))
            if self._is_closed or state.num_bytes > self.max_bytes:
                return
            self._states[session, owner] = state
            self._num_bytes += state.num_bytes
            while self._num_bytes > self.max_bytes:
                self._drop(next(iter(self._states)))

    def forget(self, session: Hashable) -> None:
        """Let go what is known of a conversation."""
        with self._lock:
            for key in [key for key in self._states if key[0] == session]:
                self._drop(key)

    def close(self) -> None:
        """Let everything go, and keep nothing any more."""
        with self._lock:
            self._is_closed = True
            self._states.clear()
            self._num_bytes = 0

    def _drop(self, key: tuple[Hashable, Hashable]) -> None:
        state = self._states.pop(key, None)
        self._num_bytes -= 0 if state is None else state.num_bytes
