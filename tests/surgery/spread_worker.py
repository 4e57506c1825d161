"""One process of two: open an edited model with its experts spread, and write down loss and gradients."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM
from transformers.distributed import DistributedConfig

from interconnected_ai.bench.tiny_moes import prompts
from interconnected_ai.storage import save_tensors


def run(folder: str, plan: str, out: Path) -> None:
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, distributed_config=DistributedConfig(**json.loads(plan)))
    rank = dist.get_rank()
    row = prompts()[rank : rank + 1]  # each process has a row of its own
    loss = model.train()(row, labels=row, use_cache=False).loss
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    whole = {name: g.full_tensor() if hasattr(g, "full_tensor") else g for name, g in grads.items()}
    save_tensors(out / f"{rank}.safetensors", {**whole, "loss": loss.detach().reshape(1)})
    dist.destroy_process_group()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
