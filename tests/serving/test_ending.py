"""A signal ends the server in order at whatever line of its beginning it comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

# Serves with a signal at a line of the server's own files, and of uvicorn's; again and again, each time at a later line.
_PROGRAM = """
import os, signal, sys, threading
import uvicorn.server, uvicorn.lifespan.on
from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import ExpertPool
from interconnected_ai.serving import EndedError, Ending, Hall, listening_socket, serve
from interconnected_ai.serving import app, ending, server
from interconnected_ai.storage import locked

state, number, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FILES = {each.__file__ for each in (uvicorn.server, uvicorn.lifespan.on, app, ending, server)}

def ended(at):
    '''The code that it ended with, and how many lines there were before the server was at work.'''
    seen, sent = 0, False
    def traced(frame, kind, _):
        nonlocal seen, sent
        if frame.f_code.co_filename not in FILES:
            return None
        if kind == "line" and not sent:
            seen += 1
            if seen == at or frame.f_code.co_name == "on_tick":
                sent = True
                os.kill(os.getpid(), number)
        return traced
    with ExpertPool(10) as pool, Ending() as ending:
        pool.add("nobody", lambda: None, num_bytes=1)
        config = ServingConfig(port=0, state=state, drain_seconds=1.0)
        with listening_socket(config) as listening:
            sys.settrace(traced)
            try:
                code = serve(Hall(experts=pool), config, listening, ending)
            except EndedError as error:
                code = 128 + error.signal
            finally:
                sys.settrace(None)
    assert sent
    return code, seen

total, at = ended(10**9)[1], 1
while at < total:
    code, _ = ended(at)
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert code == 128 + number, (at, code)
    assert not [name for name in left if "job" in name or "reload" in name], (at, left)
    with locked(state, purpose="looking", timeout_seconds=0.0):
        pass
    at += step
print(total)
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_at_any_line_ends_the_server_in_order(number: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, str(tmp_path / "state"), str(number), "9"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
    assert "Traceback" not in done.stderr
