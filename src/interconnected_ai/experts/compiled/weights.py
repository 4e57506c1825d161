"""What a token meets on its way through a transformer, as records of tensors: what the compiled step is told of a model."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

TYPES = {"F32": 0, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8}  # what the step reads, by ggml's names


@dataclass(frozen=True)
class Product:
    """x → weight · x + bias. weight: (d_out, d_in), or (d_out, bytes of a row) of blocks as a GGUF file has them."""

    weight: Tensor
    bias: Tensor | None = None
    type_name: str = "F32"

    @classmethod
    def of(cls, layer: nn.Linear) -> "Product":
        """A layer's weights, held also when the layer is given others."""
        return cls(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())


@dataclass(frozen=True)
class Norm:
    """Of (width,): RMSNorm or LayerNorm, as the model says."""

    gain: Tensor
    bias: Tensor | None
    eps: float


@dataclass(frozen=True)
class BlockWeights:
    """One layer. gate: of SwiGLU; None is GELU. window: how many tokens queries look at, themselves included; None is all."""

    norm_1: Norm
    norm_2: Norm
    query: Product
    key: Product
    value: Product
    out: Product
    up: Product
    down: Product
    gate: Product | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    window: int | None = None


@dataclass(frozen=True)
class ModelWeights:
    """A whole model. table: the embedding, times table_scale. positions: (max_seq_len, d_model), added to it; None where
    queries and keys are turned instead. is_rms: its norms are RMSNorm. norms_first: they stand before what they serve.
    pairs_beside: numbers of queries and keys that are turned together are neighbours, as in GGUF files of the kind llama.
    """

    n_heads: int
    n_kv_heads: int
    head_width: int
    is_rms: bool
    norms_first: bool
    table: Tensor
    table_scale: float
    positions: Tensor | None
    blocks: tuple[BlockWeights, ...]
    norm: Norm
    head: Product
    pairs_beside: bool = False

    def tensors(self) -> Iterator[Tensor]:
        """All of them."""
        yield from _tensors_of(self)

    def why_not(self) -> str:
        """Why the compiled step cannot read these weights, "" if it can."""
        for tensor in self.tensors():
            if tensor.device.type != "cpu":
                return f"the weights are on {tensor.device.type}"
            if tensor.dtype not in (torch.float32, torch.uint8):
                return f"the weights are {str(tensor.dtype).removeprefix('torch.')}, not float32"
            if not tensor.is_contiguous():
                return "a weight lies in pieces"
        return ""


def _tensors_of(record: object) -> Iterator[Tensor]:
    if isinstance(record, Tensor):
        yield record
    elif isinstance(record, tuple):
        for part in record:
            yield from _tensors_of(part)
    elif isinstance(record, (Product, Norm, BlockWeights, ModelWeights)):
        for field in fields(record):
            yield from _tensors_of(getattr(record, field.name))
