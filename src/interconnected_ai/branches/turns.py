"""A lock for one process: a forked child does not inherit it held."""

import os
import threading


class Turns:
    """`with turns():` one thread of this process at a time, which may enter again."""

    def __init__(self) -> None:
        self._of_process: dict[int, threading.RLock] = {}

    def __call__(self) -> "threading.RLock":
        """The lock of the process that asks."""
        return self._of_process.setdefault(os.getpid(), threading.RLock())
