"""An expert model (a small transformer language model), counted: parameters, bytes, products, tokens per second, pools.

The architecture is that of `experts.ExpertModel`, the document's (`001_…`): token embedding, sinusoidal positions, blocks of
attention and feed-forward with a norm each, a last norm, a language-model head. See `expert_size` for the biases.
"""

import math
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.precision import BYTES, weight_bytes
from interconnected_ai.planner.products import Product, forward_flops

# Share of a device's memory bandwidth that generating reaches with a batch of one. gpt-fast reports 69 % with float16, 52 %
# with int8 and 42 % with int4 weights on an A100 (github.com/pytorch-labs/gpt-fast, Benchmarks); eager PyTorch less.
BANDWIDTH_SHARE = (0.3, 0.8)
# Share of the peak FLOP/s that reading a prompt reaches: small matrices at the low end, large ones at the high end.
FLOPS_SHARE = (0.2, 0.7)
# Time a block costs however small it is: some twenty kernel calls in eager PyTorch, next to none when they are fused.
# Measured with blocks 32 wide on one thread of an AMD EPYC: 94 to 240 µs.
BLOCK_SECONDS = (0.0, 2.4e-4)


def _known(precision: str) -> str:
    if precision not in BYTES:
        raise UnknownNameError("precision", precision, BYTES)
    return precision


def _require_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name}={value!r}: needs a whole number of 1 or more")


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}={value!r}: needs a number above 0")


@dataclass(frozen=True)
class ExpertShape:
    """The shape of an `ExpertModel`. Defaults are the document's; d_ff None is 4 × d_model, as all its figures have it.

    tie_weights: the head is the embedding's matrix. Where the norms stand changes no count.
    Raises `ConfigError` for a shape that cannot be.
    """

    vocab_size: int
    d_model: int = 512
    n_layers: int = 6
    n_heads: int = 8
    d_ff: int | None = None
    max_seq_len: int = 2048
    dropout: float = 0.1
    tie_weights: bool = False

    @classmethod
    def of(cls, config: ExpertConfig) -> "ExpertShape":
        """The shape of the model that this config describes."""
        return cls(**config.model_dump(exclude={"norm"}))

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "max_seq_len"):
            _require_count(name, getattr(self, name))
        if self.d_ff is not None:
            _require_count("d_ff", self.d_ff)
        if self.d_model % self.n_heads:
            near = [n for n in range(1, self.d_model + 1) if not self.d_model % n]
            best = min(near, key=lambda n: abs(n - self.n_heads))
            raise ConfigError(
                f"d_model={self.d_model} cannot be dealt out over n_heads={self.n_heads}; "
                f"n_heads must divide it, {best} would"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout={self.dropout}: needs 0 or more and less than 1")

    @property
    def inner(self) -> int:
        """Width of the feed-forward block's hidden layer."""
        return self.d_ff or 4 * self.d_model

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


# The document's table of sizes gives parameter counts and no shapes. These shapes have exactly its counts; they are a
# reconstruction: the only ones with a vocabulary of whole thousands, d_model a multiple of 64 and d_ff = 4 · d_model.
# Counts say nothing of heads: they are 64 wide here, as in the document's example (512 / 8).
PRESETS: dict[str, ExpertShape] = {
    "tiny": ExpertShape(vocab_size=5_000, d_model=128, n_layers=2, n_heads=2),
    "small": ExpertShape(vocab_size=10_000, d_model=256, n_layers=4, n_heads=4),
    "medium": ExpertShape(vocab_size=32_000, d_model=512, n_layers=6, n_heads=8),
    "large": ExpertShape(vocab_size=50_000, d_model=768, n_layers=8, n_heads=12),
}


def preset(name: str) -> ExpertShape:
    """One of the document's sizes: tiny, small, medium or large; raises `UnknownNameError` for another."""
    if name.casefold() not in PRESETS:
        raise UnknownNameError("expert size", name, PRESETS)
    return PRESETS[name.casefold()]


# Parameters and bytes


@dataclass(frozen=True)
class ExpertSize:
    """Parameters of an expert model by part, and what they take in memory."""

    shape: ExpertShape
    num_embedding_params: int
    num_attention_params: int
    num_feed_forward_params: int
    num_norm_params: int
    num_head_params: int

    @property
    def num_params(self) -> int:
        """All of them."""
        return self.num_params_without_embedding + self.num_embedding_params

    @property
    def num_params_without_embedding(self) -> int:
        """Without the token embedding; the head counts, as in the document, where it is a matrix of its own."""
        return self.num_attention_params + self.num_feed_forward_params + self.num_norm_params + self.num_head_params

    @property
    def num_params_read(self) -> int:
        """What every generated token reads: all but the embedding, of which it reads a row, unless the head is tied to it."""
        return self.num_params_without_embedding + (self.num_embedding_params if self.shape.tie_weights else 0)

    @property
    def position_buffer_bytes(self) -> int:
        """The sinusoidal positions in float32: no parameters, but they stand in memory and in the state dict."""
        return self.shape.max_seq_len * self.shape.d_model * 4

    def weight_bytes(self, precision: str = "float32", *, scales: bool = False) -> int:
        """Bytes of the parameters; `scales` adds those of a quantised format. The document's "MB" are MiB (2^20)."""
        return weight_bytes(self.num_params, _known(precision), scales=scales)

    def state_dict_bytes(self, precision: str = "float32") -> int:
        """Bytes of all tensors that are saved: parameters and the position buffer, which is cast with them.

        Quantised weights come with their scales, and the buffer stays in float32.
        """
        quantised = _known(precision) in ("int8", "int4")
        buffer = self.position_buffer_bytes * (1.0 if quantised else BYTES[precision] / 4)
        return self.weight_bytes(precision, scales=quantised) + int(buffer)


def expert_size(shape: ExpertShape) -> ExpertSize:
    """Parameters of the model, part by part.

    A block has (4·d² + 4·d) for attention, with biases in q, k, v and out; (2·d·f + f + d) for the feed-forward block,
    with biases in both layers; 4·d for two layer norms. Then 2·d for the last norm, and vocab·d each for the embedding and
    for the head, which has no bias (with tied weights it is the embedding, and counted there). No other choice of biases
    gives the document's 29,155,328 (24,035,328 without the embedding) for vocab 10,000, d 512, 6 layers, f 2,048.
    """
    d_model, d_ff = shape.d_model, shape.inner
    return ExpertSize(
        shape=shape,
        num_embedding_params=shape.vocab_size * d_model,
        num_attention_params=shape.n_layers * 4 * (d_model * d_model + d_model),
        num_feed_forward_params=shape.n_layers * (2 * d_model * d_ff + d_ff + d_model),
        num_norm_params=(2 * shape.n_layers + 1) * 2 * d_model,
        num_head_params=0 if shape.tie_weights else shape.vocab_size * d_model,
    )


def kv_cache_bytes(shape: ExpertShape, num_tokens: int, *, batch: int = 1, precision: str = "float32") -> int:
    """Bytes of the keys and values kept while generating: 2 · n_layers · d_model · num_tokens · batch numbers."""
    _require_fits(shape, num_tokens)
    _require_count("batch", batch)
    return round(2 * shape.n_layers * shape.d_model * num_tokens * batch * BYTES[_known(precision)])


# Products


def products(
    shape: ExpertShape,
    batch: int,
    seq: int,
    *,
    num_cached_tokens: int = 0,
    trains: bool = False,
    all_logits: bool = True,
) -> tuple[Product, ...]:
    """Every matrix product of one pass over `batch` rows of `seq` tokens.

    num_cached_tokens: tokens before them whose keys and values are kept; generating is seq = 1. trains: all weights learn
    (the embedding is a lookup, no product). all_logits: the head on every position, as the document's `forward` has it;
    False counts the last position alone. Attention is counted without a mask: what is masked is computed all the same.
    """
    _require_count("batch", batch)
    _require_count("seq", seq)
    _require_fits(shape, num_cached_tokens + seq)
    rows, keys = batch * seq, num_cached_tokens + seq
    weight: Literal["trained", "frozen"] = "trained" if trains else "frozen"
    d_model, d_ff, heads = shape.d_model, shape.inner, shape.n_layers * batch * shape.n_heads
    head_rows = rows if all_logits else batch
    return (
        Product("attention", rows, d_model, d_model, 4 * shape.n_layers, weight, trains),
        Product("attention scores", seq, shape.head_width, keys, heads, "none", trains),
        Product("attention values", seq, keys, shape.head_width, heads, "none", trains),
        Product("feed-forward", rows, d_model, d_ff, shape.n_layers, weight, trains),
        Product("feed-forward", rows, d_ff, d_model, shape.n_layers, weight, trains),
        Product("head", head_rows, d_model, shape.vocab_size, 1, weight, trains),
    )


# Speed


@dataclass(frozen=True)
class TokenRate:
    """Tokens per second, slow and fast, with what bounds them and the assumption they rest on."""

    low: float
    high: float
    bound_by: Literal["bandwidth", "compute"]
    assumption: str


def decode_rate(
    shape: ExpertShape,
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
    _require_positive("bandwidth", bandwidth)
    if num_context_tokens is None:
        num_context_tokens = max(1, shape.max_seq_len // 2)
    _require_count("num_context_tokens", num_context_tokens)
    size, quantised = expert_size(shape), _known(precision) in ("int8", "int4")
    read = weight_bytes(size.num_params_read, precision, scales=quantised)
    read += batch * shape.d_model * 4  # a row of the embedding for each new token
    read += kv_cache_bytes(
        shape, num_context_tokens, batch=batch, precision=kv_precision or ("float16" if quantised else precision)
    )
    step = products(shape, batch, 1, num_cached_tokens=num_context_tokens - 1)
    return _rate(shape, batch, read, forward_flops(step), bandwidth, flops, bandwidth_share, block_seconds)


def prefill_rate(
    shape: ExpertShape,
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
    _require_positive("flops", flops)
    quantised = _known(precision) in ("int8", "int4")
    read = weight_bytes(expert_size(shape).num_params_read, precision, scales=quantised)
    work = forward_flops(products(shape, batch, seq, all_logits=all_logits))
    return _rate(shape, batch * seq, read, work, bandwidth, flops, bandwidth_share, block_seconds)


def _rate(
    shape: ExpertShape,
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
        _require_positive("bandwidth", bandwidth)
    if flops is not None:
        _require_positive("flops", flops)

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


# A pool of experts in a RAM budget


@dataclass(frozen=True)
class PoolSize:
    """What a pool of experts takes: RAM for those that stay in it, working memory for those that answer, disk for all.

    expert_bytes: one expert's tensors, in RAM as on disk. working_bytes: what one expert that answers needs besides.
    load_seconds: one expert from the disk; cached_load_seconds: when the system still has the file in its page cache
    (a copy in memory, which reads and writes every byte). None where no bandwidth was given.
    """

    num_experts: int
    num_active: int
    num_resident: int
    ram_bytes: int
    reserve_bytes: int
    expert_bytes: int
    working_bytes: int
    load_seconds: float | None
    cached_load_seconds: float | None

    @property
    def fits(self) -> bool:
        """Whether the experts that answer at the same time have room at all."""
        return self.num_resident >= self.num_active

    @property
    def all_resident(self) -> bool:
        """Whether no expert ever has to be loaded again."""
        return self.num_resident == self.num_experts

    @property
    def disk_bytes(self) -> int:
        """All experts on disk."""
        return self.num_experts * self.expert_bytes

    @property
    def used_bytes(self) -> int:
        """RAM in use when every place is taken and `num_active` experts answer."""
        return self.reserve_bytes + self.num_resident * self.expert_bytes + self.num_active * self.working_bytes

    @property
    def needed_bytes(self) -> int:
        """The least RAM that works: the reserve, and the experts that answer at the same time."""
        return self.reserve_bytes + self.num_active * (self.expert_bytes + self.working_bytes)

    @property
    def needed_for_all_bytes(self) -> int:
        """RAM in which every expert stays."""
        return self.needed_bytes + (self.num_experts - self.num_active) * self.expert_bytes

    @property
    def mean_load_seconds(self) -> float | None:
        """Loading time a request waits for on average, if all experts are asked for alike and none is in the page cache."""
        if self.load_seconds is None:
            return None
        return self.load_seconds * (1 - self.num_resident / self.num_experts)


def pool_size(
    expert: ExpertShape | int,
    num_experts: int,
    ram_bytes: int,
    precision: str = "float16",
    *,
    num_active: int = 1,
    num_context_tokens: int | None = None,
    batch: int = 1,
    reserve_bytes: int = 0,
    working_bytes: int | None = None,
    disk_bandwidth: float | None = None,
    memory_bandwidth: float | None = None,
) -> PoolSize:
    """How many of `num_experts` experts stay in a RAM budget, and what loading one of the others takes.

    expert: a shape, or a number of parameters, of which the working memory cannot be told: give `working_bytes`, or none
    is counted. num_active: experts that answer at the same time. num_context_tokens: of each row, None is max_seq_len.
    reserve_bytes: what the process takes besides (Python and PyTorch take some hundred MB). Bandwidths: bytes per second.
    Raises `ConfigError` for counts that cannot be.
    """
    _require_count("num_experts", num_experts)
    _require_count("num_active", num_active)
    _require_count("ram_bytes", ram_bytes)
    if num_active > num_experts:
        raise ConfigError(f"num_active={num_active} of num_experts={num_experts}: more than there are cannot answer")
    if reserve_bytes < 0 or (working_bytes or 0) < 0:
        raise ConfigError(f"reserve_bytes={reserve_bytes}, working_bytes={working_bytes}: need 0 or more")
    expert_bytes = _expert_bytes(expert, precision)
    if working_bytes is None:
        working_bytes = 0
        if isinstance(expert, ExpertShape):
            working_bytes = expert_working_bytes(expert, num_context_tokens, batch=batch, precision=precision)
    free = ram_bytes - reserve_bytes - num_active * working_bytes
    return PoolSize(
        num_experts=num_experts,
        num_active=num_active,
        num_resident=min(num_experts, max(0, free // expert_bytes)),
        ram_bytes=ram_bytes,
        reserve_bytes=reserve_bytes,
        expert_bytes=expert_bytes,
        working_bytes=working_bytes,
        load_seconds=_seconds("disk_bandwidth", expert_bytes, disk_bandwidth),
        cached_load_seconds=_seconds("memory_bandwidth", 2 * expert_bytes, memory_bandwidth),
    )


def expert_working_bytes(
    shape: ExpertShape, num_context_tokens: int | None = None, *, batch: int = 1, precision: str = "float16"
) -> int:
    """What an expert that answers needs besides its weights: keys and values, and the widest moment of reading a prompt.

    That moment is the feed-forward block's, with the residual before and after attention, its norm (none with post-norm)
    and the hidden layer before and after the activation: 3·d + 2·f numbers a token; or attention's, with the residual, its
    norm, q, k, v and the mixed values twice while they change their layout: 7·d (fused attention keeps no scores). Then the
    last position's logits.
    Quantised experts keep all of that in 16 bits.
    """
    num_tokens = shape.max_seq_len if num_context_tokens is None else num_context_tokens
    _require_count("num_context_tokens", num_tokens)
    kept = "float16" if _known(precision) in ("int8", "int4") else precision
    widest = max(3 * shape.d_model + 2 * shape.inner, 7 * shape.d_model)
    passing = round(batch * num_tokens * widest * BYTES[kept])
    logits = batch * shape.vocab_size * 4
    return kv_cache_bytes(shape, num_tokens, batch=batch, precision=kept) + passing + logits


def _expert_bytes(expert: ExpertShape | int, precision: str) -> int:
    if isinstance(expert, ExpertShape):
        return expert_size(expert).state_dict_bytes(precision)
    _require_count("num_params", expert)
    return weight_bytes(expert, _known(precision), scales=precision in ("int8", "int4"))


def _seconds(name: str, num_bytes: int, bandwidth: float | None) -> float | None:
    if bandwidth is None:
        return None
    _require_positive(name, bandwidth)
    return num_bytes / bandwidth


def _require_fits(shape: ExpertShape, num_tokens: int) -> None:
    if num_tokens < 0:
        raise ConfigError(f"{num_tokens} tokens: needs 0 or more")
    if num_tokens > shape.max_seq_len:
        raise ConfigError(
            f"{num_tokens} tokens are more than max_seq_len={shape.max_seq_len}; shorten the context or raise max_seq_len"
        )
