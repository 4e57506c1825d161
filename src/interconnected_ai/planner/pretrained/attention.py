"""What mixes positions in a layer of a pretrained model: grouped-query, latent, or linear attention."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from interconnected_ai.planner.pretrained.weights import Piece, linear


@dataclass(frozen=True)
class Attention(ABC):
    """What mixes positions in one layer: its weights, its cache and what it keeps for the backward pass."""

    place: ClassVar[str] = "self_attn"

    @abstractmethod
    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""

    @abstractmethod
    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """Numbers in the cache of one sequence, in the computing precision."""

    def state_numbers(self) -> int:
        """Numbers in the cache of one sequence that stay float32 whatever the precision."""
        return 0

    @abstractmethod
    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """Bytes a token leaves for the backward pass, its own input left out.

        each: bytes of a number in the computing precision. full: its weights and norms learn too.
        """

    @abstractmethod
    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """FLOPs beside the products with its weights, for so many tokens of one sequence behind those in its cache.

        Of pairs of positions those count that see each other; a kernel that computes masked pairs too takes more.
        """


def pairs_seen(num_tokens: int, cached_tokens: int, most: int | None = None) -> int:
    """Pairs of a new position and one that it sees: itself and those before, the nearest `most` of them."""
    whole = num_tokens if most is None else max(0, min(num_tokens, most - cached_tokens))  # tokens that see all
    rest = 0 if most is None else (num_tokens - whole) * most
    return whole * cached_tokens + whole * (whole + 1) // 2 + rest


@dataclass(frozen=True)
class GroupedQueryAttention(Attention):
    """Queries in `n_heads` heads, keys and values in fewer (Ainslie et al. 2023).

    q_norm, k_norm: sizes of the norms on queries and keys, 0 without. gated: `q_proj` also makes an output gate (Qwen3-Next).
    norm_names, out: what its norms and its last matrix are called. v_dim: size of a head's values, 0 for head_dim.
    keys_as_values: there is no matrix for values, which are the keys (Gemma 4's layers that see everything).
    window: positions a sliding-window layer sees. chunk: positions see those of their own chunk alone (Llama 4).
    partly_rotated: heads are put together again after their rotation, and torch then copies the output. fused: torch's fused
    attention; gpt-oss has only the plain one, which keeps its (n_heads, seq, seq) probabilities.
    """

    n_heads: int
    num_kv_heads: int
    head_dim: int
    bias: bool = False
    out_bias: bool = False
    q_norm: int = 0
    k_norm: int = 0
    gated: bool = False
    sinks: bool = False
    norm_names: tuple[str, str] = ("q_norm", "k_norm")
    out: str = "o_proj"
    v_dim: int = 0
    keys_as_values: bool = False
    window: int | None = None
    chunk: int | None = None
    partly_rotated: bool = False
    fused: bool = True

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d_q, d_kv = self.n_heads * self.head_dim, self.num_kv_heads * self.head_dim
        d_value = self.v_dim or self.head_dim
        values = [] if self.keys_as_values else linear("v_proj", d_model, self.num_kv_heads * d_value, bias=self.bias)
        sizes = zip(self.norm_names, (self.q_norm, self.k_norm), strict=True)
        return [
            *linear("q_proj", d_model, 2 * d_q if self.gated else d_q, bias=self.bias),
            *linear("k_proj", d_model, d_kv, bias=self.bias),
            *values,
            *linear(self.out, self.n_heads * d_value, d_model, bias=self.out_bias),
            *(Piece(f"{name}.weight", (size,)) for name, size in sizes if size),
            *([Piece("sinks", (self.n_heads,))] if self.sinks else []),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """Keys and values of every position, or of the last window - 1 (the next token brings the window's own)."""
        # transformers slices [-window + 1:], and [-0:] is everything
        seen = seq_tokens if self.window in (None, 1) else min(seq_tokens, (self.window or 0) - 1)
        return seen * self.num_kv_heads * (self.head_dim + (self.v_dim or self.head_dim))

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """Queries, keys, values and outputs; norms keep their input in float32."""
        d_q, d_kv = self.n_heads * self.head_dim, self.num_kv_heads * self.head_dim
        norms = (4 + (4 if self.gated else each) * full) * (d_q + d_kv) + 4 * (self.n_heads + self.num_kv_heads)
        kept = norms if self.q_norm else 0
        if self.gated:
            kept += each * d_q * (2 + full)
        if not self.fused:
            return kept + each * (3 + full) * d_q + self.n_heads * (each * (seq_tokens + 1) + 8)
        return kept + each * (2 * d_q + 2 * d_kv + d_q * (full and self.partly_rotated)) + 4 * self.n_heads

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """Scores and weighted sums of all heads."""
        return (
            2 * self.n_heads * (self.head_dim + (self.v_dim or self.head_dim)) * self._pairs(num_tokens, cached_tokens)
        )

    def _pairs(self, num_tokens: int, cached_tokens: int) -> int:
        if self.chunk is None:
            return pairs_seen(num_tokens, cached_tokens, self.window)
        end, pairs = cached_tokens + num_tokens, 0
        for start in range(cached_tokens - cached_tokens % self.chunk, end, self.chunk):
            first = max(start, cached_tokens)
            pairs += pairs_seen(min(start + self.chunk, end) - first, first - start)
        return pairs


@dataclass(frozen=True)
class LatentAttention(Attention):
    """Keys and values rebuilt from one small latent vector (MLA, DeepSeek-V2, 2024)."""

    n_heads: int
    q_rank: int | None
    kv_rank: int
    d_nope: int
    d_rope: int
    d_value: int
    bias: bool = False

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d_q = self.n_heads * (self.d_nope + self.d_rope)
        queries = linear("q_proj", d_model, d_q)
        if self.q_rank is not None:
            norm = Piece("q_a_layernorm.weight", (self.q_rank,))
            down, up = linear("q_a_proj", d_model, self.q_rank, bias=self.bias), linear("q_b_proj", self.q_rank, d_q)
            queries = [*down, norm, *up]
        return [
            *queries,
            *linear("kv_a_proj_with_mqa", d_model, self.kv_rank + self.d_rope, bias=self.bias),
            Piece("kv_a_layernorm.weight", (self.kv_rank,)),
            *linear("kv_b_proj", self.kv_rank, self.n_heads * (self.d_nope + self.d_value)),
            *linear("o_proj", self.n_heads * self.d_value, d_model, bias=self.bias),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The latent and the shared rotary key; `expanded`, every head's key and value as older transformers kept them."""
        if expanded:
            return seq_tokens * self.n_heads * (self.d_nope + self.d_rope + self.d_value)
        return seq_tokens * (self.kv_rank + self.d_rope)

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """The latents in float32 for their norms, then expanded queries, keys, values and outputs."""
        ranks = (self.q_rank or 0) + self.kv_rank
        d_key = self.d_nope + self.d_rope
        heads = self.n_heads * (each * (2 * d_key + self.d_nope + (2 + full) * self.d_value) + 4)
        return (4 + 2 * each * full) * ranks + heads

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """A prompt with the keys and values of all heads; later tokens in the latent's space, whose products with the matrix
        between stand for those with the keys' and values' own (DeepSeek-V2, 2024, section 2.1.2). transformers makes the keys
        and values of all positions anew for every token, and takes more.
        """
        return self._scores(pairs_seen(num_tokens, cached_tokens), cached_tokens)

    def _scores(self, pairs: int, cached_tokens: int) -> int:
        latent = self.kv_rank + self.d_rope + self.kv_rank
        width = latent if cached_tokens else self.d_nope + self.d_rope + self.d_value
        return 2 * self.n_heads * width * pairs


@dataclass(frozen=True)
class GatedDeltaNet(Attention):
    """A linear attention whose cache does not grow with the text (Yang et al. 2024; three layers of four in Qwen3-Next).

    apart: what Qwen3-Next projects in two matrices stands in four (Qwen3.5).
    """

    place: ClassVar[str] = "linear_attn"
    CHUNK: ClassVar[int] = 64

    num_key_heads: int
    num_value_heads: int
    d_key: int
    d_value: int
    kernel: int
    apart: bool = field(default=False, kw_only=True)

    @property
    def d_conv(self) -> int:
        """Channels that the short convolution reads: queries, keys and values."""
        return 2 * self.num_key_heads * self.d_key + self.num_value_heads * self.d_value

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d_values = self.num_value_heads * self.d_value
        return [
            Piece("conv1d.weight", (self.d_conv, 1, self.kernel)),
            *self._projections(d_model),
            Piece("dt_bias", (self.num_value_heads,)),
            Piece("A_log", (self.num_value_heads,)),
            Piece("norm.weight", (self.d_value,)),
            *linear("out_proj", d_values, d_model),
        ]

    def _projections(self, d_model: int) -> list[Piece]:
        d_values, heads = self.num_value_heads * self.d_value, self.num_value_heads
        if not self.apart:
            return [*linear("in_proj_qkvz", d_model, self.d_conv + d_values), *linear("in_proj_ba", d_model, 2 * heads)]
        sizes = {"qkv": self.d_conv, "z": d_values, "b": heads, "a": heads}
        return [piece for name, size in sizes.items() for piece in linear(f"in_proj_{name}", d_model, size)]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The last inputs of the convolution."""
        return self.d_conv * self.kernel

    def state_numbers(self) -> int:
        """The recurrent state: a (d_key, d_value) matrix for each head."""
        return self.num_value_heads * self.d_key * self.d_value

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """Convolution, chunks of the delta rule in float32 (transformers' own torch code), then the gated norm."""
        d_values, chunk = self.num_value_heads * self.d_value, self.CHUNK
        rule = 8 * self.d_key + 2 * self.d_value + 5 * chunk + self.d_key * self.d_value / chunk + 12
        norm = 12 * d_values + each * d_values * (1 + 2 * full)
        return each * self.d_conv * (1 + full) + 4 * self.num_value_heads * rule + norm

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """Of the rule token by token: what the state says to a key, its change by key and value, what it says to a query.

        Chunks, in which kernels read prompts, do the same with other products.
        """
        return num_tokens * 3 * 2 * self.state_numbers()
