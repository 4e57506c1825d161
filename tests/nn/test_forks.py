"""A forked child answers or says why it cannot; it never waits for threads that stayed with its parent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")

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


def run(code: str) -> str:
    """What a program prints; a hang ends it, and fails."""
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path]), "OMP_NUM_THREADS": "2"}
    program = [sys.executable, "-W", "ignore", "-c", PREPARED + code]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_child_of_a_process_that_has_computed_refuses_and_says_how_to_start_it() -> None:
    found = run("""
system = make_system("a")
def alone():
    torch.set_num_threads(1)
    return answer(system)
def in_a_new_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(answer(system)))
    thread.start()
    thread.join()
    return codes[0]
def anew():
    try:
        make_system("a")
    except ForkError:
        return 4
    return 5
print(forked(lambda: answer(system)), forked(alone), forked(in_a_new_thread), forked(anew), answer(system))
""")
    assert found == "3 5 5 4 5"


def test_a_child_of_a_process_that_has_not_computed_answers() -> None:
    assert run('print(forked(lambda: answer(make_system("a"))))') == "5"


def test_an_expert_refuses_too() -> None:
    found = run("""
from interconnected_ai.experts import ExpertModel
model = ExpertModel(vocab_size=50, d_model=16, n_layers=1, n_heads=2, max_seq_len=16)
ids = torch.tensor([[1, 2, 3]])
model(ids)
def work():
    for call in (lambda: model(ids), lambda: model.generate(ids, max_new_tokens=2)):
        try:
            call()
        except ForkError:
            continue
        return 5
    return 3
print(forked(work))
""")
    assert found == "3"
