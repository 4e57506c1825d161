"""Families of pretrained MoE language models: what a `config.json` of each builds, tensor by tensor, as transformers does.

Names, shapes and defaults are those of transformers 5.23; the tests build its models and compare. A new family is a function
and a row in `FAMILIES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, Literal, NamedTuple

from interconnected_ai.errors import ConfigError, nearest_first

Part = Literal["embedding", "attention", "router", "expert", "shared expert", "dense", "norm", "head"]

# No published model has a tenth of it; a typing error of three zeros should not fill the memory.
MAX_LAYERS = 1000


@dataclass(frozen=True)
class Weight:
    """One parameter tensor, named and shaped as transformers v5 holds it.

    layer: None outside the stack of layers. linear: an `nn.Linear` holds it, so adapters and bitsandbytes find it; the fused
    experts and most routers are plain parameters. Experts of a layer share one tensor whose first axis counts them.
    """

    name: str
    part: Part
    shape: tuple[int, ...]
    layer: int | None = None
    linear: bool = False

    @property
    def num_params(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


class Piece(NamedTuple):
    """A weight before it is given its layer's name."""

    name: str
    shape: tuple[int, ...]
    linear: bool = False


def linear(name: str, d_in: int, d_out: int, *, bias: bool = False) -> list[Piece]:
    """The pieces of an `nn.Linear`."""
    weight = Piece(f"{name}.weight", (d_out, d_in), linear=True)
    return [weight, Piece(f"{name}.bias", (d_out,))] if bias else [weight]


class Settings:
    """A `config.json` being read: each value is checked, and a complaint names the key, the rule and the remedy."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values, self.source = values, source

    def has(self, key: str) -> bool:
        """Whether the file says something other than null for this key."""
        return self.values.get(key) is not None

    def count(self, *keys: str, at_least: int = 1, default: int | None = None) -> int:
        """The whole number under the first of these names (transformers renames some keys when it saves)."""
        given = {key: self.values[key] for key in keys if self.has(key)}
        if not given and default is None:
            others = f" (also read as {', '.join(keys[1:])})" if keys[1:] else ""
            raise self.error(f"key {keys[0]!r} is missing{others}; copy the config.json that belongs to the weights")
        key, value = next(iter(given.items()), (keys[0], default))
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self.wrong(key, f"needs a whole number of at least {at_least}")
        if any(other != value for other in given.values()):
            raise self.error(f"{given} contradict each other; keep the one that the weights have")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """The true or false under this name; transformers' own default where the file is silent."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "needs true or false")
        return value

    def names(self, key: str, num_layers: int, known: tuple[str, ...]) -> list[str] | None:
        """A list of one known name for each layer, or None where the file has none."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != num_layers or any(name not in known for name in value):
            raise self.wrong(key, f"needs {num_layers} names, one a layer, out of {', '.join(known)}")
        return value

    def layers(self, key: str) -> list[int]:
        """A list of layer numbers; empty where the file has none."""
        value = self.values.get(key)
        value = [] if value is None else value
        if not isinstance(value, list) or any(isinstance(n, bool) or not isinstance(n, int) for n in value):
            raise self.wrong(key, "needs a list of layer numbers")
        return value

    def wrong(self, key: str, rule: str) -> ConfigError:
        """The error for a value that breaks a rule."""
        return self.error(f"{key} = {self.values.get(key)!r}: {rule}; correct it, or take the model's own config.json")

    def error(self, text: str) -> ConfigError:
        """An error that names the file."""
        return ConfigError(f"{self.source}: {text}")


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


@dataclass(frozen=True)
class GroupedQueryAttention(Attention):
    """Queries in `n_heads` heads, keys and values in fewer (Ainslie et al. 2023).

    q_norm, k_norm: sizes of the norms on queries and keys, 0 without. gated: `q_proj` also makes an output gate (Qwen3-Next).
    window: positions a sliding-window layer sees. partly_rotated: heads are put together again after their rotation, and
    torch then copies the output. fused: torch's fused attention; gpt-oss has only the plain one, which keeps its (n_heads,
    seq, seq) probabilities.
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
    window: int | None = None
    partly_rotated: bool = False
    fused: bool = True

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d_q, d_kv = self.n_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return [
            *linear("q_proj", d_model, 2 * d_q if self.gated else d_q, bias=self.bias),
            *linear("k_proj", d_model, d_kv, bias=self.bias),
            *linear("v_proj", d_model, d_kv, bias=self.bias),
            *linear("o_proj", d_q, d_model, bias=self.out_bias),
            *([Piece("q_norm.weight", (self.q_norm,)), Piece("k_norm.weight", (self.k_norm,))] if self.q_norm else []),
            *([Piece("sinks", (self.n_heads,))] if self.sinks else []),
        ]

    def cached_numbers(self, seq_tokens: int, *, expanded: bool = False) -> int:
        """Keys and values of every position, or of the last window - 1 (the next token brings the window's own)."""
        # transformers slices [-window + 1:], and [-0:] is everything
        seen = seq_tokens if self.window in (None, 1) else min(seq_tokens, (self.window or 0) - 1)
        return 2 * seen * self.num_kv_heads * self.head_dim

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


@dataclass(frozen=True)
class GatedDeltaNet(Attention):
    """A linear attention whose cache does not grow with the text (Yang et al. 2024; three layers of four in Qwen3-Next)."""

    place: ClassVar[str] = "linear_attn"
    CHUNK: ClassVar[int] = 64

    num_key_heads: int
    num_value_heads: int
    d_key: int
    d_value: int
    kernel: int

    @property
    def d_conv(self) -> int:
        """Channels that the short convolution reads: queries, keys and values."""
        return 2 * self.num_key_heads * self.d_key + self.num_value_heads * self.d_value

    def pieces(self, d_model: int) -> list[Piece]:
        """Its weights."""
        d_values = self.num_value_heads * self.d_value
        return [
            Piece("conv1d.weight", (self.d_conv, 1, self.kernel)),
            *linear("in_proj_qkvz", d_model, self.d_conv + d_values),
            *linear("in_proj_ba", d_model, 2 * self.num_value_heads),
            Piece("dt_bias", (self.num_value_heads,)),
            Piece("A_log", (self.num_value_heads,)),
            Piece("norm.weight", (self.d_value,)),
            *linear("out_proj", d_values, d_model),
        ]

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


@dataclass(frozen=True)
class Experts:
    """The MoE block of a layer: routed FFN experts, their router, and what every token passes besides.

    d_ff_shared: inner size of the expert that sees every token, all of `num_shared` together; 0 without one. correction: a
    buffer of one number per FFN expert, which balances the choice without a loss, stands beside the weights; "float32" where
    it stays in that precision. float32_router: the router multiplies in float32.
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

    def experts(self, d_model: int) -> list[Piece]:
        """The stacked routed experts: gate and up in one tensor, then down."""
        n, f = self.num_experts, self.d_ff
        if not self.bias:
            return [Piece("experts.gate_up_proj", (n, 2 * f, d_model)), Piece("experts.down_proj", (n, d_model, f))]
        return [  # gpt-oss: transposed, and with biases
            Piece("experts.gate_up_proj", (n, d_model, 2 * f)),
            Piece("experts.gate_up_proj_bias", (n, 2 * f)),
            Piece("experts.down_proj", (n, f, d_model)),
            Piece("experts.down_proj_bias", (n, d_model)),
        ]

    def routers(self, d_model: int) -> list[Piece]:
        """The token router; never an `nn.Linear` of its own class."""
        bias = [Piece(f"{self.router}.bias", (self.num_experts,))] if self.bias else []
        return [Piece(f"{self.router}.weight", (self.num_experts, d_model)), *bias]

    def shared_pieces(self, d_model: int) -> list[Piece]:
        """The expert that every token passes, and its gate."""
        if not self.shared_gate and not self.num_shared:
            return []
        gate = linear(f"{self.shared}_gate", d_model, 1) if self.shared_gate else []
        return [*feed_forward(self.shared, d_model, self.d_ff_shared, bias=self.mlp_bias), *gate]

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

    norm: "float32 rms" multiplies its weight in float32 too, "layer" has a bias.
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

    def weights(self) -> tuple[Weight, ...]:
        """Every parameter, in no particular order; a head tied to the embedding is not listed twice."""
        norm = [Piece("weight", (self.d_model,)), *([Piece("bias", (self.d_model,))] if self.norm == "layer" else [])]
        listed = [Weight("model.embed_tokens.weight", "embedding", (self.vocab_size, self.d_model))]
        for number, attention in enumerate(self.attentions):
            listed += _placed(attention.pieces(self.d_model), "attention", number, attention.place)
            for name in ("input_layernorm", "post_attention_layernorm"):
                listed += _placed(norm, "norm", number, name)
            listed += self._feed_forward(number)
        listed += [Weight(f"model.norm.{piece.name}", "norm", piece.shape) for piece in norm]
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
        if number not in self.moe_layers:
            pieces = feed_forward(block, self.d_model, self.d_ff_dense, bias=self.experts.mlp_bias)
            return _placed(pieces, "dense", number)
        return [
            *_placed(self.experts.experts(self.d_model), "expert", number, block),
            *_placed(self.experts.routers(self.d_model), "router", number, block),
            *_placed(self.experts.shared_pieces(self.d_model), "shared expert", number, block),
        ]


def feed_forward(name: str, d_model: int, d_ff: int, *, bias: bool = False) -> list[Piece]:
    """The pieces of a gated FFN (SwiGLU, Shazeer 2020)."""
    return [
        *linear(f"{name}.gate_proj", d_model, d_ff, bias=bias),
        *linear(f"{name}.up_proj", d_model, d_ff, bias=bias),
        *linear(f"{name}.down_proj", d_ff, d_model, bias=bias),
    ]


def _placed(pieces: Iterable[Piece], part: Part, layer: int, place: str = "") -> list[Weight]:
    """The pieces under their full names in this layer."""
    within = f"model.layers.{layer}.{place}." if place else f"model.layers.{layer}."
    return [Weight(within + piece.name, part, piece.shape, layer, piece.linear) for piece in pieces]


def read_blueprint(values: Mapping[str, Any], source: str) -> Blueprint:
    """The model a `config.json` describes; `ConfigError` names an unknown architecture and the known ones, nearest first."""
    settings = Settings(values, source)
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise settings.error(
            "key 'model_type' is missing, or no text; copy the config.json that belongs to the weights"
        )
    if model_type not in FAMILIES:
        known = ", ".join(nearest_first(model_type, FAMILIES))
        raise settings.error(
            f"model_type {model_type!r} is no architecture the planner can size exactly; known, nearest first: {known}"
        )
    if settings.has("per_layer_config"):
        raise settings.wrong("per_layer_config", "layers that differ cannot be sized here, nor built by transformers")
    return FAMILIES[model_type](settings)


def _blueprint(
    settings: Settings,
    attentions: list[Attention],
    experts: Experts,
    moe_layers: Iterable[int] | None = None,
    *,
    norm: Literal["rms", "float32 rms", "layer"] = "rms",
    head_bias: bool = False,
) -> Blueprint:
    """The blueprint, after the checks that every family shares. moe_layers: None is all."""
    if experts.top_k > experts.num_experts:
        rule = f"a token cannot choose more than the {experts.num_experts} FFN experts there are"
        raise settings.wrong("num_experts_per_tok", rule)
    layers = frozenset(range(len(attentions)) if moe_layers is None else moe_layers)
    if not layers:
        raise settings.error("no layer has FFN experts: this config.json builds a dense model; plan it as one")
    return Blueprint(
        model_type=settings.values["model_type"],
        vocab_size=settings.count("vocab_size"),
        d_model=settings.count("hidden_size"),
        attentions=tuple(attentions),
        experts=experts,
        moe_layers=layers,
        d_ff_dense=settings.count("intermediate_size") if len(layers) < len(attentions) else 0,
        tied=settings.flag("tie_word_embeddings", False),
        norm=norm,
        head_bias=head_bias,
    )


def _n_layers(settings: Settings) -> int:
    n_layers = settings.count("num_hidden_layers")
    if n_layers > MAX_LAYERS:
        raise settings.wrong("num_hidden_layers", f"needs {MAX_LAYERS} or fewer")
    return n_layers


def _heads(settings: Settings, head_dim: int | None = None, **more: bool) -> GroupedQueryAttention:
    """Grouped-query attention without a window. head_dim: what the family assumes where the file is silent."""
    n_heads = settings.count("num_attention_heads")
    kv_default = n_heads if settings.values["model_type"] in ("olmoe", "granitemoe") else None
    num_kv_heads = settings.count("num_key_value_heads", default=kv_default)
    if n_heads % num_kv_heads:
        raise settings.wrong("num_key_value_heads", f"needs a divisor of num_attention_heads = {n_heads}")
    if head_dim is None and not settings.has("head_dim"):
        head_dim, rest = divmod(settings.count("hidden_size"), n_heads)
        if rest:
            raise settings.wrong("hidden_size", f"needs a multiple of num_attention_heads = {n_heads}, or head_dim")
    size = settings.count("head_dim", default=head_dim)
    if size % 2:
        raise settings.error(f"head_dim = {size}: rotary positions need an even number; correct it or hidden_size")
    return GroupedQueryAttention(n_heads, num_kv_heads, size, **more)


def _biased_heads(settings: Settings, head_dim: int | None = None, *, default: bool = False, **more: bool) -> Any:
    """Heads whose four matrices have biases where `attention_bias` says so."""
    bias = settings.flag("attention_bias", default)
    return _heads(settings, head_dim, bias=bias, out_bias=bias, **more)


def _normed(heads: GroupedQueryAttention) -> GroupedQueryAttention:
    """The same with a norm on each head's queries and keys."""
    return replace(heads, q_norm=heads.head_dim, k_norm=heads.head_dim)


def _windowed(
    settings: Settings, heads: GroupedQueryAttention, default: Callable[[int], bool] | None = None
) -> list[Attention]:
    """Those heads in every layer, with how far back each sees.

    `layer_types` decides; without it, `default` says which layers slide, and without that a `sliding_window` holds for all.
    """
    n_layers = _n_layers(settings)
    types = settings.names("layer_types", n_layers, ("full_attention", "sliding_attention"))
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
    else:
        slides = [default(n) if default else settings.has("sliding_window") for n in range(n_layers)]
    return [replace(heads, window=settings.count("sliding_window") if slide else None) for slide in slides]


def _experts(settings: Settings, *keys: str, d_ff: str = "intermediate_size", **more: Any) -> Experts:
    """The routed FFN experts, their number under one of these keys."""
    return Experts(settings.count(*keys), settings.count("num_experts_per_tok"), settings.count(d_ff), **more)


def _qwen_experts(settings: Settings) -> Experts:
    """Routed FFN experts beside one for every token, behind a sigmoid gate."""
    d_ff_shared = settings.count("shared_expert_intermediate_size")
    shared = {"num_shared": 1, "d_ff_shared": d_ff_shared, "shared_gate": True, "shared": "shared_expert"}
    return _experts(settings, "num_experts", d_ff="moe_intermediate_size", **shared)


def _every_step(settings: Settings) -> list[int]:
    """Qwen's MoE layers: every `decoder_sparse_step`-th, without those in `mlp_only_layers`."""
    step, dense = settings.count("decoder_sparse_step", default=1), settings.layers("mlp_only_layers")
    return [n for n in range(_n_layers(settings)) if n not in dense and (n + 1) % step == 0]


def _qwen3_moe(settings: Settings) -> Blueprint:
    heads = _normed(_biased_heads(settings))
    slides = settings.flag("use_sliding_window", False)
    attentions = _windowed(settings, heads, lambda n: slides and settings.has("sliding_window"))
    # saved as num_local_experts since transformers 5.5
    experts = _experts(settings, "num_experts", "num_local_experts", d_ff="moe_intermediate_size")
    return _blueprint(settings, attentions, experts, _every_step(settings))


def _qwen2_moe(settings: Settings) -> Blueprint:
    slides, until = (
        settings.flag("use_sliding_window", False),
        settings.count("max_window_layers", default=28, at_least=0),
    )
    heads = _heads(settings, bias=settings.flag("qkv_bias", True))
    attentions = _windowed(settings, heads, lambda n: slides and n % 2 == 0 and n < until)
    return _blueprint(settings, attentions, _qwen_experts(settings), _every_step(settings))


def _qwen3_next(settings: Settings) -> Blueprint:
    n_layers, every = _n_layers(settings), settings.count("full_attention_interval", default=4)
    heads = _normed(_biased_heads(settings, 256, gated=True))
    sizes = "num_key_heads num_value_heads key_head_dim value_head_dim conv_kernel_dim".split()
    recurrent = GatedDeltaNet(*(settings.count(f"linear_{size}") for size in sizes))
    if recurrent.num_value_heads % recurrent.num_key_heads:
        raise settings.wrong("linear_num_value_heads", "needs a multiple of linear_num_key_heads")
    types = settings.names("layer_types", n_layers, ("full_attention", "linear_attention"))
    full = [kind == "full_attention" for kind in types] if types else [(n + 1) % every == 0 for n in range(n_layers)]
    attentions: list[Attention] = [heads if looks_back else recurrent for looks_back in full]
    return _blueprint(settings, attentions, _qwen_experts(settings), _every_step(settings), norm="float32 rms")


def _mixtral(settings: Settings) -> Blueprint:
    experts = _experts(settings, "num_local_experts", "num_experts")
    return _blueprint(settings, _windowed(settings, _heads(settings)), experts)


def _olmoe(settings: Settings) -> Blueprint:
    heads, d_model = _biased_heads(settings), settings.count("hidden_size")
    # its norms span all heads, and take their size from hidden_size even where head_dim says otherwise
    heads = replace(heads, q_norm=d_model, k_norm=d_model // heads.n_heads * heads.num_kv_heads)
    experts = _experts(settings, "num_experts", "num_local_experts")
    return _blueprint(settings, _windowed(settings, heads), experts)


def _minimax_m2(settings: Settings) -> Blueprint:
    heads = _heads(settings, 128, partly_rotated=True)
    heads = replace(heads, q_norm=heads.n_heads * heads.head_dim, k_norm=heads.num_kv_heads * heads.head_dim)
    experts = _experts(settings, "num_local_experts", "num_experts", correction="as the weights")
    return _blueprint(settings, _windowed(settings, heads), experts)


def _gpt_oss(settings: Settings) -> Blueprint:
    heads = _biased_heads(settings, 64, default=True, sinks=True, fused=False)
    attentions = _windowed(settings, heads, lambda n: n % 2 == 0)
    experts = _experts(settings, "num_local_experts", "num_experts", bias=True, router="router")
    return _blueprint(settings, attentions, experts, norm="float32 rms")


def _phimoe(settings: Settings) -> Blueprint:
    attentions = _windowed(settings, _biased_heads(settings))
    experts = _experts(settings, "num_local_experts", router="router")
    return _blueprint(settings, attentions, experts, norm="layer", head_bias=settings.flag("lm_head_bias", False))


def _granitemoe(settings: Settings) -> Blueprint:
    attentions = _windowed(settings, _biased_heads(settings))
    experts = _experts(settings, "num_local_experts", block="block_sparse_moe", router="router")
    return _blueprint(settings, attentions, experts)


def _latent(settings: Settings) -> list[Attention]:
    """DeepSeek's attention in every layer; a null `q_lora_rank` (V2-Lite) means one plain query matrix."""
    if "q_lora_rank" not in settings.values:
        raise settings.error("key 'q_lora_rank' is missing; give a number, or null for one plain query matrix")
    if settings.count("qk_rope_head_dim") % 2:
        raise settings.wrong("qk_rope_head_dim", "rotary positions need an even number")
    n_heads = settings.count("num_attention_heads")
    if settings.count("num_key_value_heads", default=n_heads) != n_heads:
        raise settings.wrong("num_key_value_heads", f"needs num_attention_heads = {n_heads}: latents serve all heads")
    attention = LatentAttention(
        n_heads=n_heads,
        q_rank=settings.count("q_lora_rank") if settings.has("q_lora_rank") else None,
        kv_rank=settings.count("kv_lora_rank"),
        d_nope=settings.count("qk_nope_head_dim"),
        d_rope=settings.count("qk_rope_head_dim"),
        d_value=settings.count("v_head_dim"),
        bias=settings.flag("attention_bias", False),
    )
    return [attention] * _n_layers(settings)


def _deepseek_experts(settings: Settings, key: str, *, groups: bool, **more: Any) -> Experts:
    """Routed FFN experts beside some for every token. groups: the router chooses groups of them first."""
    num_shared, d_ff = settings.count("n_shared_experts", at_least=0), settings.count("moe_intermediate_size")
    more_sizes = {"num_shared": num_shared, "d_ff_shared": num_shared * d_ff, "float32_router": True, **more}
    experts = _experts(settings, "n_routed_experts", key, d_ff="moe_intermediate_size", **more_sizes)
    num_groups, chosen = (settings.count(name, default=1) for name in ("n_group", "topk_group"))
    size, rest = divmod(experts.num_experts, num_groups)
    if groups and (rest or (experts.correction and size < 2)):
        raise settings.wrong("n_group", f"needs equal groups of two or more out of {experts.num_experts} FFN experts")
    if groups and (chosen > num_groups or experts.top_k > chosen * size):
        rule = f"{chosen} of {num_groups} groups of {size} FFN experts cannot give a token {experts.top_k}"
        raise settings.wrong("topk_group", rule)
    return experts


def _after_dense(settings: Settings) -> range:
    """DeepSeek's MoE layers: all after the first `first_k_dense_replace`."""
    return range(settings.count("first_k_dense_replace", at_least=0), _n_layers(settings))


def _deepseek_v2(settings: Settings) -> Blueprint:
    groups = settings.values.get("topk_method") == "group_limited_greedy"
    mlp_bias = settings.flag("mlp_bias", False)
    experts = _deepseek_experts(settings, "num_experts", groups=groups, mlp_bias=mlp_bias)
    n_heads = settings.count("num_attention_heads")
    if settings.count("hidden_size") % n_heads:
        raise settings.wrong("hidden_size", f"needs a multiple of num_attention_heads = {n_heads}")
    return _blueprint(settings, _latent(settings), experts, _after_dense(settings))


def _deepseek_v3(settings: Settings) -> Blueprint:
    experts = _deepseek_experts(settings, "num_local_experts", groups=True, correction="float32")
    return _blueprint(settings, _latent(settings), experts, _after_dense(settings))


def _glm4_moe(settings: Settings) -> Blueprint:
    heads = _heads(settings, bias=settings.flag("attention_bias", False), partly_rotated=True)
    heads = _normed(heads) if settings.flag("use_qk_norm", False) else heads
    experts = _deepseek_experts(settings, "num_local_experts", groups=True, correction="float32")
    return _blueprint(settings, _windowed(settings, heads), experts, _after_dense(settings))


FAMILIES: dict[str, Callable[[Settings], Blueprint]] = {
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v3,
    "glm4_moe": _glm4_moe,
    "gpt_oss": _gpt_oss,
    "granitemoe": _granitemoe,
    "minimax_m2": _minimax_m2,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "phimoe": _phimoe,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
}
