"""An edited model under DeepSpeed in two processes on a CPU: the loss and the step of one process."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interconnected_ai.bench.tiny_moes import make, prompts
from interconnected_ai.storage import load_tensors
from interconnected_ai.surgery import MoE
from ports import own_port

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("deepspeed_worker.py")
RATE = 0.1


def shipped(name: str, **changed: Any) -> dict[str, Any]:
    """A configuration of configs/parallel with what a user fills in; float32, to be compared."""
    config: dict[str, Any] = json.loads((ROOT / "configs" / "parallel" / f"{name}.json").read_text(encoding="utf-8"))
    config |= {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1, "gradient_clipping": 0.0}
    config |= {"bf16": {"enabled": False}, "optimizer": {"type": "SGD", "params": {"lr": RATE}}}
    return config | {"zero_allow_untested_optimizer": True} | changed


@pytest.mark.skipif(
    find_spec("deepspeed") is None, reason='needs DeepSpeed: pip install "interconnected-ai[deepspeed]"'
)
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    for layer in moe.layers:
        rows = torch.randn(2, layer.d_model, generator=torch.Generator().manual_seed(layer.number))
        moe.let_in(layer.number, moe.insert(layer.number, [layer.experts[1], layer.experts[2]], rows))
    moe.save(tmp_path / "edited")
    adapter = moe.lora({0: [1, 6], 1: [3]}, rank=2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    moe.save(tmp_path / "adapted")
    autoep, zero3 = shipped("deepspeed_autoep"), shipped("deepspeed_zero3")
    autoep["expert_parallel"]["autoep_size"] = 2
    zero2 = {name: value for name, value in autoep.items() if name != "expert_parallel"}
    in_two_processes(
        tmp_path, {"zero2": zero2, "zero3": zero3, "autoep": autoep, "adapters2": zero2, "adapters3": zero3}
    )

    adapted = step_of_one(moe)
    moe.drop_adapter("lora")
    moe.model.requires_grad_(True)
    plain = step_of_one(moe)
    for name in ("zero2", "zero3", "autoep", "adapters2", "adapters3"):
        expected = adapted if name.startswith("adapters") else plain
        found = [load_tensors(tmp_path / f"{name}-{rank}.safetensors") for rank in range(2)]
        mean = (found[0].pop("loss") + found[1].pop("loss")) / 2
        torch.testing.assert_close(mean, expected["loss"])
        for rank, each in enumerate(found):
            wanted = spread(expected, rank) if name == "autoep" else expected
            assert set(each) == set(wanted) - {"loss"}
            for parameter, tensor in each.items():
                torch.testing.assert_close(tensor, wanted[parameter], rtol=1e-4, atol=1e-6, msg=f"{name}: {parameter}")


def step_of_one(moe: MoE) -> dict[str, Tensor]:
    """Loss, and every parameter after one step on both rows."""
    moe.model.zero_grad(set_to_none=True)
    out = moe.model.train()(prompts(), labels=prompts(), use_cache=False)
    out.loss.backward()
    after = {n: p.detach() - (0.0 if p.grad is None else RATE * p.grad) for n, p in moe.model.named_parameters()}
    return {**after, "loss": out.loss.detach().reshape(1)}


def spread(whole: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The parameters under AutoEP's names, with this process's half of the experts."""
    parts: dict[str, Tensor] = {}
    for name, tensor in whole.items():
        if name.endswith("experts.gate_up_proj"):
            gate, up = tensor.chunk(2)[rank].chunk(2, dim=1)
            parts |= {name.replace("gate_up_proj", "w1"): gate, name.replace("gate_up_proj", "w3"): up}
        elif name.endswith("experts.down_proj"):
            parts[name.replace("down_proj", "w2")] = tensor.chunk(2)[rank]
        else:
            parts[name.replace("mlp.gate.", "mlp.router.gate.")] = tensor
    return parts


def in_two_processes(folder: Path, configs: dict[str, Any]) -> None:
    surroundings = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(own_port()), "DS_ACCELERATOR": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, str(WORKER), str(folder), json.dumps(configs)]
    workers = [
        subprocess.Popen(
            command, env={**surroundings, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)
