"""Training an adapter: tokens per second and peak memory, ours beside PEFT on transformers, on the same packed batch.

Each contestant is a process of its own, since memory that one has freed would count for the next.
"""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interconnected_ai.config import AdapterConfig
from interconnected_ai.experts import CausalLM
from interconnected_ai.extras import require
from interconnected_ai.training import AdaptedNetwork, AdapterObjective, choose

Contestant = Literal["ours", "peft"]
RANK = 16
_LR = 1e-3


@dataclass(frozen=True)
class Batch:
    """Blocks of random tokens: `blocks` of `seq_len`, each of documents of `document` tokens."""

    blocks: int = 2
    seq_len: int = 512
    document: int = 128


@dataclass(frozen=True)
class Measured:
    """Of one contestant. peak_bytes: of the process while it trained, base included."""

    tokens_per_second: float
    peak_bytes: int


def bench_adapter_training(
    base: str = "smollm2",
    *,
    precision: str = "auto",
    steps: int = 4,
    rounds: int = 2,
    batch: Batch = Batch(),
) -> dict[str, Any]:
    """Medians over `rounds` of both contestants in turn, and their ratios: train_over_peft, train_memory_over_peft.

    PEFT adapts the same layers at the same rank and precision, and computes the loss as transformers does, from all logits; its
    documents are kept apart by a mask, as transformers' own packing for CPUs does. steps: timed ones, after one that is not.
    """
    require("peft", "bench", "comparing with PEFT")
    names: tuple[Contestant, ...] = ("ours", "peft")
    found: dict[str, list[Measured]] = {name: [] for name in names}
    dtype = str(choose("cpu", precision).dtype).removeprefix("torch.")  # type: ignore[arg-type]
    for _ in range(rounds):
        for name in names:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                threads = torch.get_num_threads()
                found[name].append(alone.submit(measured, name, base, dtype, steps, batch, threads).result())
    speeds = {name: median(one.tokens_per_second for one in runs) for name, runs in found.items()}
    peaks = {name: median(one.peak_bytes for one in runs) for name, runs in found.items()}
    return {
        "precision": dtype,
        "tokens_per_second": speeds,
        "peak_bytes": peaks,
        "train_over_peft": speeds["ours"] / speeds["peft"],
        "train_memory_over_peft": peaks["ours"] / peaks["peft"],
    }


def measured(name: Contestant, base: str, dtype: str, steps: int, batch: Batch, threads: int) -> Measured:
    """What a process that trains alone is measured at."""
    torch.set_num_threads(threads)
    random = torch.Generator().manual_seed(0)
    network = CausalLM.from_pretrained(base, dtype=getattr(torch, dtype)).network.train()
    size = network.get_output_embeddings().weight.shape[0]
    ids = torch.randint(size, (batch.blocks, batch.seq_len + 1), generator=random)
    documents = (torch.arange(batch.seq_len) // batch.document).expand(batch.blocks, -1).contiguous()
    model, step = _CONTESTANTS[name](network, ids, documents)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=_LR, fused=True)
    _forget_peak()
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        step().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return Measured(documents.numel() / median(seconds[1:]), _peak_bytes())


def _ours(network: Any, ids: Tensor, documents: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    model = AdaptedNetwork(network, AdapterConfig(rank=RANK), generator=torch.Generator().manual_seed(0)).train()
    objective = AdapterObjective(model)
    return model, lambda: objective(ids[:, :-1], ids[:, 1:], documents) / documents.numel()


def _peft(network: Any, ids: Tensor, documents: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    import peft

    settings = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(network, settings).train()
    seen = (documents.unsqueeze(2) == documents.unsqueeze(1)).tril().unsqueeze(1)
    places = torch.arange(documents.shape[1]).expand_as(documents)
    begins = torch.where(documents.diff(dim=1, prepend=documents[:, :1] - 1) != 0, places, 0).cummax(dim=1).values

    def step() -> Tensor:
        inputs = {"input_ids": ids[:, :-1], "attention_mask": seen, "position_ids": places - begins}
        logits = model(**inputs, use_cache=False).logits
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    return model, step


_CONTESTANTS: dict[str, Callable[[Any, Tensor, Tensor], tuple[nn.Module, Callable[[], Tensor]]]] = {
    "ours": _ours,
    "peft": _peft,
}


_PEAK, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def _forget_peak() -> None:
    """Loading a model may take more than training it does."""
    if _PEAK.exists():
        _PEAK.write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = _STATUS.read_text(
        encoding="ascii", errors="replace"
    ).splitlines()  # getrusage's begins with the parent's there
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
