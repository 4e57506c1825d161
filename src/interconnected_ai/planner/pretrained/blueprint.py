"""A whole pretrained model, normalised over families, as a list of its tensors."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.planner.pretrained.attention import Attention
from interconnected_ai.planner.pretrained.weights import Part, Piece, Weight, feed_forward, linear


@dataclass(frozen=True)
class Experts:
    """The MoE block of a layer: routed FFN experts, their router, and what every token passes besides.

    d_ff_shared: inner size of the expert that sees every token, all of `num_shared` together; 0 without one. correction: a
    buffer of one number per FFN expert, which balances the choice without a loss, stands beside the weights; "float32" where
    it stays in that precision. float32_router: the router multiplies in float32. gated: an expert has a gate beside its up
    matrix; d_latent: the width that experts work in, where the block projects down to it (Nemotron-3), 0 for d_model.
    linear_router: the router's matrix stands in an `nn.Linear`; more_router: what else belongs to the router.
    transposed: stacks are (experts, in, out). fused: ordinary feed-forwards hold gate and up in one matrix (MiniMax-M3).
    """

    num_experts: int
    top_k: int
    d_ff: int
    num_shared: int = 0
    d_ff_shared: int = 0
    shared_gate: bool = False
    bias: bool = False
    mlp_bias: bool = False
    correction: Literal["", "float32", "as the weights"] = ""
    float32_router: bool = False
    block: str = "mlp"
    router: str = "gate"
    shared: str = "shared_experts"
    gated: bool = True
    d_latent: int = 0
    linear_router: bool = False
    more_router: tuple[Piece, ...] = ()
    transposed: bool = False
    fused: bool = False

    @property
    def num_matrices(self) -> int:
        """Matrices of one expert."""
        return 2 + self.gated

    def experts(self, d_model: int) -> list[Piece]:
        """The stacked routed experts: gate and up in one tensor, then down."""
        n, f = self.num_experts, self.d_ff
        if not self.bias:
            d = self.d_latent or d_model
            first, name = (2 * f, "gate_up_proj") if self.gated else (f, "up_proj")
            shapes = ((n, d, first), (n, f, d)) if self.transposed else ((n, first, d), (n, d, f))
            return [Piece(f"experts.{name}", shapes[0]), Piece("experts.down_proj", shapes[1])]
        return [  # gpt-oss: transposed, and with biases
            Piece("experts.gate_up_proj", (n, d_model, 2 * f)),
            Piece("experts.gate_up_proj_bias", (n, 2 * f)),
            Piece("experts.down_proj", (n, f, d_model)),
            Piece("experts.down_proj_bias", (n, d_model)),
        ]

    def routers(self, d_model: int) -> list[Piece]:
        """The token router; never an `nn.Linear` of its own class."""
        bias = [Piece(f"{self.router}.bias", (self.num_experts,))] if self.bias else []
        matrix = Piece(f"{self.router}.weight", (self.num_experts, d_model), self.linear_router)
        return [matrix, *bias, *self.more_router]

    def shared_pieces(self, d_model: int) -> list[Piece]:
        """The expert that every token passes, its gate, and the way down to the experts' width and back."""
        latent = []
        if self.d_latent:
            down = linear("fc1_latent_proj", d_model, self.d_latent, bias=self.mlp_bias)
            latent = [*down, *linear("fc2_latent_proj", self.d_latent, d_model, bias=self.mlp_bias)]
        if not self.shared_gate and not self.num_shared:
            return latent
        gate = linear(f"{self.shared}_gate", d_model, 1) if self.shared_gate else []
        ffn = feed_forward(
            self.shared, d_model, self.d_ff_shared, bias=self.mlp_bias, gated=self.gated, fused=self.fused
        )
        return [*latent, *ffn, *gate]

    def kept_bytes(self, d_model: int, each: int, *, full: bool, router: bool) -> float:
        """Bytes a token leaves for the backward pass: chosen rows, inner values, outputs waiting for their weight."""
        inner = (6 if self.bias else 3) + full  # gpt-oss clamps gate and up before it multiplies
        routed = self.top_k * (each * d_model * (1 + full) + each * self.d_ff * inner + 50)
        scores = 4 * self.num_experts * (3 if self.float32_router else 1)
        router_input = 4 * d_model if self.float32_router and router else 0
        shared = each * self.d_ff_shared * (3 + full) + (each * d_model if self.shared_gate else 0)
        return routed + scores + router_input + shared + each * d_model * (full or router)


@dataclass(frozen=True)
class Blueprint:
    """A whole model, normalised over families: what `weights` needs to list every tensor.

    norm: "float32 rms" multiplies its weight in float32 too, "layer" has a bias. norms: those of each layer, moe_norms: of
    layers with experts besides; embedding, last_norm: what stands before and behind the layers. bare: layers without a
    feed-forward. dense: the names of a dense feed-forward's matrices, gate first where it has one; dense_block: where it
    stands. beside_experts: layers with experts have that feed-forward too (Gemma 4).
    """

    model_type: str
    vocab_size: int
    d_model: int
    attentions: tuple[Attention, ...]
    experts: Experts
    moe_layers: frozenset[int]
    d_ff_dense: int
    tied: bool
    norm: Literal["rms", "float32 rms", "layer"] = "rms"
    head_bias: bool = False
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    moe_norms: tuple[str, ...] = ()
    embedding: str = "embed_tokens"
    last_norm: str = "norm"
    bare: frozenset[int] = frozenset()
    dense: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    dense_block: str = ""
    beside_experts: bool = False

    def weights(self) -> tuple[Weight, ...]:
        """Every parameter, in no particular order; a head tied to the embedding is not listed twice."""
        norm = [Piece("weight", (self.d_model,)), *([Piece("bias", (self.d_model,))] if self.norm == "layer" else [])]
        listed = [Weight(f"model.{self.embedding}.weight", "embedding", (self.vocab_size, self.d_model))]
        for number, attention in enumerate(self.attentions):
            listed += _placed(attention.pieces(self.d_model), "attention", number, attention.place)
            for name in (*self.norms, *(self.moe_norms if number in self.moe_layers else ())):
                listed += _placed(norm, "norm", number, name)
            listed += self._feed_forward(number)
        listed += [Weight(f"model.{self.last_norm}.{piece.name}", "norm", piece.shape) for piece in norm]
        if not self.tied:
            listed.append(Weight("lm_head.weight", "head", (self.vocab_size, self.d_model), linear=True))
        if self.head_bias:
            listed.append(Weight("lm_head.bias", "head", (self.vocab_size,)))
        return tuple(listed)

    def norm_kept_bytes(self, each: int, *, full: bool) -> float:
        """Bytes a token leaves in one norm for the backward pass: transformers' RMS norms keep their input in float32."""
        if self.norm == "layer":
            return each * (self.d_model + 2)
        return 4 * (self.d_model + 1) + (each if self.norm == "rms" else 4) * self.d_model * full

    def _feed_forward(self, number: int) -> list[Weight]:
        """What follows attention in this layer: an MoE block, or one dense FFN."""
        block = self.experts.block
        dense = _placed(self._dense(), "dense", number)
        if number in self.bare:
            return []
        if number not in self.moe_layers:
            return dense
        return [
            *(dense if self.beside_experts else []),
            *_placed(self.experts.experts(self.d_model), "expert", number, block),
            *_placed(self.experts.routers(self.d_model), "router", number, block),
            *_placed(self.experts.shared_pieces(self.d_model), "shared expert", number, block),
        ]

    def _dense(self) -> list[Piece]:
        place, bias = self.dense_block or self.experts.block, self.experts.mlp_bias
        if self.experts.fused:
            return feed_forward(place, self.d_model, self.d_ff_dense, bias=bias, fused=True)
        *first, down = self.dense
        matrices = [
            piece for name in first for piece in linear(f"{place}.{name}", self.d_model, self.d_ff_dense, bias=bias)
        ]
        return [*matrices, *linear(f"{place}.{down}", self.d_ff_dense, self.d_model, bias=bias)]


def _placed(pieces: Iterable[Piece], part: Part, layer: int, place: str = "") -> list[Weight]:
    """The pieces under their full names in this layer."""
    within = f"model.layers.{layer}.{place}." if place else f"model.layers.{layer}."
    return [Weight(within + piece.name, part, piece.shape, layer, piece.linear) for piece in pieces]
