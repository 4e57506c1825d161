"""FFN experts in four bits: stacks packed as NF4, unpacked one used expert at a time.

NF4 (Dettmers et al. 2023, QLoRA) keeps blocks of 64 numbers as their largest magnitude, in float32, and 16 levels between -1
and 1 at equal quantiles of a normal distribution: 4.5 bits a number. bitsandbytes packs linear layers alone and leaves fused
experts as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 64
_TAIL = 0.9677083  # QLoRA's offset: where the outermost quantiles stand, since those of 0 and 1 are infinite


def levels() -> Tensor:
    """The 16 numbers a block may hold, as shares of its largest magnitude."""
    above = torch.special.ndtri(torch.linspace(_TAIL, 0.5, 9, dtype=torch.float64)[:-1])
    below = -torch.special.ndtri(torch.linspace(_TAIL, 0.5, 8, dtype=torch.float64)[:-1])
    values = torch.cat([below, torch.zeros(1, dtype=torch.float64), above]).sort().values
    return (values / values.abs().max()).float()


def pack(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, two a byte, and the largest magnitude of every block of 64; the last block may be shorter."""
    flat = weight.detach().float().reshape(-1)
    short = -flat.numel() % BLOCK
    blocks = torch.cat([flat, flat.new_zeros(short)]).view(-1, BLOCK)
    largest = blocks.abs().amax(dim=1)
    scaled = blocks / largest.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1)
    known = levels().to(flat.device)
    codes = torch.bucketize(scaled, (known[1:] + known[:-1]) / 2).to(torch.uint8).view(-1)
    return codes[::2] * 16 + codes[1::2], largest


def unpack(codes: Tensor, largest: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The numbers that were packed, up to rounding."""
    both = torch.stack([codes >> 4, codes & 15], dim=-1).view(-1, BLOCK)
    numbers = levels().to(codes.device)[both.int()] * largest.unsqueeze(1)
    return numbers.view(-1)[: shape.numel()].view(shape).to(dtype)


class PackedStack(nn.Module):
    """One stacked tensor, each expert packed by itself."""

    codes: Tensor
    largest: Tensor

    def __init__(self, stack: Tensor) -> None:
        super().__init__()
        packed = [pack(expert) for expert in stack]
        self.register_buffer("codes", torch.stack([codes for codes, _ in packed]))
        self.register_buffer("largest", torch.stack([largest for _, largest in packed]))
        self.shape, self.dtype = stack.shape[1:], stack.dtype

    def __getitem__(self, expert: int) -> Tensor:
        """One expert's matrix."""
        return unpack(self.codes[expert], self.largest[expert], self.shape, self.dtype)

    def whole(self) -> Tensor:
        """All experts' matrices."""
        numbers = torch.empty(len(self.codes), *self.shape, dtype=self.dtype, device=self.codes.device)
        for expert, slot in enumerate(numbers):
            slot.copy_(self[expert])
        return numbers

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PackedStack":
        """Moves to devices; the scales stay float32 when the model is cast, and the unpacked numbers follow the cast."""
        largest, before = self.largest, self.largest.dtype
        super()._apply(fn, recurse)
        if self.largest.dtype != before:
            self.dtype, self.largest = self.largest.dtype, largest.to(self.largest.device)
        return self


class PackedExperts(nn.Module):
    """All stacks of one layer; biases stay as they are."""

    def __init__(self, stacks: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, stack in stacks.items():
            self.add_module(name, PackedStack(stack))

    def slices(self, expert: int, biases: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a slice of every stack would be."""
        matrices = {name: stack[expert] for name, stack in self.stacks().items()}
        return matrices | {name: bias[expert].detach() for name, bias in biases.items()}

    def stacks(self) -> dict[str, PackedStack]:
        """The packed stacks by name."""
        return {name: stack for name, stack in self.named_children() if isinstance(stack, PackedStack)}

    @property
    def size_bytes(self) -> int:
        """Bytes of codes and scales."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())


class _Product(torch.autograd.Function):
    """x · W of a packed W; the backward pass unpacks again instead of keeping what was unpacked."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, stack: PackedStack, expert: int, transposed: bool) -> Tensor:
        ctx.stack, ctx.expert, ctx.transposed = stack, expert, transposed
        weight = stack[expert].to(rows.dtype)
        return rows @ weight if transposed else rows @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        weight = ctx.stack[ctx.expert].to(grad.dtype)
        return (grad @ weight.T if ctx.transposed else grad @ weight), None, None, None


def run_packed(experts: Any, expert: int, rows: Tensor, transposed: bool) -> Tensor:
    """One packed expert's output for these rows, in its family's own arithmetic."""
    packed = experts.packed
    gate_up = _Product.apply(rows, packed.gate_up_proj, expert, transposed)
    bias = getattr(experts, "gate_up_proj_bias", None)
    gate_up = gate_up if bias is None else gate_up + bias[expert]
    if hasattr(experts, "_apply_gate"):
        inner = experts._apply_gate(gate_up)
    else:
        gate, up = gate_up.chunk(2, dim=-1)
        inner = up * experts.act_fn(gate)
    out: Tensor = _Product.apply(inner, packed.down_proj, expert, transposed)
    bias = getattr(experts, "down_proj_bias", None)
    return out if bias is None else out + bias[expert]
