"""Matrices of 4-bit blocks, as GGUF files hold them, and their products as PyTorch computes them without unpacking.

At one row a product takes as long as reading its weight does, and 32 numbers of 4 bits with a scale and an offset take a
sixth of what they take in float32. The kernel reads and gives bfloat16 and adds up in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

BLOCK = 32  # numbers that share a scale
BLOCK_TYPES = ("Q4_0", "Q4_1")  # ggml's, which the kernel computes with as they are
_MIDDLE = 8  # the kernel's numbers are (q - 8) · scale + offset, q from 0 to 15
_OUT_STEP = 16  # outputs that the kernel has at a time
_NUM_SURE = 128  # outputs that are computed once more in float32, where the best ones are looked for


@dataclass(frozen=True)
class Blocks:
    """A matrix in blocks: W[i, 32 b + j] = (quanta[i, 32 b + j] - 8) · scales[i, b] + offsets[i, b].

    quanta: (d_out, d_in) of 0 to 15, int32. scales, offsets: (d_out, d_in / 32), float32.
    """

    quanta: Tensor
    scales: Tensor
    offsets: Tensor

    @classmethod
    def of_gguf(cls, raw: np.ndarray, type_name: str, shape: tuple[int, int]) -> Self:
        """Of a tensor's bytes; type_name is one of `BLOCK_TYPES`."""
        d_out, d_in = shape
        has_least = type_name == "Q4_1"
        head = 4 if has_least else 2  # float16: a scale, and the least number of the block
        blocks = raw.reshape(d_out, d_in // BLOCK, head + BLOCK // 2)
        halves = np.ascontiguousarray(blocks[..., :head]).view(np.float16).astype(np.float32)
        pairs = blocks[..., head:]
        quanta = np.concatenate([pairs & 15, pairs >> 4], axis=-1).astype(np.int32).reshape(d_out, d_in)
        scales = torch.from_numpy(np.ascontiguousarray(halves[..., 0]))
        least = torch.from_numpy(np.ascontiguousarray(halves[..., 1])) if has_least else None
        offsets = torch.zeros_like(scales) if least is None else least + _MIDDLE * scales
        return cls(torch.from_numpy(quanta), scales, offsets)

    @classmethod
    def stacked(cls, parts: Sequence["Blocks"]) -> "Blocks":
        """Matrices that read the same, one below the other."""
        return cls(*(torch.cat(some) for some in zip(*((p.quanta, p.scales, p.offsets) for p in parts), strict=True)))

    def dense(self) -> Tensor:
        """(d_out, d_in), float32."""
        around = (self.quanta - _MIDDLE).unflatten(1, (-1, BLOCK))
        dense: Tensor = (around * self.scales[..., None] + self.offsets[..., None]).flatten(1)
        return dense


@dataclass(frozen=True)
class Int4Weight:
    """A matrix in the order that the kernel reads. Threads: any number at once."""

    packed: Tensor
    scales_and_offsets: Tensor  # (d_in / 32, d_out, 2), bfloat16

    @classmethod
    def of(cls, blocks: Blocks) -> Self:
        """d_out must be a multiple of 16, d_in of 32."""
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(blocks.quanta, 1)
        both = torch.stack([blocks.scales, blocks.offsets], dim=-1).transpose(0, 1)
        return cls(packed, both.to(torch.bfloat16).contiguous())

    @property
    def num_bytes(self) -> int:
        """Of quanta, scales and offsets."""
        return self.packed.nbytes + self.scales_and_offsets.nbytes

    def __call__(self, hidden: Tensor) -> Tensor:
        """(rows, d_in) → (rows, d_out), both bfloat16."""
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(hidden, self.packed, BLOCK, self.scales_and_offsets)
        return found


class Int4Head:
    """The head: logits of every token from 8 bits a weight, those of the best tokens once more from the weights themselves.

    bfloat16 keeps three digits of a logit, too few to tell the best tokens apart and enough for all others.
    table: (vocab_size, d_model), float32, which may be the embedding; it is kept.
    """

    def __init__(self, table: Tensor) -> None:
        self._table = table
        scales = table.unflatten(1, (-1, BLOCK)).abs().amax(dim=-1) / 127
        quanta = (table.unflatten(1, (-1, BLOCK)) / scales.clamp(min=1e-30)[..., None]).round().to(torch.int32)
        quanta = quanta.flatten(1)
        zeros = torch.zeros_like(scales)
        high = Blocks((quanta >> 4) + _MIDDLE, scales * 16, zeros)  # from -8 to 7, sixteen each
        low = Blocks(quanta & 15, scales, scales * _MIDDLE)  # what is left, from 0 to 15
        self._weight = Int4Weight.of(Blocks.stacked([high, low]))

    @property
    def num_bytes(self) -> int:
        """Beside the table."""
        return self._weight.num_bytes

    def __call__(self, hidden: Tensor) -> Tensor:
        """(rows, d_model), float32 → (rows, vocab_size), float32."""
        halves = self._weight(hidden.to(torch.bfloat16)).unflatten(1, (2, -1)).float()
        logits: Tensor = halves[:, 0].add_(halves[:, 1])
        best = logits.topk(min(_NUM_SURE, logits.shape[1]), dim=-1, sorted=False).indices
        rows = self._table.index_select(0, best.flatten()).unflatten(0, best.shape)
        logits.scatter_(1, best, torch.bmm(rows, hidden.unsqueeze(-1)).squeeze(-1))
        return logits


def why_not_multiplied(shape: Sequence[int]) -> str:
    """Why the kernel cannot take a matrix of this shape, (d_out, d_in), "" if it can."""
    d_out, d_in = shape
    if d_out % _OUT_STEP or d_in % BLOCK:
        return f"its shape {tuple(shape)} is no multiple of {_OUT_STEP} and {BLOCK}"
    return ""


def can_multiply() -> bool:
    """Whether this PyTorch on this CPU has the products, and a fast kernel for them."""
    there = all(
        hasattr(torch.ops.aten, name) for name in ("_convert_weight_to_int4pack_for_cpu", "_weight_int4pack_mm_for_cpu")
    )
    return there and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
