"""Two names swapped in one step, where the system can: readers find the one or the other, and never none."""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def exchange(first: Path, second: Path) -> bool:
    """Swap what two paths name; False, and nothing done, where the system or the file system cannot.

    `renameat2(RENAME_EXCHANGE)` on Linux (man 2 rename), `renamex_np(RENAME_SWAP)` on macOS.
    """
    call = _system_call()
    return call is not None and call(os.fsencode(first), os.fsencode(second)) == 0


@cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    names = {"linux": "renameat2", "darwin": "renamex_np"}
    if sys.platform not in names:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), names[sys.platform], None)
    if function is None:  # a C library older than glibc 2.28
        return None
    if sys.platform == "darwin":
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
        return lambda first, second: int(function(first, second, _RENAME_SWAP))
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return lambda first, second: int(function(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE))
