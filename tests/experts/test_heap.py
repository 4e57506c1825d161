"""The C library's heaps in a process of its own: how many there are, and who may ask for fewer."""

import platform
import re
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from interconnected_ai.experts import share_heaps, trim_heap
if sys.argv[1] == "shared":
    share_heaps()
trim_heap()
library = ctypes.CDLL(None)
library.malloc.restype = library.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(6)
def allocate():
    library.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.malloc_info(0, ctypes.c_void_p(library.fdopen(1, b"w")))
library.fflush(None)
"""


def num_heaps(how: str) -> int:
    found = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True, timeout=120)
    return len(re.findall("<heap nr=", found.stdout))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of glibc's allocator")
def test_threads_share_two_heaps_where_each_would_have_its_own() -> None:
    assert num_heaps("own") > 4
    assert num_heaps("shared") == 2
