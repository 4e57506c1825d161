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

from interconnected_ai.bench.tiny_moes import prompts
from interconnected_ai.storage import save_tensors
from interconnected_ai.surgery import let_autoep_ask_transformers


def run(folder: str, configs: dict[str, Any], out: Path) -> None:
    torch.set_num_threads(1)
    deepspeed.ops.__compatible_ops__ = {}  # else a kernel for shared memory is compiled for minutes; gloo does without
    deepspeed.init_distributed("gloo")
    let_autoep_ask_transformers()
    rank = int(os.environ["RANK"])
    for name, config in configs.items():
        model = AutoModelForCausalLM.from_pretrained(folder).train()
        engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
        row = prompts()[rank : rank + 1]  # each process has a row of its own
        loss = engine(row, labels=row, use_cache=False).loss
        engine.backward(loss)
        engine.step()
        parameters = dict(engine.module.named_parameters())
        sharded = list(parameters.values()) if config["zero_optimization"]["stage"] == 3 else []
        with deepspeed.zero.GatheredParameters(sharded, enabled=bool(sharded)):
            save_tensors(out / f"{name}-{rank}.safetensors", {**parameters, "loss": loss.detach().reshape(1)})
        engine.destroy()


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))
