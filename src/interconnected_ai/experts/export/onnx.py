"""An expert as an ONNX graph for ONNX Runtime, with the KV cache as inputs and outputs.

The graph is written node by node: attention with a cache is one operator of ONNX Runtime (GroupQueryAttention), where a
traced graph would need a dozen, and rows of different lengths need no padding mask.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.quantization import Bits, QuantizedMatrix, pack_int4, quantize_matrix
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_folder, write_json
from interconnected_ai.text import Tokenizer

KIND = "expert exported to ONNX"
PRECISIONS = ("float32", "int8", "int4")
_OURS = "com.microsoft"  # the domain of ONNX Runtime's own operators
_OPSET = 21
_EPSILON = 1e-5
_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}
_SMALLEST_BLOCK, _LARGEST_BLOCK = 16, 128
_INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level: activations are rounded to 8 bits, block by block
_HEAD_STEP = 8  # GroupQueryAttention takes heads whose width is a multiple of this

Array = npt.NDArray[Any]


def write_onnx(
    model: ExpertNetwork,
    tokenizer: Tokenizer | None,
    out: str | Path,
    *,
    precision: str = "float32",
    quantized: Mapping[str, QuantizedMatrix] | None = None,
) -> None:
    """Write a folder with model.onnx, its weights in model.onnx.data, and the shape in config.json.

    Inputs: input_ids and positions (batch, seq) int64; last, (batch) int32, index of each row's last token in the whole row;
    total, (1) int32, tokens of the longest row; past.N.key and past.N.value (batch, n_heads, past, head width).
    Outputs: logits (batch, vocab_size) after each row's last token; present.N.key, present.N.value.
    Prompts of different lengths are padded on the right. quantized: matrices that are quantised already.
    Raises `MissingExtraError` without the package onnx, `EngineError` for a shape that ONNX Runtime's operators do not take.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"onnx knows no precision {precision!r}; it has {', '.join(PRECISIONS)}")
    if model.config.head_width % _HEAD_STEP:
        raise EngineError(
            f"ONNX Runtime's attention takes heads whose width is a multiple of {_HEAD_STEP}, here it is "
            f"{model.config.head_width} (d_model / n_heads); use the engine torch or ctranslate2"
        )
    onnx = require("onnx", "onnx", "export to ONNX")
    floats = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    graph = _Graph(onnx, precision)
    _describe(model.config, _Weights(floats, quantized or {}), graph)
    with atomic_folder(out, kind=KIND) as scratch:
        onnx.save_model(
            graph.finished(), str(scratch / "model.onnx"),
            save_as_external_data=True, all_tensors_to_one_file=True, location="model.onnx.data", size_threshold=1024,
        )  # fmt: skip
        write_json(scratch / "config.json", {"model": model.get_model_config(), "precision": precision})
        if tokenizer is not None:
            tokenizer.save(scratch / "tokenizer.json")


@dataclass
class _Graph:
    """Nodes and weights, as they are added."""

    onnx: Any
    precision: str
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def add(
        self, operator: str, inputs: list[str], *, domain: str = "", outputs: int | list[str] = 1, **settings: Any
    ) -> str:
        """A node; returns the name of its first output."""
        name = f"{operator}_{len(self.nodes)}"
        names = outputs if isinstance(outputs, list) else [f"{name}.{number}" for number in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, names, name=name, domain=domain, **settings))
        return names[0]

    def weight(self, name: str, array: Array) -> str:
        """A constant; the same name is kept once."""
        if all(name != kept.name for kept in self.weights):
            self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def has(self, name: str, kind: str, shape: list[str | int], *, output: bool = False) -> str:
        """An input or output of the whole graph. kind: "FLOAT", "INT32", "INT64"."""
        element = getattr(self.onnx.TensorProto, kind)
        (self.outputs if output else self.inputs).append(self.onnx.helper.make_tensor_value_info(name, element, shape))
        return name

    def finished(self) -> Any:
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, "expert", self.inputs, self.outputs, initializer=self.weights)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_OURS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="interconnected-ai")


@dataclass
class _Weights:
    """The model's weights as arrays, and its matrices quantised: those given, or made when they are asked for."""

    floats: dict[str, Array]
    quantized: Mapping[str, QuantizedMatrix]

    def matrix(self, name: str, bits: Bits) -> QuantizedMatrix:
        """A matrix in so many bits."""
        given = self.quantized.get(name)
        if given is not None and given.bits == bits:
            return given
        return quantize_matrix(torch.from_numpy(self.floats[name]), bits)


def _describe(shape: ExpertConfig, weights: _Weights, graph: _Graph) -> None:
    """The model's forward pass, as nodes."""
    ids, positions = (graph.has(name, "INT64", ["batch", "seq"]) for name in ("input_ids", "positions"))
    lengths = [graph.has("last", "INT32", ["batch"]), graph.has("total", "INT32", [1])]
    logits = graph.has("logits", "FLOAT", ["batch", shape.vocab_size], output=True)
    placed = graph.add("Gather", [graph.weight("positions.pe", weights.floats["positions.pe"]), positions])
    hidden = graph.add("Add", [_embed(graph, weights, ids, math.sqrt(shape.d_model)), placed])
    added = ""  # what is still to be added to the residual: the next norm's node does it on the way
    for number in range(shape.n_layers):
        hidden, added = _block(graph, weights, shape, number, hidden, added, lengths)
    hidden = _add_norm(graph, weights, "norm", hidden, added)[0]
    ends = _last_of_each_row(graph, hidden, positions, lengths[0])
    graph.add("Identity", [_head(graph, weights, ends, tied=shape.tie_weights)], outputs=[logits])


def _block(
    graph: _Graph, weights: _Weights, shape: ExpertConfig, number: int, hidden: str, added: str, lengths: list[str]
) -> tuple[str, str]:
    """One transformer block: the residual, and what is to be added to it (with post-norm nothing)."""
    name = f"blocks.{number}"
    if shape.norm == "pre":
        normed, hidden = _add_norm(graph, weights, f"{name}.norm_1", hidden, added)
        mixed = _attention(graph, weights, shape, number, normed, lengths)
        normed, hidden = _add_norm(graph, weights, f"{name}.norm_2", hidden, mixed)
        return hidden, _feed_forward(graph, weights, name, normed)
    mixed = _attention(graph, weights, shape, number, hidden, lengths)
    hidden = _add_norm(graph, weights, f"{name}.norm_1", hidden, mixed)[0]
    return _add_norm(graph, weights, f"{name}.norm_2", hidden, _feed_forward(graph, weights, name, hidden))[0], ""


def _attention(
    graph: _Graph, weights: _Weights, shape: ExpertConfig, number: int, hidden: str, lengths: list[str]
) -> str:
    name, parts = f"blocks.{number}.attention", ("key", "value")
    before: list[str | int] = ["batch", shape.n_heads, "past", shape.head_width]
    after: list[str | int] = ["batch", shape.n_heads, "present", shape.head_width]
    past = [graph.has(f"past.{number}.{part}", "FLOAT", before) for part in parts]
    present = [graph.has(f"present.{number}.{part}", "FLOAT", after, output=True) for part in parts]
    mixed = graph.add(
        "GroupQueryAttention", [_linear(graph, weights, f"{name}.qkv", hidden), "", "", *past, *lengths],
        domain=_OURS, outputs=[f"{name}.mixed", *present], num_heads=shape.n_heads, kv_num_heads=shape.n_heads,
    )  # fmt: skip
    return _linear(graph, weights, f"{name}.out", mixed)


def _feed_forward(graph: _Graph, weights: _Weights, name: str, hidden: str) -> str:
    inner = _linear(graph, weights, f"{name}.feed_forward.w_in", hidden, biased=False)
    bias = graph.weight(f"{name}.feed_forward.w_in.bias", weights.floats[f"{name}.feed_forward.w_in.bias"])
    inner = graph.add("BiasGelu", [inner, bias], domain=_OURS)  # the exact one, by erf
    return _linear(graph, weights, f"{name}.feed_forward.w_out", inner)


def _embed(graph: _Graph, weights: _Weights, ids: str, factor: float) -> str:
    """Rows of the embedding times √d_model; a quantised table keeps a byte a weight and a scale a row."""
    if graph.precision == "float32":
        rows = graph.add("Gather", [graph.weight("embedding", weights.floats["embedding.weight"]), ids])
        return graph.add("Mul", [rows, graph.weight("root", np.array(factor, np.float32))])
    table = weights.matrix("embedding.weight", 8)
    rows = graph.add("Gather", [graph.weight("embedding", table.values.numpy()), ids])
    scales = graph.add("Gather", [graph.weight("embedding.scales", table.scales.numpy() * np.float32(factor)), ids])
    return graph.add("Mul", [graph.add("Cast", [rows], to=graph.onnx.TensorProto.FLOAT), scales])


def _linear(graph: _Graph, weights: _Weights, name: str, hidden: str, *, biased: bool = True) -> str:
    """hidden · weightᵀ + bias."""
    if graph.precision == "float32":
        product = graph.add("MatMul", [hidden, graph.weight(f"{name}.weight", weights.floats[f"{name}.weight"].T)])
    else:
        product = _packed_product(graph, weights.matrix(f"{name}.weight", _BITS[graph.precision]), name, hidden)
    return (
        graph.add("Add", [product, graph.weight(f"{name}.bias", weights.floats[f"{name}.bias"])]) if biased else product
    )


def _head(graph: _Graph, weights: _Weights, hidden: str, *, tied: bool) -> str:
    """(batch, d_model) → logits. Tied weights stand in the file once."""
    name = "embedding" if tied else "head"
    if graph.precision == "float32":
        return graph.add("Gemm", [hidden, graph.weight(name, weights.floats[f"{name}.weight"])], transB=1)
    return _packed_product(graph, weights.matrix(f"{name}.weight", _BITS[graph.precision]), "head", hidden)


def _packed_product(graph: _Graph, matrix: QuantizedMatrix, name: str, hidden: str) -> str:
    """hidden · matrixᵀ by the operator that multiplies 8-bit activations with 8- or 4-bit blocks of weights."""
    num_rows, width = matrix.values.shape
    block = min(matrix.group & -matrix.group, _LARGEST_BLOCK)  # the largest power of two that divides the group
    if block < _SMALLEST_BLOCK:
        raise EngineError(
            f"onnx multiplies quantised weights in blocks of {_SMALLEST_BLOCK} or more, {matrix.group} weights share a scale "
            f"here; d_model and d_ff have to be multiples of {_SMALLEST_BLOCK}, or use precision float32"
        )
    scales = matrix.scales.float().repeat_interleave(matrix.group // block, dim=1).numpy()
    packed = pack_int4(matrix.values) if matrix.bits == 4 else (matrix.values.int() + 128).to(torch.uint8)
    blocks = packed.reshape(num_rows, width // block, block * matrix.bits // 8).numpy()
    inputs = [hidden, graph.weight(f"{name}.blocks", blocks), graph.weight(f"{name}.scales", scales)]
    return graph.add(
        "MatMulNBits", inputs, domain=_OURS,
        K=width, N=num_rows, bits=matrix.bits, block_size=block, accuracy_level=_INT8_ACTIVATIONS,
    )  # fmt: skip


def _norm(graph: _Graph, weights: _Weights, name: str, hidden: str) -> str:
    return graph.add("LayerNormalization", [hidden, *_norm_weights(graph, weights, name)], axis=-1, epsilon=_EPSILON)


def _add_norm(graph: _Graph, weights: _Weights, name: str, hidden: str, added: str) -> tuple[str, str]:
    """(norm(hidden + added), hidden + added) in one node. added "" is nothing."""
    if not added:
        return _norm(graph, weights, name, hidden), hidden
    normed, total = f"{name}.normed", f"{name}.sum"
    inputs = [hidden, added, *_norm_weights(graph, weights, name)]
    graph.add("SkipLayerNormalization", inputs, domain=_OURS, outputs=[normed, "", "", total], epsilon=_EPSILON)
    return normed, total


def _norm_weights(graph: _Graph, weights: _Weights, name: str) -> list[str]:
    return [graph.weight(f"{name}.{part}", weights.floats[f"{name}.{part}"]) for part in ("weight", "bias")]


def _last_of_each_row(graph: _Graph, hidden: str, positions: str, last: str) -> str:
    """(batch, seq, d_model) → (batch, d_model): the last token of each row; what follows it is padding."""
    first = graph.add("Gather", [positions, graph.weight("zero", np.array([0], np.int64))], axis=1)  # (batch, 1)
    index = graph.add("Cast", [last], to=graph.onnx.TensorProto.INT64)
    index = graph.add("Unsqueeze", [index, graph.weight("one", np.array([1], np.int64))])
    return graph.add("GatherND", [hidden, graph.add("Sub", [index, first])], batch_dims=1)
