"""Matrix products for generation: which layout of a weight a token's product reads fastest, and what is fused into it.

At batch 1 a product is bound by reading its weight, and how fast it is read depends on the layout and on the library. A
layout makes maps of a model's linear layers; all of them give the same numbers up to rounding.
"""

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn import gelu

Map = Callable[[Tensor], Tensor]
AddingMap = Callable[[Tensor, Tensor], Tensor]
RMSNorm = tuple[Tensor, float]  # its gain g and ε

_SIZES = (4, 8, 16, 32)  # numbers of rows that oneDNN is asked for, near enough to fill up to


class Layout(ABC):
    """How weights stand in memory. The maps take (rows, d_in) and give (rows, d_out)."""

    most_rows: int | None = None  # more rows than this are better read in pieces

    def room_for(self, rows: int) -> int:
        """Rows that tensors best have which every step of this many writes anew; those beyond hold what nobody reads."""
        return rows

    @classmethod
    def num_copied_bytes(cls, model: nn.Module) -> int:
        """Bytes of the copies that the maps of a model's linear layers hold, beside its own weights."""
        return 0

    @abstractmethod
    def linear(self, layer: nn.Linear) -> Map:
        """x → W · x + b."""

    @abstractmethod
    def gelu(self, layer: nn.Linear) -> Map:
        """x → GELU(W · x + b), the exact GELU (Hendrycks and Gimpel 2016)."""

    @abstractmethod
    def adding(self, layer: nn.Linear) -> AddingMap:
        """x, residual → residual + W · x + b; the residual may be overwritten."""

    @abstractmethod
    def normed(self, norm: RMSNorm, layers: Sequence[nn.Linear]) -> Map:
        """x → W · (x / √(mean(x²) + ε) ⊙ g) + b of several layers that read the same, side by side (Zhang, Sennrich 2019)."""


class Plain(Layout):
    """The model's own weights, (d_out, d_in), without a copy."""

    def linear(self, layer: nn.Linear) -> Map:
        """One call of torch's linear layer."""
        weight, bias = layer.weight, layer.bias
        return lambda hidden: F.linear(hidden, weight, bias)

    def gelu(self, layer: nn.Linear) -> Map:
        """The product, then the activation."""
        linear = self.linear(layer)
        return lambda hidden: gelu(linear(hidden))

    def adding(self, layer: nn.Linear) -> AddingMap:
        """The product, then the sum."""
        linear = self.linear(layer)
        return lambda hidden, residual: linear(hidden).add_(residual)

    def normed(self, norm: RMSNorm, layers: Sequence[nn.Linear]) -> Map:
        """The norm, then one product a layer: one product of all would need a copy of the weights."""
        (weight, eps), linears = norm, [self.linear(layer) for layer in layers]
        shape = list(weight.shape)
        if len(linears) == 1:
            return lambda hidden: linears[0](torch.rms_norm(hidden, shape, weight, eps))

        def run(hidden: Tensor) -> Tensor:
            read = torch.rms_norm(hidden, shape, weight, eps)
            return torch.cat([linear(read) for linear in linears], dim=-1)

        return run


class Packed(Layout):
    """Weights in oneDNN's own blocks, the activation computed before a product's result leaves the cache.

    These are the operators that torch.compile puts in place of linear layers when it freezes a model on a CPU
    (torch/_inductor/fx_passes/mkldnn_fusion.py). There is no public call for them, so `can_pack` looks whether they exist.

    For every number of rows that it meets oneDNN makes a program and keeps it, half a megabyte each. So few rows, those of a
    step, are filled up to one of a few numbers. More of them, those of a prompt, are not bound by reading the weights: the
    product of the model's own takes them, which makes no programs, and is faster than filling up.
    """

    most_rows = 256  # bounds what a prompt's pass takes in memory
    _ROWS = 16  # the number of rows that blocks are laid out for; they serve any other number too

    def __init__(self) -> None:
        self._many = Plain()

    def room_for(self, rows: int) -> int:
        """What they would be filled up to; a single row goes through a kernel that reads no faster than MKL, four do."""
        return _filled(rows)

    @classmethod
    def num_copied_bytes(cls, model: nn.Module) -> int:
        """A copy of every matrix: a block of weights takes what the weights take."""
        return sum(layer.weight.nbytes for layer in model.modules() if isinstance(layer, nn.Linear))

    def linear(self, layer: nn.Linear) -> Map:
        """One product, its bias included."""
        return _product(self._pack(layer), layer.bias, self._many.linear(layer))

    def gelu(self, layer: nn.Linear) -> Map:
        """One product, its activation included."""
        return _product(self._pack(layer), layer.bias, self._many.gelu(layer), "gelu", "none")

    def adding(self, layer: nn.Linear) -> AddingMap:
        """The product, then the sum: oneDNN's fused sum costs more than the addition of a few rows."""
        linear = self.linear(layer)
        return lambda hidden, residual: linear(hidden).add_(residual)

    def normed(self, norm: RMSNorm, layers: Sequence[nn.Linear]) -> Map:
        """One product of them all, g and √d in its weights.

        What is left of the norm is x / √(|x|² + d · ε), three small calls where torch's norm makes seven.
        """
        gain, eps = norm
        width = len(gain)
        weight = self._packed(torch.cat([layer.weight.detach() for layer in layers]) * (gain.detach() * width**0.5))
        many = self._many.normed(norm, layers)
        product = _product(weight, _side_by_side_biases(layers), many)
        least = gain.new_full((), (width * eps) ** 0.5)

        def run(hidden: Tensor) -> Tensor:
            if len(hidden) > _SIZES[-1]:
                return many(hidden)
            length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
            return product(hidden / torch.hypot(length, least))

        return run

    def _pack(self, layer: nn.Linear) -> Tensor:
        return self._packed(layer.weight.detach())

    def _packed(self, weight: Tensor) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, self._ROWS)
        return packed


def _product(weight: Tensor, bias: Tensor | None, many: Map, activation: str = "none", algorithm: str = "") -> Map:
    """oneDNN's product with a packed weight. many: the same of more rows than it is asked for."""
    compute = torch.ops.mkldnn._linear_pointwise.default

    def run(hidden: Tensor) -> Tensor:
        rows = len(hidden)
        if rows > _SIZES[-1]:
            return many(hidden)
        lacking = _filled(rows) - rows
        if not lacking:
            return compute(hidden, weight, bias, activation, [], algorithm)  # type: ignore[no-any-return]
        filled = F.pad(hidden, (0, 0, 0, lacking))
        return compute(filled, weight, bias, activation, [], algorithm)[:rows]  # type: ignore[no-any-return]

    return run


def _filled(rows: int) -> int:
    return next((size for size in _SIZES if size >= rows), rows)


def _side_by_side_biases(layers: Sequence[nn.Linear]) -> Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    zeros = [layer.weight.new_zeros(layer.out_features) for layer in layers]
    return torch.cat([z if layer.bias is None else layer.bias.detach() for layer, z in zip(layers, zeros, strict=True)])


LAYOUTS: dict[str, type[Layout]] = {"plain": Plain, "packed": Packed}


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN can take this weight: float32, on an x86 CPU, with a PyTorch that has the operators."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    there = all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    return x86 and there and weight.device.type == "cpu" and weight.dtype == torch.float32


def best_layout(weight: Tensor) -> str:
    """The layout that generates fastest with weights like this one (measured by `iai bench generate`)."""
    return "packed" if can_pack(weight) else "plain"
