"""The command line of this package in a process that can be harmed from outside: SIGUSR1 raises an error in its workers."""

import concurrent.futures
import ctypes
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

WORKERS = ("batch of ", "batched predictor", "serving reload")
_LOOKS, _LOOK_SECONDS = 200, 0.001
# Python's own: an error in the midst of taking or giving back a lock leaves it held for ever, whoever wrote the thread. To wait
# in them is fine.
_FUTURES = str(Path(concurrent.futures.__file__).parent)
_WAITS = ("wait", "wait_for")


def _raise_in_workers(number: int, frame: FrameType | None) -> None:
    """An error out of nowhere in every thread that works, wherever it stands but in Python's own locks and futures."""
    workers = {
        thread.ident for thread in threading.enumerate() if thread.name.startswith(WORKERS) and thread.ident is not None
    }
    for _ in range(_LOOKS):
        standing = sys._current_frames()
        workers &= set(standing)
        for ident in [ident for ident in workers if _can_raise(standing[ident])]:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(ZeroDivisionError))
            workers.discard(ident)
        if not workers:
            return
        time.sleep(_LOOK_SECONDS)


def _can_raise(frame: FrameType) -> bool:
    place, name = frame.f_code.co_filename, frame.f_code.co_name
    return not place.startswith(_FUTURES) and (place != threading.__file__ or name in _WAITS)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _raise_in_workers)
    runpy.run_module("interconnected_ai.cli", run_name="__main__", alter_sys=True)
