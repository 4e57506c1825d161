"""Numbers in four bits: NF4 (Dettmers et al. 2023, QLoRA).

Blocks of 64 numbers are kept as their largest magnitude, in float32, and 16 levels between -1 and 1 at equal quantiles of a
normal distribution: 4.5 bits a number.
"""

import torch
from torch import Tensor

BLOCK = 64
_TAIL = 0.9677083  # QLoRA's offset: where the outermost quantiles stand, since those of 0 and 1 are infinite


def nf4_levels() -> Tensor:
    """The 16 numbers a block may hold, as shares of its largest magnitude."""
    above = torch.special.ndtri(torch.linspace(_TAIL, 0.5, 9, dtype=torch.float64)[:-1])
    below = -torch.special.ndtri(torch.linspace(_TAIL, 0.5, 8, dtype=torch.float64)[:-1])
    values = torch.cat([below, torch.zeros(1, dtype=torch.float64), above]).sort().values
    return (values / values.abs().max()).float()


def pack_nf4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, two a byte, and the largest magnitude of every block of 64; the last block may be shorter."""
    flat = weight.detach().float().reshape(-1)
    short = -flat.numel() % BLOCK
    blocks = torch.cat([flat, flat.new_zeros(short)]).view(-1, BLOCK)
    largest = blocks.abs().amax(dim=1)
    scaled = blocks / largest.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1)
    known = nf4_levels().to(flat.device)
    codes = torch.bucketize(scaled, (known[1:] + known[:-1]) / 2).to(torch.uint8).view(-1)
    return codes[::2] * 16 + codes[1::2], largest


def unpack_nf4(codes: Tensor, largest: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The numbers that were packed, up to rounding."""
    both = torch.stack([codes >> 4, codes & 15], dim=-1).view(-1, BLOCK)
    numbers = nf4_levels().to(codes.device)[both.int()] * largest.unsqueeze(1)
    return numbers.view(-1)[: shape.numel()].view(shape).to(dtype)
