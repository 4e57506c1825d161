"""One process of two: a step of an edited model under every DeepSpeed configuration; writes down losses and parameters."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import torch
from transformers import AutoModelForCausalLM

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import prompts
from interconnected_ai.storage import save_tensors


def run(folder: str, configs: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    deepspeed.ops.__compatible_ops__ = {}  # else a kernel for shared memory is compiled for minutes; gloo does without
    deepspeed.init_distributed("gloo")
    surgery.let_autoep_ask_transformers()
    rank = int(os.environ["RANK"])
    for name, config in configs.items():
        model, trained = opened(folder, adapted=name.startswith("adapters"))
        engine, *_ = deepspeed.initialize(model=model, model_parameters=trained, config=config)
        row = prompts()[rank : rank + 1]  # each process has a row of its own
        loss = engine(row, labels=row, use_cache=False).loss
        engine.backward(loss)
        engine.step()
        parameters = dict(engine.module.named_parameters())
        sharded = list(parameters.values()) if config["zero_optimization"]["stage"] == 3 else []
        with deepspeed.zero.GatheredParameters(sharded, enabled=bool(sharded)):
            save_tensors(Path(folder) / f"{name}-{rank}.safetensors", {**parameters, "loss": loss.detach().reshape(1)})
        engine.destroy()


def opened(folder: str, *, adapted: bool) -> tuple[Any, list[Any]]:
    """The model and what trains: all of it, or the adapters that were saved beside it."""
    if not adapted:
        model = AutoModelForCausalLM.from_pretrained(f"{folder}/edited").train()
        return model, list(model.parameters())
    moe = surgery.open(f"{folder}/adapted")
    moe.model.enable_input_require_grads()  # ZeRO 3 waits for a gradient of a leaf's input before it reduces
    return moe.model.train(), moe.train_only("adapters")


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]))
