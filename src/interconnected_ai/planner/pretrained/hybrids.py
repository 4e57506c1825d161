"""What mixes positions in hybrid models: short convolutions, Mamba and Mamba-2, Kimi's delta rule; gates on heads; and the
indexer of sparse attention.
"""

from dataclasses import dataclass
from typing import ClassVar

from interconnected_ai.planner.pretrained.attention import (
    Attention,
    GroupedQueryAttention,
    LatentAttention,
    pairs_seen,
)
from interconnected_ai.planner.pretrained.weights import Piece, linear


@dataclass(frozen=True)
class NoMixer(Attention):
    """A layer that is a feed-forward alone (Nemotron-H)."""

    def pieces(self, d_model: int) -> list[Piece]:
        """None."""
        return []

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """None."""
        return 0

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """None."""
        return 0.0

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """None."""
        return 0


@dataclass(frozen=True)
class MixerAttention(GroupedQueryAttention):
    """Grouped-query attention that stands as the layer's mixer (Nemotron-H)."""

    place: ClassVar[str] = "mixer"


@dataclass(frozen=True)
class ShortConvolution(Attention):
    """A gated convolution over the last few positions (LFM2): two gates and the input come out of one matrix."""

    place: ClassVar[str] = "conv"

    d_model: int
    kernel: int
    bias: bool = False

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        convolution = [Piece("conv.weight", (d_model, 1, self.kernel))]
        return [
            *convolution,
            *([Piece("conv.bias", (d_model,))] if self.bias else []),
            *linear("in_proj", d_model, 3 * d_model, bias=self.bias),
            *linear("out_proj", d_model, d_model, bias=self.bias),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The last inputs of the convolution."""
        return self.d_model * self.kernel

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """The three projections, the gated input, the convolution's output."""
        return each * self.d_model * (5 + full)

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """None: the convolution's kernel is a weight."""
        return 0


@dataclass(frozen=True)
class Mamba(Attention):
    """A selective state space (Gu and Dao 2023), with norms on what depends on the input (Jamba)."""

    place: ClassVar[str] = "mamba"

    d_inner: int
    d_state: int
    kernel: int
    dt_rank: int
    conv_bias: bool = True
    proj_bias: bool = False

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d, n, r = self.d_inner, self.d_state, self.dt_rank
        return [
            Piece("A_log", (d, n)),
            Piece("D", (d,)),
            Piece("conv1d.weight", (d, 1, self.kernel)),
            *([Piece("conv1d.bias", (d,))] if self.conv_bias else []),
            *linear("in_proj", d_model, 2 * d, bias=self.proj_bias),
            *linear("x_proj", d, r + 2 * n),
            *linear("dt_proj", r, d, bias=True),
            *linear("out_proj", d, d_model, bias=self.proj_bias),
            Piece("dt_layernorm.weight", (r,)),
            Piece("b_layernorm.weight", (n,)),
            Piece("c_layernorm.weight", (n,)),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The last inputs of the convolution, and the state."""
        return self.d_inner * (self.kernel + self.d_state)

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """Both halves of the projection, the convolution, the step sizes, and a float32 state a token."""
        return each * self.d_inner * (5 + full) + 4 * self.d_inner * (2 * self.d_state + 2)

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """What a token adds to the state, and what the state says to it."""
        return num_tokens * 2 * 2 * self.d_inner * self.d_state


@dataclass(frozen=True)
class Mamba2(Attention):
    """A selective state space in heads (Dao and Gu 2024; Nemotron-H)."""

    place: ClassVar[str] = "mixer"

    n_heads: int
    head_dim: int
    d_state: int
    num_groups: int
    kernel: int
    conv_bias: bool = True
    proj_bias: bool = False

    @property
    def d_inner(self) -> int:
        """Width of all heads."""
        return self.n_heads * self.head_dim

    @property
    def d_conv(self) -> int:
        """Channels that the convolution reads."""
        return self.d_inner + 2 * self.num_groups * self.d_state

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        return [
            *(Piece(name, (self.n_heads,)) for name in ("dt_bias", "A_log", "D")),
            Piece("conv1d.weight", (self.d_conv, 1, self.kernel)),
            *([Piece("conv1d.bias", (self.d_conv,))] if self.conv_bias else []),
            *linear("in_proj", d_model, self.d_inner + self.d_conv + self.n_heads, bias=self.proj_bias),
            Piece("norm.weight", (self.d_inner,)),
            *linear("out_proj", self.d_inner, d_model, bias=self.proj_bias),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The last inputs of the convolution, and the state."""
        return self.d_conv * self.kernel + self.d_inner * self.d_state

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """The projection, the convolution, and chunks of the scan in float32."""
        return each * (2 * self.d_inner + self.d_conv * (1 + full)) + 4 * (4 * self.d_inner + self.n_heads * 64)

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """What a token adds to the state, and what the state says to it; chunks do the same with other products."""
        return num_tokens * 2 * 2 * self.d_inner * self.d_state


@dataclass(frozen=True)
class IndexedLatentAttention(LatentAttention):
    """Latent attention whose indexer chooses the positions that a token sees (DeepSeek-V3.2).

    most: how many it chooses. has_indexer: False in layers that take the choice of an earlier one (GLM-5).
    """

    index_heads: int = 64
    index_dim: int = 128
    most: int = 2048
    has_indexer: bool = True

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights, the indexer's among them."""
        if not self.has_indexer:
            return super().pieces(d_model)
        assert self.q_rank is not None, "an indexer reads the queries' latent"
        return [
            *super().pieces(d_model),
            *linear("indexer.wq_b", self.q_rank, self.index_heads * self.index_dim),
            *linear("indexer.wk", d_model, self.index_dim),
            Piece("indexer.k_norm.weight", (self.index_dim,)),
            Piece("indexer.k_norm.bias", (self.index_dim,)),
            *linear("indexer.weights_proj", d_model, self.index_heads),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """As without an indexer, and its key of every position."""
        return super().cached_numbers(seq_tokens, expanded=expanded) + seq_tokens * self.index_dim * self.has_indexer

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """The indexer's scores of all positions, and attention to those chosen."""
        index = 2 * self.index_heads * self.index_dim * pairs_seen(num_tokens, cached_tokens) * self.has_indexer
        return index + self._scores(pairs_seen(num_tokens, cached_tokens, self.most), cached_tokens)


@dataclass(frozen=True)
class BlockSparseAttention(GroupedQueryAttention):
    """Grouped-query attention whose indexer chooses blocks of positions (MiniMax-M3).

    index_heads: 0 in layers that see all. most: positions in the blocks that it chooses.
    """

    index_heads: int = 0
    index_dim: int = 128
    most: int = 16 * 128

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights, the indexer's among them."""
        if not self.index_heads:
            return super().pieces(d_model)
        return [
            *super().pieces(d_model),
            *linear("indexer.q_proj", d_model, self.index_heads * self.index_dim),
            *linear("indexer.k_proj", d_model, self.index_dim),
            Piece("indexer.q_norm.weight", (self.index_dim,)),
            Piece("indexer.k_norm.weight", (self.index_dim,)),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """As without an indexer, and its key of every position."""
        index = seq_tokens * self.index_dim if self.index_heads else 0
        return super().cached_numbers(seq_tokens, expanded=expanded) + index

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """The indexer's scores of all positions, and attention to as many positions as the chosen blocks have."""
        if not self.index_heads:
            return super().mixing_flops(num_tokens, cached_tokens)
        index = 2 * self.index_heads * self.index_dim * pairs_seen(num_tokens, cached_tokens)
        return index + 4 * self.n_heads * self.head_dim * pairs_seen(num_tokens, cached_tokens, self.most)


@dataclass(frozen=True)
class HeadGatedAttention(GroupedQueryAttention):
    """Grouped-query attention with one gate for each head's output (Step-3.5)."""

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights, the gates' among them."""
        return [*super().pieces(d_model), *linear("g_proj", d_model, self.n_heads)]


@dataclass(frozen=True)
class HeadGatedLatentAttention(LatentAttention):
    """Latent attention with one gate for each head's output (Ling 3)."""

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights, the gates' among them."""
        return [*super().pieces(d_model), *linear("g_proj", d_model, self.n_heads)]


@dataclass(frozen=True)
class KimiDeltaAttention(Attention):
    """A delta rule that forgets by channel (Kimi Linear, 2025), as Ling 3 has it."""

    CHUNK: ClassVar[int] = 64

    n_heads: int
    head_dim: int
    kernel: int

    @property
    def width(self) -> int:
        """Of all heads."""
        return self.n_heads * self.head_dim

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        return [
            *(piece for name in ("q", "k", "v") for piece in linear(f"{name}_proj", d_model, self.width)),
            Piece("conv1d.weight", (3 * self.width, 1, self.kernel)),
            Piece("forget_gate.A_log", (self.n_heads,)),
            Piece("forget_gate.dt_bias", (self.width,)),
            *linear("forget_gate.f_proj", d_model, self.width),
            *linear("b_proj", d_model, self.n_heads),
            Piece("o_norm.weight", (self.head_dim,)),
            *linear("o_proj", self.width, d_model),
            *linear("g_proj", d_model, self.width),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """The last inputs of the convolution."""
        return 3 * self.width * self.kernel

    def state_numbers(self) -> int:
        """The recurrent state: a square matrix for each head."""
        return self.width * self.head_dim

    def kept_bytes(self, seq_tokens: int, each: int, *, full: bool) -> float:
        """Convolution, forgetting, chunks of the rule in float32, then the gated norm."""
        rule = 12 * self.head_dim + 5 * self.CHUNK + self.head_dim**2 / self.CHUNK + 12
        norm = 12 * self.width + each * self.width * (1 + 2 * full)
        return each * 3 * self.width * (1 + full) + 4 * self.n_heads * rule + norm

    def mixing_flops(self, num_tokens: int, cached_tokens: int) -> int:
        """As of the gated delta rule, token by token."""
        return num_tokens * 3 * 2 * self.state_numbers()
