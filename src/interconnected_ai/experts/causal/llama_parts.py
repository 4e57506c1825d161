"""A Llama-shaped model of Hugging Face taken apart into the maps that a token passes, in their order.

Llama, Mistral (sliding window), Qwen2 (biases), Qwen3 (norms of queries and keys): RMSNorm, rotary positions, grouped queries,
SwiGLU (Touvron et al. 2023; Su et al. 2021; Ainslie et al. 2023; Shazeer 2020). What else there is goes the generic way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.experts.compiled import (
    NOT_COMPILED,
    BlockWeights,
    Compiled,
    ModelWeights,
    Norm,
    Product,
    StepLibrary,
)
from interconnected_ai.experts.torch_products import AddingMap, Layout, Map

_CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_STEADY_ROPES = ("default", "linear", "llama3", "yarn")  # frequencies that no text's length changes
_LINEARS = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip


def why_not_lean(network: nn.Module) -> str:
    """Why the lean decoder cannot compute this model, "" if it can."""
    kind = type(network)
    if kind.__name__ not in _CLASSES or not kind.__module__.startswith("transformers.models."):
        return f"{kind.__name__} is none of {', '.join(_CLASSES)}"
    config: Any = network.config
    rope = config.rope_parameters.get("rope_type", "default")
    if rope not in _STEADY_ROPES:
        return f"its rotary positions are of the kind {rope!r}"
    if config.hidden_act not in ("silu", "swish"):
        return f"its activation is {config.hidden_act!r}, not silu"
    inner: Any = network.model
    layer = inner.layers[0]
    if 2 * len(inner.rotary_emb.inv_freq) != layer.self_attn.head_dim:
        return "its rotary positions turn a part of a head only"
    for layer in inner.layers:
        for name in _LINEARS:
            found = type(layer.get_submodule(name))
            if found is not nn.Linear:
                return f"its {name} is a {found.__name__}, not a linear layer"
    return ""


@dataclass(frozen=True)
class LlamaShape:
    """Sizes that the lean decoder needs."""

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_width: int
    inner: int

    @property
    def num_turned(self) -> int:
        """Heads whose vectors are turned by their position: queries and keys."""
        return self.n_heads + self.n_kv_heads

    @property
    def widths(self) -> tuple[int, int, int]:
        """Of queries, keys and values in their common product."""
        return self.n_heads * self.head_width, self.n_kv_heads * self.head_width, self.n_kv_heads * self.head_width


@dataclass(frozen=True)
class LlamaBlock:
    """A layer. qkv, gate_up: of hidden states as they are, norm included; read_attention, read_mlp: the norms alone.

    window: how many tokens queries look at, None all. The names are those of the modules, for adapters.
    """

    qkv: Map
    out: AddingMap
    gate_up: Map
    down: AddingMap
    read_attention: Map
    read_mlp: Map
    query_norm: Map | None
    key_norm: Map | None
    window: int | None
    attention_names: tuple[str, ...]
    out_name: str
    gate_up_names: tuple[str, ...]
    down_name: str


@dataclass(frozen=True)
class LlamaParts:
    """The whole model. frequencies: (head_width / 2,) of the rotary positions; rope_scale: of their sines and cosines."""

    shape: LlamaShape
    table: Tensor
    blocks: tuple[LlamaBlock, ...]
    head: Map
    read_head: Map
    frequencies: Tensor
    rope_scale: float
    room_for: Callable[[int], int]
    most_rows: int | None = None
    compiled: Compiled = NOT_COMPILED

    @classmethod
    def of(cls, network: nn.Module, layout: Layout, library: StepLibrary | None = None) -> "LlamaParts":
        """The maps of a model that `why_not_lean` allows; a layout that copies does not follow later changes of it.

        library: what computes the steps of a single row; None is the maps.
        """
        inner: Any = network.model
        config: Any = network.config
        first = inner.layers[0]
        n_heads, n_kv_heads = config.num_attention_heads, config.num_key_value_heads
        shape = LlamaShape(
            config.vocab_size, config.hidden_size, config.num_hidden_layers, n_heads,
            n_kv_heads, first.self_attn.head_dim, first.mlp.gate_proj.out_features,
        )  # fmt: skip
        blocks = tuple(
            _block(f"model.layers.{number}", layer, layout, _window(config, number))
            for number, layer in enumerate(inner.layers)
        )
        lm_head: Any = network.lm_head
        compiled = NOT_COMPILED if library is None else Compiled.of(weights_of(network), library)
        return cls(
            shape, inner.embed_tokens.weight, blocks, layout.normed(_norm(inner.norm), [lm_head]), _rms(inner.norm),
            inner.rotary_emb.inv_freq, float(inner.rotary_emb.attention_scaling), layout.room_for,
            layout.most_rows, compiled,
        )  # fmt: skip

    def turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin of (…) positions: (…, head_width / 2) each, in the model's precision."""
        angles = positions[..., None].float() * self.frequencies.float()
        cos, sin = angles.cos() * self.rope_scale, angles.sin() * self.rope_scale
        return cos.to(self.table.dtype), sin.to(self.table.dtype)


def _block(name: str, layer: Any, layout: Layout, window: int | None) -> LlamaBlock:
    attention, mlp = layer.self_attn, layer.mlp
    before, between = layer.input_layernorm, layer.post_attention_layernorm
    names = [f"{name}.{linear}" for linear in _LINEARS]
    return LlamaBlock(
        layout.normed(_norm(before), [attention.q_proj, attention.k_proj, attention.v_proj]),
        layout.adding(attention.o_proj),
        layout.normed(_norm(between), [mlp.gate_proj, mlp.up_proj]),
        layout.adding(mlp.down_proj),
        _rms(before),
        _rms(between),
        _rms(attention.q_norm) if hasattr(attention, "q_norm") else None,
        _rms(attention.k_norm) if hasattr(attention, "k_norm") else None,
        window,
        tuple(names[:3]),
        names[3],
        tuple(names[4:6]),
        names[6],
    )


def weights_of(network: nn.Module) -> ModelWeights:
    """The weights of a model that `why_not_lean` allows, in their own place, for the compiled step."""
    inner: Any = network.model
    config: Any = network.config
    head: Any = network.lm_head
    return ModelWeights(
        n_heads=config.num_attention_heads, n_kv_heads=config.num_key_value_heads,
        head_width=inner.layers[0].self_attn.head_dim, is_rms=True, norms_first=True,
        table=inner.embed_tokens.weight.detach(), table_scale=1.0, positions=None,
        blocks=tuple(_block_weights(layer, _window(config, number)) for number, layer in enumerate(inner.layers)),
        norm=_norm_weights(inner.norm), head=Product.of(head),
    )  # fmt: skip


def _block_weights(layer: Any, window: int | None) -> BlockWeights:
    attention, mlp = layer.self_attn, layer.mlp
    return BlockWeights(
        _norm_weights(layer.input_layernorm),
        _norm_weights(layer.post_attention_layernorm),
        Product.of(attention.q_proj),
        Product.of(attention.k_proj),
        Product.of(attention.v_proj),
        Product.of(attention.o_proj),
        up=Product.of(mlp.up_proj),
        down=Product.of(mlp.down_proj),
        gate=Product.of(mlp.gate_proj),
        query_norm=_norm_weights(attention.q_norm) if hasattr(attention, "q_norm") else None,
        key_norm=_norm_weights(attention.k_norm) if hasattr(attention, "k_norm") else None,
        window=window,
    )


def _norm_weights(norm: Any) -> Norm:
    weight, eps = _norm(norm)
    return Norm(weight.detach(), None, eps)


def _window(config: Any, number: int) -> int | None:
    """How many tokens a layer's queries look at, themselves included; None is all."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and kinds[number] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _norm(norm: Any) -> tuple[Tensor, float]:
    return norm.weight, norm.variance_epsilon


def _rms(norm: Any) -> Map:
    weight, eps = _norm(norm)
    shape = list(weight.shape)
    return lambda hidden: torch.rms_norm(hidden, shape, weight, eps)
