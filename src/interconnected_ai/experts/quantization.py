"""Weights in 8 or 4 bits: a row of a matrix, or a group of it, shares one scale. What it costs is measured, not promised.

Matrices are quantised, and the token embedding; biases, norms and the table of positions stay as they are.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError

Bits = Literal[8, 4]
GROUP = 32  # weights that share a scale in 4 bits
_BIT_RANGE = {8: (-127, 127), 4: (-8, 7)}
# Clipping the largest weights a little makes the others finer. A scale is tried at these shares of the full range.
_CLIPS = torch.linspace(0.7, 1.05, 36)


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
        return (grouped * self.scales.float()[:, :, None]).flatten(1)


def quantize_matrix(weight: Tensor, bits: Bits, group: int | None = None) -> QuantizedMatrix:
    """(out, in) float → 8 bits with a scale a row, or 4 bits with a scale for every 32 weights (group changes that).

    8 bits: scale = max |w| / 127. 4 bits: of the scales around max |w| / 8, of either sign, the one with the least
    squared error. A row that is not a multiple of the group is one group. Raises `ConfigError` for other bits.
    """
    if bits not in _BIT_RANGE:
        raise ConfigError(f"bits={bits}: weights are kept in 8 or 4 bits")
    width = weight.shape[1]
    size = group or (width if bits == 8 else GROUP)
    size = size if width % size == 0 else width
    groups = weight.detach().float().unflatten(1, (width // size, size))  # (out, groups, size)
    scales = _row_scales(groups) if bits == 8 else _searched_scales(groups)
    low, high = _BIT_RANGE[bits]
    values = (groups / scales.float()[:, :, None]).round_().clamp_(low, high).to(torch.int8)
    return QuantizedMatrix(values.flatten(1), scales, bits)


def pack_int4(values: Tensor) -> Tensor:
    """(out, in) int8 in [-8, 7] → (out, ⌈in / 2⌉) uint8: value + 8 in four bits, the even column in the low ones."""
    shifted = (values + 8).to(torch.uint8)
    if shifted.shape[1] % 2:
        shifted = torch.nn.functional.pad(shifted, (0, 1), value=8)
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def unpack_int4(packed: Tensor, width: int) -> Tensor:
    """The (out, width) int8 values that `pack_int4` packed."""
    pairs = torch.stack([packed & 0xF, packed >> 4], dim=2).flatten(1)[:, :width]
    return pairs.to(torch.int8) - 8


def _row_scales(groups: Tensor) -> Tensor:
    return (groups.abs().amax(dim=2) / 127).clamp(min=torch.finfo(torch.float32).tiny)


def _searched_scales(groups: Tensor) -> Tensor:
    """(out, groups) float16: the scale of least squared error. The extreme weight gets −8, the longer end of the range."""
    extreme = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))[:, :, 0] / -8
    smallest = torch.finfo(torch.float16).smallest_normal
    best, least = torch.empty(0), torch.full_like(extreme, torch.inf)
    for sign in (1.0, -1.0):  # the other sign: where the ends of the range are nearly even
        for clip in _CLIPS:
            scales = (extreme * sign * clip).half()
            scales = torch.where(scales.abs() < smallest, torch.full_like(scales, smallest), scales)
            wide = scales.float()[:, :, None]
            error = ((groups / wide).round_().clamp_(-8, 7) * wide - groups).square_().sum(dim=2)
            best = torch.where(error < least, scales, best) if best.numel() else scales
            least = torch.minimum(error, least)
    return best
