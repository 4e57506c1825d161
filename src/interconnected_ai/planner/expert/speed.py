"""Tokens per second of an expert model: generating, bound by memory, and reading a prompt, bound by FLOPs."""

from dataclasses import dataclass
from typing import Literal

from interconnected_ai.config import ExpertConfig
from interconnected_ai.planner.checks import known_precision, require_count, require_positive
from interconnected_ai.planner.expert.size import expert_size, kv_cache_bytes, products
from interconnected_ai.planner.precision import weight_bytes
from interconnected_ai.planner.products import forward_flops

# Share of a device's memory bandwidth that generating reaches with a batch of one. gpt-fast reports 69 % with float16, 52 %
# with int8 and 42 % with int4 weights on an A100 (github.com/pytorch-labs/gpt-fast, Benchmarks); eager PyTorch less.
BANDWIDTH_SHARE = (0.3, 0.8)

# Share of the peak FLOP/s that reading a prompt reaches: small matrices at the low end, large ones at the high end.
FLOPS_SHARE = (0.2, 0.7)

# Time a block costs however small it is: some twenty kernel calls in eager PyTorch, next to none when they are fused.
# Measured with blocks 32 wide on one thread of an AMD EPYC: 94 to 240 µs.
BLOCK_SECONDS = (0.0, 2.4e-4)


@dataclass(frozen=True)
class TokenRate:
    """Tokens per second, slow and fast, with what bounds them and the assumption they rest on."""

    low: float
    high: float
    bound_by: Literal["bandwidth", "compute"]
    assumption: str


def _rate(
    shape: ExpertConfig,
    num_tokens: int,
    num_bytes: int,
    num_flops: int,
    bandwidth: float | None,
    flops: float | None,
    bandwidth_share: tuple[float, float],
    block_seconds: tuple[float, float],
) -> TokenRate:
    """Tokens over the longer of reading and computing, at both ends of the assumed shares."""
    if bandwidth is not None:
        require_positive("bandwidth", bandwidth)
    if flops is not None:
        require_positive("flops", flops)

    def reading(share: float) -> float:
        return num_bytes / (bandwidth * share) if bandwidth else 0.0

    def computing(share: float) -> float:
        return num_flops / (flops * share) if flops else 0.0

    slow = max(reading(bandwidth_share[0]), computing(FLOPS_SHARE[0])) + shape.n_layers * block_seconds[1]
    fast = max(reading(bandwidth_share[1]), computing(FLOPS_SHARE[1])) + shape.n_layers * block_seconds[0]
    said = [f"{block_seconds[0] * 1e6:.0f} to {block_seconds[1] * 1e6:.0f} µs a block whatever its size"]
    if flops:
        said.insert(0, f"{FLOPS_SHARE[0]:.0%} to {FLOPS_SHARE[1]:.0%} of {flops / 1e12:.3g} TFLOP/s")
    if bandwidth:
        said.insert(0, f"{bandwidth_share[0]:.0%} to {bandwidth_share[1]:.0%} of {bandwidth / 1e9:.3g} GB/s")
    return TokenRate(
        low=num_tokens / slow,
        high=num_tokens / fast,
        bound_by="bandwidth" if reading(bandwidth_share[1]) >= computing(FLOPS_SHARE[1]) else "compute",
        assumption=f"assumed, not measured: {', '.join(said)}",
    )


def decode_rate(
    shape: ExpertConfig,
    *,
    bandwidth: float,
    flops: float | None = None,
    precision: str = "float32",
    kv_precision: str | None = None,
    batch: int = 1,
    num_context_tokens: int | None = None,
    bandwidth_share: tuple[float, float] = BANDWIDTH_SHARE,
    block_seconds: tuple[float, float] = BLOCK_SECONDS,
) -> TokenRate:
    """Tokens generated per second, all rows of the batch together.

    Every step reads all weights but the embedding table, and the keys and values of the context:
    seconds = max(bytes / (bandwidth · share), FLOPs / (flops · share)) + n_layers · block_seconds.
    bandwidth: bytes per second of the memory that the weights are in. num_context_tokens: None is half of max_seq_len.
    kv_precision: None is the weights' precision, or float16 with quantised weights.
    """
    require_positive("bandwidth", bandwidth)
    if num_context_tokens is None:
        num_context_tokens = max(1, shape.max_seq_len // 2)
    require_count("num_context_tokens", num_context_tokens)
    size, quantised = expert_size(shape), known_precision(precision) in ("int8", "int4")
    read = weight_bytes(size.num_params_read, precision, scales=quantised)
    read += batch * shape.d_model * 4  # a row of the embedding for each new token
    read += kv_cache_bytes(
        shape, num_context_tokens, batch=batch, precision=kv_precision or ("float16" if quantised else precision)
    )
    step = products(shape, batch, 1, num_cached_tokens=num_context_tokens - 1)
    return _rate(shape, batch, read, forward_flops(step), bandwidth, flops, bandwidth_share, block_seconds)


def prefill_rate(
    shape: ExpertConfig,
    *,
    flops: float,
    bandwidth: float | None = None,
    precision: str = "float32",
    batch: int = 1,
    seq: int = 128,
    all_logits: bool = True,
    bandwidth_share: tuple[float, float] = BANDWIDTH_SHARE,
    block_seconds: tuple[float, float] = BLOCK_SECONDS,
) -> TokenRate:
    """Prompt tokens read per second: a pass over `batch` rows of `seq` tokens, bound by FLOPs unless it is short.

    flops: FLOP/s of the device in the precision it multiplies in (16 bits where weights are quantised).
    """
    require_positive("flops", flops)
    quantised = known_precision(precision) in ("int8", "int4")
    read = weight_bytes(expert_size(shape).num_params_read, precision, scales=quantised)
    work = forward_flops(products(shape, batch, seq, all_logits=all_logits))
    return _rate(shape, batch * seq, read, work, bandwidth, flops, bandwidth_share, block_seconds)
