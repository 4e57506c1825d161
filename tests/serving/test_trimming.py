"""Freed memory goes back now and then, as long as a server runs."""

import threading

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import Waiting, waiting_server

from interconnected_ai.serving.trimming import Trimming


def trimmers() -> int:
    """Of all servers in this process: other tests' may stand beside."""
    return sum(thread.name == "serving trimming" for thread in threading.enumerate())


def test_the_heap_is_trimmed_again_and_again_until_the_end() -> None:
    trimmed = threading.Semaphore(0)
    with Trimming(seconds=0.001, trim=trimmed.release) as trimming:
        for _ in range(3):
            assert trimmed.acquire(timeout=60)
    trimming.close()
    while trimmed.acquire(blocking=False):
        continue
    assert not trimmed.acquire(timeout=0.05)


def test_a_server_trims_as_long_as_it_runs() -> None:
    before = trimmers()
    with waiting_server(Waiting()):
        assert trimmers() == before + 1
    assert trimmers() == before
