"""Programs that fork, run in a process of their own: `forked(work)` is what a child that does `work` ends with."""

import os
import subprocess
import sys
from pathlib import Path

PREPARED = """
import os, sys, threading, multiprocessing
import torch
torch.set_num_threads(2)
from conftest import make_system
torch.set_num_threads(2)
from interconnected_ai.errors import ForkError

def answer(system):
    try:
        system.predict(["bank card"] * 40)
    except ForkError as error:
        assert "get_context('spawn')" in str(error)
        return 3
    return 5

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            code = work()
        except BaseException:
            code = 9
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run_forking(code: str) -> str:
    """What a program prints; a hang ends it, and fails."""
    tests = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path]), "OMP_NUM_THREADS": "2"}
    program = [sys.executable, "-W", "ignore", "-c", PREPARED + code]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()
