"""What is measured on a GPU, part by part. Each is called in a process of its own (`worker`), so its imports are its own.

Every part also runs on a CPU with tiny shapes: that checks the code, and its figures say nothing of a GPU.
"""

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import torch

from interconnected_ai.bench.timing import take_turns
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.nn import MoELayer

_EXACT, _CLOSE = 1e-4, 0.05  # of float32; of bfloat16, relative to the largest number


@dataclass(frozen=True)
class Place:
    """Where a part runs, and whether only to check that it does. device: "cuda" or "cpu"."""

    device: str
    tiny: bool

    @property
    def half(self) -> torch.dtype:
        """The precision of the large products."""
        return torch.bfloat16


@dataclass(frozen=True)
class Part:
    """A part by name. seconds: it is stopped after as many, the start of its process included."""

    name: str
    seconds: float
    run: Callable[[Place], dict[str, Any]]


def run_gpu_tests(place: Place) -> dict[str, Any]:
    """Every test that is marked `gpu`, from the checkout that this package is imported from.

    Raises: InterconnectedAIError when one fails, with pytest's last words.
    """
    root = Path(__file__).resolve().parents[4]
    files = [path for path in sorted(root.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text(encoding="utf-8")]
    if not files:
        return {"num_tests": 0, "words": f"no tests beside the package in {root}: run this from a checkout"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}", *map(str, files)],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise InterconnectedAIError(f"tests marked gpu ended with code {done.returncode}:\n{done.stdout[-3000:]}")
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    counts = {key: int(suite.get(key, 0)) for key in ("tests", "skipped", "failures", "errors")}
    return {f"num_{key}": number for key, number in counts.items()} | {
        "files": [str(f.relative_to(root)) for f in files]
    }


def measure_moe(place: Place) -> dict[str, Any]:
    """The MoE layer against transformers' grouped_mm and eager: Qwen3-30B-A3B's layer in bfloat16, forward and training.

    Ratios above 1: ours is faster. The three hold the same weights and are compared in float32 first.
    """
    from interconnected_ai.bench.moe import same_weights, transformers_block
    from interconnected_ai.nn import choose_backend

    shape = {"d_model": 2048, "d_ff": 768, "num_experts": 128, "top_k": 8, "tokens": 4096}
    if place.tiny:
        shape = {"d_model": 64, "d_ff": 32, "num_experts": 8, "top_k": 2, "tokens": 64}
    blocks = {name: transformers_block(name, shape).to(place.device) for name in ("eager", "grouped_mm")}
    ours = same_weights(blocks["eager"], shape).to(place.device)
    hidden = torch.randn(shape["tokens"], shape["d_model"], generator=torch.Generator().manual_seed(1)).to(place.device)
    with torch.no_grad():
        difference = (ours(hidden)[0] - blocks["eager"](hidden[None])[0]).abs().max().item()
    _require_close(difference, _EXACT if place.device == "cpu" else _CLOSE, "the MoE layer", "transformers' block")
    for module in (ours, *blocks.values()):
        module.to(place.half)
    rows = hidden.to(place.half)
    contestants = {
        "ours": lambda: ours(rows)[0],
        "ours_loop": lambda: _first_by(ours, "loop", rows),
        "ours_grouped_mm": lambda: _first_by(ours, "grouped_mm", rows),
    } | {f"hf_{name}": (lambda block=block: _first(block(rows[None]))) for name, block in blocks.items()}
    repeats = 2 if place.tiny else 20
    with torch.inference_mode():
        forward = take_turns(contestants, repeats)
    rows.requires_grad_(True)
    modules = (ours, *blocks.values())

    def trained(run: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def step() -> None:
            for module in modules:
                module.zero_grad(set_to_none=True)
            run().sum().backward()

        return step

    train = take_turns({name: trained(run) for name, run in contestants.items()}, repeats)
    chosen = choose_backend(torch.device(place.device), place.half)
    return {
        "shape": shape,
        "max_abs_diff_float32": difference,
        "backend": chosen.name,
        "backend_reason": chosen.reason,
        **_ratios("forward", forward, "ours"),
        **_ratios("train", train, "ours"),
    }


def _first_by(layer: MoELayer, backend: Literal["loop", "grouped_mm"], rows: torch.Tensor) -> torch.Tensor:
    """The layer's output, its products computed this way."""
    layer.experts.backend = backend
    try:
        out: torch.Tensor = layer(rows)[0]
    finally:
        layer.experts.backend = None
    return out


def measure_generation(place: Place) -> dict[str, Any]:
    """An expert's greedy answers on the device against transformers' GPT-2 with the same weights, tokens per second."""
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    from interconnected_ai.config import ExpertConfig
    from interconnected_ai.experts import ExpertModel, write_gpt2

    logging.disable_progress_bar()
    shape = {"d_model": 1024, "n_layers": 24, "n_heads": 16}  # as GPT-2 medium
    num_prompt, num_new, batches = 64, 128, [1, 8, 64]
    if place.tiny:
        shape, num_prompt, num_new, batches = {"d_model": 32, "n_layers": 2, "n_heads": 4}, 5, 6, [1, 2]
    vocab_size = 200 if place.tiny else 50_000
    config = ExpertConfig.from_mapping(
        {"vocab_size": vocab_size, "norm": "pre", "max_seq_len": 256, "dropout": 0.0, **shape}
    )
    model = ExpertModel.from_config(config, generator=torch.Generator().manual_seed(0)).eval()
    found: dict[str, Any] = {"num_params": model.get_num_params()}
    with tempfile.TemporaryDirectory() as folder:
        write_gpt2(model, None, Path(folder) / "gpt2")
        theirs = (
            GPT2LMHeadModel.from_pretrained(Path(folder) / "gpt2", attn_implementation="sdpa").eval().to(place.device)
        )
    model.to(place.device)
    for dtype in (torch.float32, place.half):
        model.to(dtype)
        theirs.to(dtype)
        for batch in batches:
            prompts = torch.randint(vocab_size, (batch, num_prompt), generator=torch.Generator().manual_seed(batch))
            input_ids = prompts.to(place.device)
            key = f"{str(dtype).removeprefix('torch.')}_b{batch}"
            contestants = {
                "ours": lambda ids=input_ids: model.generate(ids, max_new_tokens=num_new, temperature=0.0),
                "hf": lambda ids=input_ids: theirs.generate(
                    ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=num_new, eos_token_id=None,
                    pad_token_id=0,
                ),
            }  # fmt: skip
            if dtype == torch.float32:
                same = [run()[:, : num_prompt + num_new].tolist() for run in contestants.values()]
                found[f"same_tokens_{key}"] = same[0] == same[1]
            times = take_turns(contestants, 1 if place.tiny else 3)
            found |= _ratios(key, times, "ours")
            found[f"{key}_tokens_per_second"] = batch * num_new / times["ours"].median
    return found


def measure_training(place: Place) -> dict[str, Any]:
    """The real loop in float32 and bfloat16: an expert and a system learn on the device; losses, tokens per second, bytes."""
    found: dict[str, Any] = {}
    for precision in ("float32", "bfloat16"):
        found |= {f"expert_{precision}_{key}": value for key, value in _train_expert(place, precision).items()}
        found |= {f"system_{precision}_{key}": value for key, value in _train_system(place, precision).items()}
    found["bfloat16_over_float32"] = (
        found["expert_bfloat16_tokens_per_second"] / found["expert_float32_tokens_per_second"]
    )
    return found


def measure_fsdp2(place: Place) -> dict[str, Any]:
    """FSDP2 on one card: the loop under it reaches the losses of the loop without, in float32."""
    plain = _train_expert(place, "float32")
    os.environ |= {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()),
    }  # fmt: skip
    spread = _train_expert(place, "float32")
    difference = max(abs(a - b) for a, b in zip(plain["losses"], spread["losses"], strict=True))
    _require_close(difference, 1e-2, "the losses under FSDP2", "those without")
    return {"parallelism": spread["parallelism"], "max_loss_diff": difference, "plain": plain, "fsdp2": spread}


def measure_adapters(place: Place) -> dict[str, Any]:
    """LoRA on two experts of each of two layers of Qwen3-30B-A3B, true widths, beside PEFT's and the frozen model."""
    from interconnected_ai.bench.surgery import MEDIUM, QWEN3_LAYERS, bench_adapters

    size, few, many = (MEDIUM, 8, 16) if place.tiny else (QWEN3_LAYERS, 512, 2048)
    dtype = torch.float32 if place.tiny else place.half
    return bench_adapters(
        1 if place.tiny else 5, size, device=place.device, dtype=dtype, few_tokens=few, many_tokens=many
    )


def edit_some_layers(place: Place) -> dict[str, Any]:
    """Four layers of Qwen3-30B-A3B's widths and its whole vocabulary: edited, given LoRA, trained for some steps."""
    return _edit_and_train(place, 4)


def edit_the_whole(place: Place) -> dict[str, Any]:
    """All 48 layers: 61 GB of weights in bfloat16. Raises: InterconnectedAIError where the card cannot hold them."""
    if not place.tiny and torch.cuda.get_device_properties(0).total_memory < 70 * 10**9:
        raise InterconnectedAIError("the whole of Qwen3-30B-A3B takes 63 GB in bfloat16, more than this card has")
    return _edit_and_train(place, 48)


PARTS = (
    Part("tests", 70, run_gpu_tests),
    Part("moe", 50, measure_moe),
    Part("generation", 75, measure_generation),
    Part("training", 60, measure_training),
    Part("fsdp2", 50, measure_fsdp2),
    Part("adapters", 50, measure_adapters),
    Part("surgery, four layers", 50, edit_some_layers),
    Part("surgery, whole", 75, edit_the_whole),
)


def _edit_and_train(place: Place, num_layers: int) -> dict[str, Any]:
    from interconnected_ai.bench.surgery import MEDIUM, QWEN3_30B, bench_whole_model

    if place.tiny:
        return bench_whole_model(replace(MEDIUM, d_model=64, num_experts=8), steps=2, tokens=16)
    size = replace(QWEN3_30B, num_layers=num_layers)
    return bench_whole_model(size, device=place.device, dtype=place.half)


def _train_expert(place: Place, precision: str) -> dict[str, Any]:
    """Some steps on tokens that follow a rule: every next token is one of a few."""
    from interconnected_ai.config import ExpertConfig, ExpertTrainingConfig
    from interconnected_ai.experts import ExpertModel
    from interconnected_ai.training import Processes, fit_expert

    shape = {"vocab_size": 10_000, "d_model": 512, "n_layers": 6, "n_heads": 8, "max_seq_len": 256}
    batch, steps = 32, 41  # figures are logged every ten steps
    if place.tiny:
        shape, batch, steps = {"vocab_size": 200, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 16}, 4, 21
    luck = np.random.default_rng(0)
    tokens = np.cumsum(luck.integers(1, 4, size=steps * batch * (shape["max_seq_len"] + 1))) % shape["vocab_size"]
    config = ExpertConfig.from_mapping({"norm": "pre", "dropout": 0.0, **shape})
    model = ExpertModel.from_config(config, generator=torch.Generator().manual_seed(0))
    settings = {"epochs": 1, "batch_size": batch, "precision": precision, "device": place.device, "monitors": []}
    training = ExpertTrainingConfig.from_mapping({**settings, "patience": None, "checkpoint_every_steps": 10_000})
    with _peak(place) as peak, tempfile.TemporaryDirectory() as folder:
        fit = fit_expert(model, tokens.astype(np.uint16), None, training, folder)
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss/task"] for line in lines if "loss/task" in line]
    if not losses[-1] < losses[0]:
        raise InterconnectedAIError(f"the loss did not fall: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    return {
        "steps": fit.steps,
        "losses": losses,
        "tokens_per_second": fit.train_tokens / fit.train_seconds,
        "precision": fit.precision,
        "device": fit.device,
        "parallelism": Processes.open(place.device, precision).parallelism.name,
        "peak_bytes": peak(),
    }


def _train_system(place: Place, precision: str) -> dict[str, Any]:
    from interconnected_ai.bench.growth.inputs import rows, specs, system
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.config import TrainingConfig
    from interconnected_ai.training import fit

    made = system(2) if place.tiny else InterconnectedAISystem(branches=specs(2))
    learnt, held = rows(2, 24 if place.tiny else 1000), rows(2, 12, seed=1)
    settings = {"epochs": 2, "batch_size": 32, "precision": precision, "device": place.device, "monitors": []}
    with _peak(place) as peak, tempfile.TemporaryDirectory() as folder:
        result = fit(made, learnt, held, TrainingConfig.from_mapping({**settings, "patience": None}), folder)
    return {
        "steps": result.steps,
        "train_seconds": result.train_seconds,
        "cache_seconds": result.cache_seconds,
        "precision": result.precision,
        "device": result.device,
        "peak_bytes": peak(),
    }


@contextmanager
def _peak(place: Place) -> Iterator[Callable[[], int | None]]:
    """A function that gives the most bytes of the device held at once since the block began; None on a CPU."""
    counts = place.device == "cuda"
    gc.collect()
    if counts:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield lambda: torch.cuda.max_memory_allocated() if counts else None


def _ratios(key: str, times: Mapping[str, Any], ours: str) -> dict[str, Any]:
    """Median seconds of everyone, and how many times as fast ours is."""
    seconds = {name: timing.median for name, timing in times.items()}
    over = {f"{key}_over_{name}": value / seconds[ours] for name, value in seconds.items() if name != ours}
    return over | {f"{key}_seconds": seconds, f"{key}_spread": max(timing.spread for timing in times.values())}


def _first(out: Any) -> torch.Tensor:
    found: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return found


def _require_close(difference: float, limit: float, one: str, other: str) -> None:
    if not difference <= limit:
        raise InterconnectedAIError(f"{one} and {other} differ by {difference:g}, more than {limit:g}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
