"""A GGUF file of 4-bit blocks as the maps of the lean decoder, its weights as small as in the file: `Int4Parts`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.errors import EngineError, IntegrityError
from interconnected_ai.experts.causal.int4_weights import (
    BLOCK_TYPES,
    Blocks,
    Int4Head,
    Int4Weight,
    can_multiply,
    why_not_multiplied,
)
from interconnected_ai.experts.causal.llama_parts import LlamaBlock, LlamaParts, LlamaShape
from interconnected_ai.experts.compiled import (
    NOT_COMPILED,
    BlockWeights,
    Compiled,
    ModelWeights,
    Norm,
    Product,
    StepLibrary,
)
from interconnected_ai.experts.export.gguf_llama import GgufShape
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.experts.gguf_network import LEAN, dequantizer, is_mixture, llama_config, require_plain_positions
from interconnected_ai.experts.torch_products import AddingMap, Map
from interconnected_ai.storage import GgufTensor

_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def why_not_int4(file: GgufModel) -> str:
    """Why this file cannot be computed with in its own 4 bits, "" if it can."""
    if file.architecture not in LEAN:
        return f"its architecture {file.architecture!r} is none of {', '.join(LEAN)}"
    if is_mixture(file.head):
        return "it is a mixture of experts"
    if not can_multiply():
        return "this PyTorch has no products of 4-bit weights for this CPU (AVX2 or AVX512 is needed)"
    if len(file.tensors) != len(file.head.tensors):
        return "it is split into several files"
    for tensor in file.tensors:
        _, _, part = tensor.name.removesuffix(".weight").rpartition(".")
        if part in _MATRICES and tensor.name.endswith(".weight"):
            if tensor.type_name not in BLOCK_TYPES:
                return f"{tensor.name} is {tensor.type_name}, not {' or '.join(BLOCK_TYPES)}"
            if reason := why_not_multiplied(tensor.shape):
                return f"{tensor.name}: {reason}"
        if tensor.name in ("token_embd.weight", "output.weight") and (reason := why_not_multiplied(tensor.shape)):
            return f"{tensor.name}: {reason}"
    return ""


@dataclass(frozen=True)
class Int4Parts:
    """What the lean decoder needs, and what it takes.

    num_bytes: of the weights in memory. shapes: (d_out, d_in) of every linear map, by its name in Hugging Face's model.
    """

    parts: LlamaParts
    num_bytes: int
    shapes: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, file: GgufModel, library: StepLibrary | None = None) -> Self:
        """Raises `EngineError` where `why_not_int4` names a reason, `IntegrityError` for a file that lacks tensors.

        library: what computes the steps of a single row, from the mapped file itself; None are the maps.
        """
        if reason := why_not_int4(file):
            raise EngineError(
                f"{file.path} cannot be computed with in 4 bits: {reason}; use the engine torch or llamacpp"
            )
        require_plain_positions(file.head)
        reader = _Reader(file)
        config = reader.config
        n_heads, n_kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        head_width = config.get("head_dim", config["hidden_size"] // n_heads)
        shape = LlamaShape(
            config["vocab_size"], config["hidden_size"], config["num_hidden_layers"], n_heads, n_kv_heads, head_width,
            config["intermediate_size"],
        )  # fmt: skip
        eps = config["rms_norm_eps"]
        blocks = tuple(_block(reader, number, eps) for number in range(shape.n_layers))
        table = reader.floats("model.embed_tokens.weight")
        tied = config["tie_word_embeddings"]
        out_table = table if tied else reader.floats("lm_head.weight")
        last, head = reader.floats("model.norm.weight"), Int4Head(out_table)
        read_head = _rms(last, eps)
        theta = config["rope_parameters"]["rope_theta"]
        frequencies = theta ** -(torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
        reader.shapes["lm_head"] = shape.vocab_size, shape.d_model
        num_bytes = reader.num_bytes + head.num_bytes
        compiled = NOT_COMPILED
        if library is not None:
            compiled = Compiled.of(_weights_of(reader, shape, table, out_table, last, eps), library)
        parts = LlamaParts(
            shape, table, blocks, lambda hidden: head(read_head(hidden)), read_head, frequencies, 1.0,
            room_for=lambda rows: rows, compiled=compiled,
        )  # fmt: skip
        return cls(parts, num_bytes, reader.shapes)


class _Reader:
    """A file's tensors by the names of Hugging Face, and a count of what was made of them."""

    def __init__(self, file: GgufModel) -> None:
        self._there = {tensor.name: tensor for tensor in file.tensors}
        self._shape = GgufShape.of_head(file.head)
        self._path = file.path
        self.architecture = file.architecture
        self._bytes = np.memmap(
            file.path, dtype=np.uint8, mode="c"
        )  # torch wants memory that may be written; nobody does
        self._dequantize = dequantizer(file.path)
        self.config: dict[str, Any] = llama_config(file.head, self._there)
        self.num_bytes = 0
        self.shapes: dict[str, tuple[int, int]] = {}

    def floats(self, name: str) -> Tensor:
        """A tensor in float32."""
        tensor, module = self._found(name)
        found = self._shape.returned(module, self._dequantize(tensor))
        self.num_bytes += found.nbytes
        return found

    def optional(self, name: str) -> Tensor | None:
        """The same, None where the file has none."""
        module, _, part = name.rpartition(".")
        return self.floats(name) if f"{self._shape.named(module)}.{part}" in self._there else None

    def product(self, modules: list[str]) -> Callable[[Tensor], Tensor]:
        """x → W · x of modules that read the same, side by side: (rows, d_in) → (rows, d_out), both bfloat16."""
        weight = Int4Weight.of(Blocks.stacked([self._blocks(module) for module in modules]))
        self.num_bytes += weight.num_bytes
        return weight

    def bias(self, modules: list[str]) -> Tensor | None:
        """Their biases side by side, in float32; None where there are none."""
        biases = [self.optional(f"{module}.bias") for module in modules]
        if all(bias is None for bias in biases):
            return None
        zeros = [torch.zeros(self.shapes[module][0]) for module in modules]
        return torch.cat([zero if one is None else one for one, zero in zip(biases, zeros, strict=True)])

    def stored(self, module: str) -> Product:
        """A module as the file has it, rows in the file's order: the mapped bytes themselves, and its bias."""
        tensor, named = self._found(f"{module}.weight")
        raw = self._bytes[tensor.offset : tensor.offset + tensor.num_bytes]
        bias = self._there.get(f"{named}.bias")
        return Product(
            torch.from_numpy(raw).view(tensor.shape[0], -1),
            None if bias is None else self._dequantize(bias),
            tensor.type_name,
        )

    def stored_head(self, module: str, table: Tensor) -> Product:
        """The head as the file has it where the step reads its type, else in float32."""
        tensor, _ = self._found(f"{module}.weight")
        return self.stored(module) if tensor.type_name in ("Q4_0", "Q4_1", "Q8_0") else Product(table)

    def _blocks(self, module: str) -> Blocks:
        tensor, named = self._found(f"{module}.weight")
        d_out, d_in = tensor.shape
        self.shapes[module] = d_out, d_in
        raw = self._bytes[tensor.offset : tensor.offset + tensor.num_bytes]
        found = Blocks.of_gguf(raw, tensor.type_name, (d_out, d_in))
        return Blocks(*(self._shape.returned(named, each) for each in (found.quanta, found.scales, found.offsets)))

    def _found(self, name: str) -> tuple[GgufTensor, str]:
        module, _, part = name.rpartition(".")
        named = self._shape.named(module)
        if (found := self._there.get(f"{named}.{part}")) is None:
            raise IntegrityError(f"{self._path}: the tensor {named}.{part} is missing; fetch the file again")
        return found, named


def _block(reader: _Reader, number: int, eps: float) -> LlamaBlock:
    layer = f"model.layers.{number}"
    attention = tuple(f"{layer}.self_attn.{part}_proj" for part in "qkv")
    out_name, down_name = f"{layer}.self_attn.o_proj", f"{layer}.mlp.down_proj"
    gate_up = f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj"
    before = reader.floats(f"{layer}.input_layernorm.weight")
    between = reader.floats(f"{layer}.post_attention_layernorm.weight")
    query, key = (reader.optional(f"{layer}.self_attn.{part}_norm.weight") for part in "qk")
    return LlamaBlock(
        _normed(before, eps, reader.product(list(attention)), reader.bias(list(attention))),
        _adding(reader.product([out_name]), reader.bias([out_name])),
        _normed(between, eps, reader.product(list(gate_up)), reader.bias(list(gate_up))),
        _adding(reader.product([down_name]), reader.bias([down_name])),
        _rms(before, eps),
        _rms(between, eps),
        None if query is None else _rms(query, eps),
        None if key is None else _rms(key, eps),
        None,
        attention,
        out_name,
        gate_up,
        down_name,
    )


def _weights_of(
    reader: _Reader, shape: LlamaShape, table: Tensor, out_table: Tensor, last: Tensor, eps: float
) -> ModelWeights:
    """The file's weights for the compiled step: its blocks where they are mapped, norms and embedding as floats."""

    def norm(name: str) -> Norm | None:
        gain = reader.optional(name)
        return None if gain is None else Norm(gain, None, eps)

    def block(number: int) -> BlockWeights:
        layer = f"model.layers.{number}"
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        return BlockWeights(
            Norm(reader.floats(f"{layer}.input_layernorm.weight"), None, eps),
            Norm(reader.floats(f"{layer}.post_attention_layernorm.weight"), None, eps),
            query=reader.stored(f"{attention}.q_proj"),
            key=reader.stored(f"{attention}.k_proj"),
            value=reader.stored(f"{attention}.v_proj"),
            out=reader.stored(f"{attention}.o_proj"),
            up=reader.stored(f"{mlp}.up_proj"),
            down=reader.stored(f"{mlp}.down_proj"),
            gate=reader.stored(f"{mlp}.gate_proj"),
            query_norm=norm(f"{attention}.q_norm.weight"),
            key_norm=norm(f"{attention}.k_norm.weight"),
        )

    head = "model.embed_tokens" if out_table is table else "lm_head"
    return ModelWeights(
        n_heads=shape.n_heads, n_kv_heads=shape.n_kv_heads, head_width=shape.head_width, is_rms=True, norms_first=True,
        table=table, table_scale=1.0, positions=None, blocks=tuple(map(block, range(shape.n_layers))),
        norm=Norm(last, None, eps), head=reader.stored_head(head, out_table), pairs_beside=reader.architecture == "llama",
    )  # fmt: skip


def _normed(gain: Tensor, eps: float, product: Map, bias: Tensor | None) -> Map:
    """W · norm(x) + b. x / √(|x|² / d + ε) ⊙ g is x ⊙ g√d / hypot(|x|, √(d · ε)), and a row is divided by its length last."""
    width = len(gain)
    scaled, least = gain * width**0.5, gain.new_full((), (width * eps) ** 0.5)

    def run(hidden: Tensor) -> Tensor:
        length = torch.hypot(torch.linalg.vector_norm(hidden, dim=-1, keepdim=True), least)
        found = product((hidden * scaled).to(torch.bfloat16)) / length  # float32 again
        return found if bias is None else found.add_(bias)

    return run


def _adding(product: Map, bias: Tensor | None) -> AddingMap:
    if bias is None:
        return lambda hidden, residual: residual.add_(product(hidden.to(torch.bfloat16)))
    return lambda hidden, residual: residual.add_(product(hidden.to(torch.bfloat16))).add_(bias)


def _rms(gain: Tensor, eps: float) -> Map:
    shape = list(gain.shape)
    return lambda hidden: torch.rms_norm(hidden, shape, gain, eps)
