"""Surgery in figures: operations that hold in every family, adapters of single experts beside PEFT, 4 bits, router rules."""

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.bench.family_suite import family_table, passing
from interconnected_ai.bench.surgery_offload import bench_offload
from interconnected_ai.bench.surgery_pruning import PRUNING_COURSE, PruningCourse, bench_pruning
from interconnected_ai.bench.surgery_reach import bench_reach
from interconnected_ai.bench.surgery_suggestion import COURSE, RANK, Course, bench_suggestion
from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.errors import DataError, UnknownNameError
from interconnected_ai.mixtures import REFUSED
from interconnected_ai.surgery import MoE, Program, Rule

# the fewer tokens an expert gets, the more it costs to materialise every expert's update, as PEFT does
ROWS, FEW_TOKENS, MANY_TOKENS = 4, 64, 256
OF_A_MODEL = ("suggestion", "pruning", "top-p")  # parts that need one


def bench_surgery(
    *,
    repeats: int = 5,
    model: Path | None = None,
    parts: Sequence[str] = (),
    course: Course = COURSE,
    seed: int = 0,
    num_seeds: int = 1,
    pruning: PruningCourse = PRUNING_COURSE,
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """These parts, all of them if none is named and the suggestion where a model is. model: the `base` folder of `iai surgery
    quickstart`, for the parts "suggestion" (what LoRA on suggested experts gains, in `num_seeds` comparisons of `course`), and
    when they are named "pruning" (what half of the experts cost) and "top-p" (what fewer experts a token spare).
    """
    known = (*PARTS, *OF_A_MODEL)
    if unknown := [name for name in parts if name not in known]:
        raise UnknownNameError("part", unknown[0], known)
    if model is None and (lacking := [name for name in OF_A_MODEL if name in parts]):
        raise DataError(
            f"the part {lacking[0]!r} needs a mixture: name the folder `base` of `iai surgery quickstart` (--model)"
        )
    found: dict[str, Any] = {"machine": machine()}
    for name, run in PARTS.items():
        found |= run(repeats) if not parts or name in parts else {}
    if model is not None and (not parts or "suggestion" in parts):
        found |= bench_suggestion(model, course=course, seed=seed, num_seeds=num_seeds)
    if model is not None and "pruning" in parts:
        found |= bench_pruning(model, course=pruning, seed=seed, say=say)
    if model is not None and "top-p" in parts:
        found |= bench_reach(model, repeats)
    return found


# Families


def bench_families() -> dict[str, Any]:
    """Every step of the suite on a tiny random model of every family: family → step → whether it held, and why not."""
    table = family_table()
    return {
        "ticks": {family: {name: not why for name, why in steps.items()} for family, steps in table.items()},
        "failures": {
            family: {name: why for name, why in steps.items() if why}
            for family, steps in table.items()
            if any(steps.values())
        },
        "refused": dict(REFUSED),
        "families_passing": passing(table),
    }


# Adapters beside PEFT


@dataclass(frozen=True)
class Size:
    """The sizes of a random Qwen3-MoE."""

    d_model: int
    d_ff: int
    num_experts: int
    num_layers: int
    n_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int = 512


MEDIUM = Size(256, 128, 64, 2, 4, 2, 64)
QWEN3_LAYERS = Size(2048, 768, 128, 2, 32, 4, 128)
QWEN3_30B = replace(QWEN3_LAYERS, num_layers=48, vocab_size=151_936)


def random_moe(size: Size = MEDIUM, *, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """A random Qwen3-MoE, top-8, in evaluation."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(seed)
    config = Qwen3MoeConfig(
        vocab_size=size.vocab_size, hidden_size=size.d_model, num_hidden_layers=size.num_layers,
        num_attention_heads=size.n_heads, num_key_value_heads=size.num_kv_heads, head_dim=size.head_dim,
        moe_intermediate_size=size.d_ff, intermediate_size=size.d_ff, num_experts=size.num_experts,
        num_experts_per_tok=min(8, size.num_experts), norm_topk_prob=True, max_position_embeddings=4096, pad_token_id=0,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # so that a large model is never held in float32
    try:
        with torch.device(device):
            return Qwen3MoeForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def bench_adapters(
    repeats: int,
    size: Size = MEDIUM,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    few_tokens: int = FEW_TOKENS,
    many_tokens: int = MANY_TOKENS,
) -> dict[str, Any]:
    """LoRA on 2 experts of each layer beside PEFT's, which takes all: forward + backward, time and extra memory.

    Extra memory is what the peak takes beyond that of the frozen model, and the adapters themselves.
    """
    from peft import LoraConfig, get_peft_model

    def fresh() -> Any:
        return random_moe(size, device=device, dtype=dtype)

    ours = MoE(fresh())
    ours.lora({layer.number: [5, 40] for layer in ours.layers}, rank=RANK)
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)  # PEFT asks by an old name
        theirs = get_peft_model(
            fresh(), LoraConfig(r=RANK, lora_alpha=RANK, target_modules=[], target_parameters=targets)
        )
    frozen = fresh().requires_grad_(False)
    # a backward pass as deep as theirs, down to the first layer's experts, with next to nothing to learn
    frozen.model.layers[0].post_attention_layernorm.weight.requires_grad_(True)
    models = {"ours": ours.model, "peft": theirs, "frozen": frozen}
    few, many = _ids(few_tokens).to(device), _ids(many_tokens).to(device)
    times = take_turns({name: _step(model, few) for name, model in models.items()}, repeats)
    longer = take_turns({name: _step(model, many) for name, model in models.items()}, repeats)
    peaks = {name: peak_bytes(_step(model, few), device) for name, model in models.items()}
    adapters = {
        name: sum(p.numel() * p.element_size() for p in models[name].parameters() if p.requires_grad)
        for name in ("ours", "peft")
    }
    extra = {name: max(peaks[name] - peaks["frozen"], 0) + size for name, size in adapters.items()}
    return {
        "lora_time_over_peft": times["ours"].median / times["peft"].median,
        "lora_time_over_peft_more_tokens": longer["ours"].median / longer["peft"].median,
        "lora_time_over_frozen": times["ours"].median / times["frozen"].median,
        "lora_memory_over_peft": extra["ours"] / extra["peft"],
        "lora_extra_bytes": extra["ours"],
        "peft_extra_bytes": extra["peft"],
    }


def _ids(tokens: int, rows: int = ROWS) -> Tensor:
    return torch.randint(12, 500, (rows, tokens), generator=torch.Generator().manual_seed(1))


def _step(model: Any, ids: Tensor) -> Callable[[], None]:
    def run() -> None:
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()

    return run


def peak_bytes(run: Callable[[], None], device: str = "cpu") -> int:
    """The most bytes that were allocated on a device at one time inside, beyond those before.

    On a CPU from torch's own allocation events.
    """
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        run()
    events = trace.profiler.kineto_results.events()
    live = most = 0
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most


# Four bits, rules


@torch.no_grad()
def bench_packing() -> dict[str, Any]:
    """Bytes of packed experts over those in bfloat16, and how far logits move on a random model."""
    ids = _ids(MANY_TOKENS)
    moe = MoE(random_moe())
    before = moe.model(ids).logits
    plain = sum(2 * tensor.numel() for layer in moe.layers for tensor in layer.place.experts.parameters())
    packed = moe.pack_experts()
    after = moe.model(ids).logits
    moe.settle_opened()  # no undo: the originals on disk go
    return {
        "bytes_4bit_over_bf16": packed / plain,
        "logits_relative_error_4bit": float((after - before).norm() / before.norm()),
    }


@torch.no_grad()
def bench_program(repeats: int) -> dict[str, Any]:
    """A forward pass with rules on roles and tokens in every layer, over one without."""
    ids = _ids(MANY_TOKENS)
    ids[:, 3] = 7
    deep = replace(MEDIUM, num_layers=4)
    plain, ruled = MoE(random_moe(deep)), MoE(random_moe(deep))
    ruled.set_program(
        Program(
            roles={"code": 7},
            rules=(
                Rule(do="prefer", experts=tuple(range(16, 32)), role="code"),
                Rule(do="forbid", experts=(3,), tokens=(11, 12)),
            ),
        )
    )
    times = take_turns({"plain": lambda: plain.model(ids), "ruled": lambda: ruled.model(ids)}, 3 * repeats)
    return {"program_overhead": times["ruled"].median / times["plain"].median - 1}


# On a GPU


def bench_gpu(repeats: int) -> dict[str, Any]:
    """The adapters at the size of Qwen3-30B's layers in bfloat16, and a whole model of its shape, on one GPU; keys begin
    with gpu_.

    Empty where there is no GPU. The frozen contestant is transformers' own grouped_mm.
    """
    if not torch.cuda.is_available():
        return {}
    layers = bench_adapters(
        repeats, QWEN3_LAYERS, device="cuda", dtype=torch.bfloat16, few_tokens=512, many_tokens=2048
    )  # fmt: skip
    gc.collect()  # models refer to themselves; the whole one needs their place
    torch.cuda.empty_cache()
    whole = bench_whole_model(QWEN3_30B, device="cuda", dtype=torch.bfloat16)
    return {f"gpu_{key}": value for key, value in (layers | whole).items()}


def bench_whole_model(
    size: Size, *, device: str = "cpu", dtype: torch.dtype = torch.float32, steps: int = 10, tokens: int = 512
) -> dict[str, Any]:
    """A random model opened, edited, given LoRA on two experts of each layer, and trained some steps on one device.

    whole_peak_bytes is the most that was held at one time from the opened model on, its history for undoing included.
    """
    moe = MoE(random_moe(size, device=device, dtype=dtype))
    opened = _weight_bytes(moe)
    began = time.perf_counter()
    most = opened + peak_bytes(lambda: _edit(moe), device)
    edited = time.perf_counter()
    adapter = moe.lora({layer.number: [0, 3] for layer in moe.layers}, rank=RANK)
    moe.model.activation_checkpointing_enable({"use_reentrant": False})
    moe.model.train()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)
    ids, losses = _ids(tokens, rows=1).to(device), []

    def train() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = moe.model(ids, labels=ids, use_cache=False).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    began_training = time.perf_counter()
    most = max(most, _weight_bytes(moe) + peak_bytes(train, device))
    return {
        "whole_params": sum(p.numel() for p in moe.model.parameters()),
        "whole_adapter_params": adapter.num_params,
        "whole_weight_bytes": _weight_bytes(moe),
        "whole_peak_bytes": most,
        "whole_edit_seconds": edited - began,
        "whole_step_seconds": (time.perf_counter() - began_training) / steps,
        "whole_losses": losses,
    }


def _edit(moe: MoE) -> None:
    """Some of every kind: a number, weights, a stack built anew."""
    moe.set_top_k(moe.layers.all[0].top_k - 1)
    moe.replace(0, 1, moe.layers[1].experts[2])
    moe.insert(1, [None])


def _weight_bytes(moe: MoE) -> int:
    return sum(p.numel() * p.element_size() for p in moe.model.parameters())


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "families": lambda repeats: bench_families(),
    "adapters": lambda repeats: bench_adapters(repeats),
    "packing": lambda repeats: bench_packing(),
    "program": lambda repeats: bench_program(repeats),
    "gpu": lambda repeats: bench_gpu(repeats),
    "offload": lambda repeats: bench_offload(repeats),
}
