"""An edited model over two processes: the same loss and gradients as in one; and what the shipped configs say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.storage import load_tensors
from interconnected_ai.surgery import MoE
from interconnected_ai.surgery.checkpoints.parallel import deepspeed_config, transformers_plan
from ports import own_port

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("spread_worker.py")


@pytest.mark.parametrize("family", ["qwen3_moe", pytest.param("mixtral", marks=pytest.mark.slow)])
def test_two_processes_that_share_the_experts_get_the_loss_and_gradients_of_one(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family), expert_parallel=2)
    for layer in moe.layers:
        moe.let_in(layer.number, moe.insert(layer.number, [layer.experts[1], layer.experts[2]]))
    plan = transformers_plan(moe, 2)
    moe.save(tmp_path / "edited")
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(tmp_path / "edited"), json.dumps(plan), str(tmp_path)],
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(own_port()), "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    out = moe.model.train()(prompts(), labels=prompts(), use_cache=False)
    out.loss.backward()
    found = [load_tensors(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    torch.testing.assert_close((found[0]["loss"] + found[1]["loss"]) / 2, out.loss.detach().reshape(1))
    for each in found:
        for name, parameter in moe.model.named_parameters():
            torch.testing.assert_close(each[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_spread_is_said() -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.raises(ConfigError, match=r"8 experts cannot be shared by 3.*\[1, 2, 4, 8\]"):
        transformers_plan(moe, 3)
    moe.insert(0, [None])
    with pytest.raises(ConfigError, match="cannot be spread"):
        deepspeed_config(moe, 2)
    with pytest.raises(ConfigError, match="no preset for GraniteMoE"):
        deepspeed_config(MoE(make("granitemoe")), 2)
    with pytest.raises(UnknownNameError, match="'zero3'"):
        deepspeed_config(moe, 2, "zero4")


def test_the_shipped_configs_are_what_the_code_makes() -> None:
    moe = MoE(make("qwen3_moe"))
    made = {
        "transformers_expert_parallel": transformers_plan(moe, 8),
        "deepspeed_autoep": deepspeed_config(moe, 8),
        "deepspeed_zero3": deepspeed_config(moe, 8, "zero3"),
    }
    for name, content in made.items():
        assert json.loads((ROOT / "configs" / "parallel" / f"{name}.json").read_text(encoding="utf-8")) == content


@pytest.mark.parametrize("family", TINY)
def test_the_leaf_is_the_familys_own_block(family: str) -> None:
    moe = MoE(make(family))
    (name,) = deepspeed_config(moe, 1, "zero3")["zero_optimization"]["leaf_module"]["classes"]
    module, _, block = name.rpartition(".")
    assert getattr(sys.modules[module], block) is type(moe.layers[0].place.block)
