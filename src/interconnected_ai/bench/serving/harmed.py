"""The command line of this package in a process that can be harmed from outside: SIGUSR1 raises an error in its workers."""

import ctypes
import runpy
import signal
import threading
from types import FrameType

WORKERS = ("batch of ", "batched predictor", "serving reload")


def _raise_in_workers(number: int, frame: FrameType | None) -> None:
    """An error out of nowhere in every thread that works, wherever it stands."""
    for thread in threading.enumerate():
        if thread.name.startswith(WORKERS) and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(ZeroDivisionError)
            )


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _raise_in_workers)
    runpy.run_module("interconnected_ai.cli", run_name="__main__", alter_sys=True)
