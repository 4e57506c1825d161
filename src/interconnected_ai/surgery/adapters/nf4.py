"""FFN experts in four bits: stacks packed as NF4, unpacked one used expert at a time.

bitsandbytes packs linear layers alone and leaves fused experts as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from interconnected_ai.nn import pack_nf4, unpack_nf4


class PackedStack(nn.Module):
    """One stacked tensor, each expert packed by itself."""

    codes: Tensor
    largest: Tensor

    def __init__(self, stack: Tensor) -> None:
        super().__init__()
        packed = [pack_nf4(expert) for expert in stack]
        self.register_buffer("codes", torch.stack([codes for codes, _ in packed]))
        self.register_buffer("largest", torch.stack([largest for _, largest in packed]))
        self.shape, self.dtype = stack.shape[1:], stack.dtype

    def __getitem__(self, expert: int) -> Tensor:
        """One expert's matrix."""
        return unpack_nf4(self.codes[expert], self.largest[expert], self.shape, self.dtype)

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
    name = "gate_up_proj" if hasattr(packed, "gate_up_proj") else "up_proj"
    gate_up = _Product.apply(rows, getattr(packed, name), expert, transposed)
    bias = getattr(experts, f"{name}_bias", None)
    gate_up = gate_up if bias is None else gate_up + bias[expert]
    if name == "up_proj":
        inner = experts.act_fn(gate_up)
    elif hasattr(experts, "_apply_gate"):
        inner = experts._apply_gate(gate_up)
    else:
        gate, up = gate_up.chunk(2, dim=-1)
        inner = up * experts.act_fn(gate)
    out: Tensor = _Product.apply(inner, packed.down_proj, expert, transposed)
    bias = getattr(experts, "down_proj_bias", None)
    return out if bias is None else out + bias[expert]
