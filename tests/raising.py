"""Errors out of nowhere: at a line of a file, in the threads of a name."""

import linecache
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any


class OutOfNowhereError(Exception):
    """Nobody expects it."""


@contextmanager
def raising(module: ModuleType, name: str, known: set[int], *, spared: str = "") -> Iterator[list[int]]:
    """In the threads of this name that begin in this block, the first line of the module raises that is not known yet.

    Gives its number, once it did, which is known from then on. spared: a function whose own lines do not: that which catches
    what the others raise. A `with` does not either: Python comes to its line once more before it lets go of a lock.
    """
    raised: list[int] = []
    guard = threading.Lock()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != module.__file__ or not threading.current_thread().name.startswith(name):
            return None
        if event != "line" or frame.f_code.co_name == spared:
            return trace
        line = frame.f_lineno
        with guard:
            is_it = not raised and line not in known and not _is_with(frame)
            if is_it:
                known.add(line)
                raised.append(line)
        if is_it:
            raise OutOfNowhereError(f"{frame.f_code.co_name}, line {line}")
        return trace

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        yield raised
    finally:
        threading.settrace(before)  # type: ignore[arg-type]


def _is_with(frame: FrameType) -> bool:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith("with ")
