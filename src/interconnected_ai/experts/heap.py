"""Memory that was freed, back to the system: the C library keeps it otherwise."""

import ctypes
from functools import cache
from typing import Any


def trim_heap() -> None:
    """Give freed memory back to the system, with glibc's `malloc_trim`; elsewhere the allocator does as it likes."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
