"""The C library's heaps: what was freed goes back to the system, and threads share them."""

import ctypes
from functools import cache
from typing import Any

_ARENA_MAX = -8  # mallopt's number of it in glibc
_HEAPS = 2


def share_heaps() -> None:
    """Let the threads of this process share two heaps, where glibc gives each of them its own, up to eight a core.

    Blocks of a few kB, of answers side by side, leave holes in every heap, more with each request, though nothing is
    kept. To be called before threads are made. Nothing is done where the allocator is another one.
    """
    if (set_option := _c_function("mallopt")) is not None:
        set_option(_ARENA_MAX, _HEAPS)


def trim_heap() -> None:
    """Give freed memory back to the system, with glibc's `malloc_trim`; elsewhere the allocator does as it likes."""
    if (trim := _c_function("malloc_trim")) is not None:
        trim(0)


@cache
def _c_function(name: str) -> Any:
    """A function of glibc's allocator, None where it is another one: of these malloc_trim is glibc's alone."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None
    return getattr(library, name) if hasattr(library, "malloc_trim") else None  # musl and macOS have none
