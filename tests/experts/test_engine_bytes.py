"""What engines say they take beside what a process measures, and what of it comes back when they are closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_parameters import parameter

from interconnected_ai.experts import ExpertModel, save_expert
from interconnected_ai.experts.engines import ENGINES, open_engine

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")

MB = 2**20
# Another engine of the kind first, so that libraries, threads and their buffers are there already.
MEASURE = """
import json, os, sys, torch
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.engines import open_engine
from interconnected_ai.experts.heap import trim_heap
torch.set_num_threads(1)
config = GenerationConfig(max_new_tokens=4, temperature=0.0)

def resident():
    trim_heap()
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmRSS"))

name, precision, small, large = sys.argv[1:]
with open_engine(name, small, precision=precision, threads=1) as engine:
    engine([[1, 2, 3]], config)
before = resident()
engine = open_engine(name, large, precision=precision, threads=1)
engine([[1, 2, 3]], config)
while_open, told = resident(), engine.num_bytes
engine.close()
print(json.dumps({"measured": while_open - before, "told": told, "left": resident() - before}))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A tiny expert, and one whose weights take 65 MB."""
    home = tmp_path_factory.mktemp("bytes")
    shapes = [
        {"vocab_size": 64, "d_model": 32, "n_layers": 1, "n_heads": 2, "max_seq_len": 64},
        {"vocab_size": 4096, "d_model": 512, "n_layers": 4, "n_heads": 8, "max_seq_len": 256},
    ]
    for number, shape in enumerate(shapes):
        model = ExpertModel(norm="pre", generator=torch.Generator().manual_seed(0), **shape)  # type: ignore[arg-type]
        save_expert(model, home / str(number))
    return [home / "0", home / "1"]


def measured(name: str, precision: str, folders: list[Path]) -> dict[str, int]:
    for folder in folders:  # the conversion is not what is measured
        open_engine(name, folder, precision=precision, threads=1).close()
    command = [sys.executable, "-c", MEASURE, name, precision, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [parameter(name) for name in ENGINES])
def test_an_engine_takes_what_it_says_and_gives_it_back(name: str, folders: list[Path]) -> None:
    found = measured(name, "float32", folders)
    assert found["measured"] == pytest.approx(found["told"], rel=0.15)
    assert found["left"] < 10 * MB


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("onnx", "int8"), ("ctranslate2", "int8"), ("llamacpp", "int8")])
def test_quantised_weights_take_what_the_engine_says(name: str, precision: str, folders: list[Path]) -> None:
    found = measured(name, precision, folders)
    assert found["measured"] == pytest.approx(found["told"], abs=8 * MB)
    assert found["told"] < 35 * MB
    assert found["left"] < 10 * MB
