"""Weights in 8 or 4 bits: a row of a matrix, or a group of it, shares one scale. What it costs is measured, not promised.

Matrices are quantised, and the token embedding; biases, norms and the table of positions stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.names import chosen

Bits = Literal[8, 4]
QUANTIZED = ("int8", "int4")
GROUP = 32  # weights that share a scale in 4 bits
_SCALES = ".scales"
_BIT_RANGE: dict[int, tuple[int, int]] = {8: (-127, 127), 4: (-8, 7)}
_NUM_AT_ONCE = 1 << 18  # weights whose scales are searched together: what is tried stays in the processor's cache
# Clipping the largest weights a little makes the others finer. A scale is tried at these shares of the full range.
_CLIPS = (0.75, 0.8, 0.84, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.06)


@dataclass(frozen=True)
class QuantizedMatrix:
    """weight ≈ values · scale, scale by scale over groups of a row.

    values: (out, in) int8, whatever the bits. scales: (out, groups), float16 in 4 bits, else float32; a group is
    in / groups weights.
    """

    values: Tensor
    scales: Tensor
    bits: Bits

    @property
    def group(self) -> int:
        """Weights that share a scale."""
        return self.values.shape[1] // self.scales.shape[1]

    @property
    def value_bytes(self) -> int:
        """Bytes of the packed values."""
        return self.values.numel() * self.bits // 8

    @property
    def scale_bytes(self) -> int:
        """Bytes of the scales."""
        return self.scales.numel() * self.scales.element_size()

    def dequantized(self) -> Tensor:
        """(out, in) float32."""
        grouped = self.values.float().unflatten(1, (self.scales.shape[1], self.group))
        whole: Tensor = (grouped * self.scales.float()[:, :, None]).flatten(1)
        return whole


def quantize_matrix(weight: Tensor, bits: int, group: int | None = None) -> QuantizedMatrix:
    """(out, in) float → 8 bits with a scale a row, or 4 bits with a scale for every 32 weights (group changes that).

    8 bits: scale = max |w| / 127. 4 bits: of the scales around max |w| / 8, of either sign, the one with the least
    squared error. A row that is not a multiple of the group is one group. Raises `ConfigError` for other bits.
    """
    if type(bits) is not int or bits not in _BIT_RANGE:
        raise ConfigError(f"bits={bits!r}: weights are kept in 8 or 4 bits")
    if group is not None and (type(group) is not int or group < 1):
        raise ConfigError(f"group={group!r}: needed is how many weights share a scale, 1 at least")
    width = weight.shape[1]
    size = group or (width if bits == 8 else GROUP)
    size = size if width % size == 0 else width
    groups = weight.detach().float().unflatten(1, (width // size, size))  # (out, groups, size)
    scales = _row_scales(groups) if bits == 8 else _searched_scales(groups)
    low, high = _BIT_RANGE[bits]
    values = (groups / scales.float()[:, :, None]).round_().clamp_(low, high).to(torch.int8)
    return QuantizedMatrix(values.flatten(1), scales, 8 if bits == 8 else 4)


def pack_int4(values: Tensor) -> Tensor:
    """(out, in) int8 in [-8, 7], in even → (out, in / 2) uint8: value + 8 in four bits, the even column in the low ones."""
    shifted = (values + 8).to(torch.uint8)
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def unpack_int4(packed: Tensor) -> Tensor:
    """The (out, in) int8 values that `pack_int4` packed."""
    return torch.stack([packed & 0xF, packed >> 4], dim=2).flatten(1).to(torch.int8) - 8


def quantize_model(model: nn.Module, precision: str) -> dict[str, QuantizedMatrix]:
    """Every matrix of an expert, by the name of its weight; a tied head once, as the embedding.

    precision "int8": 8 bits, a scale a row. "int4": 4 bits, a scale for every 32 weights; the embedding and the head, which
    every token passes through alone, in 8 bits. Raises `UnknownNameError` for another precision.
    """
    chosen("precision", precision, QUANTIZED)
    kinds = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear | nn.Embedding)}
    found: dict[str, QuantizedMatrix] = {}
    met: set[int] = set()
    for name, part in kinds.items():
        if id(part.weight) not in met:
            met.add(id(part.weight))
            found[f"{name}.weight"] = quantize_matrix(part.weight, _bits_of(name, part.weight, precision))
    return found


def packed_tensors(matrices: Mapping[str, QuantizedMatrix]) -> dict[str, Tensor]:
    """What stands in a file: NAME, int8 or (two weights a byte) uint8, and NAME.scales."""
    packed = {name: pack_int4(m.values) if m.bits == 4 else m.values for name, m in matrices.items()}
    return packed | {name + _SCALES: matrix.scales for name, matrix in matrices.items()}


def unpacked_matrices(tensors: Mapping[str, Tensor]) -> dict[str, QuantizedMatrix]:
    """The matrices among a file's tensors that are packed."""
    names = [name for name in tensors if name + _SCALES in tensors]
    return {name: _unpacked(tensors[name], tensors[name + _SCALES]) for name in names}


def dequantized_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with every packed matrix in float32."""
    matrices = unpacked_matrices(tensors)
    kept = {name: tensor for name, tensor in tensors.items() if name.removesuffix(_SCALES) not in matrices}
    return kept | {name: matrix.dequantized() for name, matrix in matrices.items()}


def _bits_of(name: str, weight: Tensor, precision: str) -> Bits:
    alone = name in ("embedding", "head")
    return 8 if precision == "int8" or alone or weight.shape[1] % 2 else 4  # an odd row does not fill its last byte


def _unpacked(values: Tensor, scales: Tensor) -> QuantizedMatrix:
    if values.dtype == torch.uint8:
        return QuantizedMatrix(unpack_int4(values), scales, 4)
    return QuantizedMatrix(values, scales, 8)


def _row_scales(groups: Tensor) -> Tensor:
    return (groups.abs().amax(dim=2) / 127).clamp(min=torch.finfo(torch.float32).tiny)


def _searched_scales(groups: Tensor) -> Tensor:
    """(out, groups) float16: the scale of least squared error, searched a few rows at a time."""
    num_rows = max(1, _NUM_AT_ONCE // groups[0].numel())
    return torch.cat([_best_scales(some) for some in groups.split(num_rows)])


def _best_scales(groups: Tensor) -> Tensor:
    """The extreme weight of a group gets -8, the longer end of the range, or with the other sign 7 and a little more."""
    extreme = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))[:, :, 0] / -8
    smallest = torch.finfo(torch.float16).smallest_normal
    best, least = torch.full_like(extreme, smallest).half(), torch.full_like(extreme, torch.inf)
    for share in (sign * clip for sign in (1.0, -1.0) for clip in _CLIPS):
        scales = (extreme * share).half()
        scales = torch.where(scales.abs() < smallest, torch.full_like(scales, smallest), scales)
        wide = scales.float()[:, :, None]
        off = (groups / wide).round_().clamp_(-8, 7).mul_(wide).sub_(groups)
        error = (off * off).sum(dim=2)
        best = torch.where(error < least, scales, best)
        least = torch.minimum(error, least)
    return best
