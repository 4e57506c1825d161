"""The engine onnx on weights that stay in their file: the same answers, few bytes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from expert_models import made, tokenizer

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts import ExpertModel, mapped_num_bytes, open_expert, save_expert
from interconnected_ai.experts.mapped import mapped_bytes

MEASURE = """
import json, sys, torch
from interconnected_ai.bench.pool_experts import private_bytes
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import open_expert
from interconnected_ai.experts.heap import trim_heap
torch.set_num_threads(1)
config = GenerationConfig(max_new_tokens=4, temperature=0.0)
place = sys.argv[1]
for mapped in (False, True):  # libraries, threads and buffers are there from then on
    with open_expert(place, engine="onnx", mapped=mapped) as expert:
        expert.engine([[1, 2, 3]], config)
trim_heap()
before = private_bytes()
held = [open_expert(place, engine="onnx", mapped=True) for _ in range(8)]
for expert in held:
    expert.engine([[1, 2, 3]], config)
trim_heap()
print(json.dumps({"each": (private_bytes() - before) / 8, "told": held[0].num_bytes}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped") / "expert"
    save_expert(made(vocab_size=tokenizer().vocab_size, max_seq_len=64), folder, tokenizer())
    return folder


def test_mapped_weights_give_the_same_answer(place: Path) -> None:
    config = GenerationConfig(max_new_tokens=20, temperature=0.0, logprobs=1)
    with open_expert(place, engine="onnx") as hot, open_expert(place, engine="onnx", mapped=True) as light:
        prompts = [[1, 2, 3], [5]]
        hot_said, light_said = hot.engine(prompts, config), light.engine(prompts, config)  # type: ignore[attr-defined]
        assert [one.token_ids for one in hot_said] == [one.token_ids for one in light_said]
        for one, other in zip(hot_said, light_said, strict=True):
            pairs = zip(one.steps, other.steps, strict=True)
            assert max(abs(step.logprob - same.logprob) for step, same in pairs) < 1e-4


def test_who_can_be_mapped_is_known_before_anything_is_loaded(place: Path, tmp_path: Path) -> None:
    assert mapped_num_bytes(place, "onnx") == mapped_bytes(made(vocab_size=330, max_seq_len=64).config)
    assert mapped_num_bytes(place, None) is None
    save_expert(made(vocab_size=tokenizer().vocab_size), tmp_path / "int8", tokenizer(), precision="int8")
    assert mapped_num_bytes(tmp_path / "int8", "onnx") is None
    with pytest.raises(EngineError, match="weights in int8 cannot be mapped"):
        open_expert(tmp_path / "int8", engine="onnx", mapped=True)
    with pytest.raises(ConfigError, match="mapped=True is for the engine onnx"):
        open_expert(place, mapped=True)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="private memory is read from /proc")
def test_a_mapped_expert_holds_as_little_as_it_says(tmp_path: Path) -> None:
    model = ExpertModel(4096, 256, 4, 8, max_seq_len=128, norm="pre", generator=torch.Generator().manual_seed(0))
    save_expert(model, tmp_path / "expert", tokenizer())
    with open_expert(tmp_path / "expert", engine="onnx") as expert:
        whole = expert.num_bytes
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "expert")], capture_output=True, text=True, timeout=300, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["told"] < whole / 10
    assert found["each"] < 1.5 * found["told"]
