"""Weights in the processor's large pages: a token reads all of them, and looking up small pages costs a fifth of its time."""

import ctypes
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

_PAGE_BYTES = 2**21
_MOST_APART_BYTES = 2**16  # the allocator's own words between two tensors
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # <linux/mman.h>; the second since Linux 6.1


def gather_pages(tensors: Iterable[Tensor]) -> None:
    """Have Linux put what lies within whole pages of 2 MiB into such pages, in place; a hint that changes no number.

    Nothing where the system's setting is "never". Memory that is mapped from a file stays as it is. Threads: any number.
    """
    if sys.platform != "linux" or not _is_wanted():
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for first, end in _spans(tensors):
        start, stop = -(-first // _PAGE_BYTES) * _PAGE_BYTES, end // _PAGE_BYTES * _PAGE_BYTES
        if stop > start and advise(start, stop - start, _MADV_HUGEPAGE) == 0:
            advise(start, stop - start, _MADV_COLLAPSE)


def _is_wanted() -> bool:
    try:
        return "[never]" not in _SETTING.read_text(encoding="utf-8")
    except OSError:  # a kernel without large pages
        return False


def _spans(tensors: Iterable[Tensor]) -> Iterator[tuple[int, int]]:
    """Addresses of tensors, those of neighbours as one."""
    places = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in tensors)
    first, end = places[0]
    for start, stop in places:
        if start > end + _MOST_APART_BYTES:
            yield first, end
            first = start
        end = max(end, stop)
    yield first, end
