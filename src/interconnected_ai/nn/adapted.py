"""A frozen linear layer and its low-rank adapter as one step of the backward pass: less time and memory than two layers summed.

`LoRALinear` is the wrapper that can be merged; this one only learns. `RMSNorm` and `swiglu` beside it keep their inputs alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from interconnected_ai.nn.dropout import Dropout
from interconnected_ai.nn.nf4 import pack_nf4, unpack_nf4


class FrozenWeight(nn.Module):
    """The matrix of a linear layer that does not learn, with its bias; as it is, or packed in 4 bits (NF4)."""

    weight: nn.Parameter | None

    def __init__(self, linear: nn.Linear, *, bits: int | None = None) -> None:
        super().__init__()
        self.shape, self.dtype = linear.weight.shape, linear.weight.dtype
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)
        if bits is None:
            self.weight = nn.Parameter(linear.weight.detach(), requires_grad=False)
        else:
            self.weight = None
            codes, largest = pack_nf4(linear.weight)
            # not kept by checkpoints: the base is there
            self.register_buffer("codes", codes, persistent=False)
            self.register_buffer("largest", largest, persistent=False)

    def matrix(self, dtype: torch.dtype) -> Tensor:
        """(d_out, d_in); of a packed one a new tensor at each call."""
        if self.weight is not None:
            return self.weight.to(dtype)
        codes, largest = self.get_buffer("codes"), self.get_buffer("largest")
        return unpack_nf4(codes, largest, self.shape, dtype)


class AdaptedLinear(nn.Module):
    """W · x + b + scale · B · A · x, where A and B alone learn; B = 0 at the start.

    W may have 4 bits: it is unpacked for a product, once in each direction, and never kept.
    `enabled` is looked at in every forward pass: False leaves the frozen layer alone.
    Threads: forward passes may run in several at once, as long as none changes `enabled`.
    """

    def __init__(
        self,
        linear: nn.Linear,
        rank: int,
        *,
        alpha: float | None = None,
        dropout: float = 0.0,
        bits: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank={rank}: a low-rank adapter needs a rank of 1 or more")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.frozen = FrozenWeight(linear, bits=bits)
        self.scale = (2 * rank if alpha is None else alpha) / rank
        device = linear.weight.device
        self.lora_a = nn.Parameter(torch.empty(rank, self.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(self.out_features, rank, device=device))
        self.dropout = Dropout(dropout)
        self.enabled = True
        with torch.no_grad():
            self.lora_a.copy_(torch.randn(self.lora_a.shape, generator=generator) * self.in_features**-0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_in) → (…, d_out), in the type of `hidden`, or autocast's."""
        dtype = _computing(hidden)
        rows = hidden.reshape(-1, self.in_features).to(dtype)
        dropped, lora_a, lora_b = None, self.lora_a, self.lora_b
        if self.training and self.dropout.p > 0.0:
            dropped = self.dropout(rows)
        learnt = (dropped, lora_a, lora_b) if self.enabled else (None, None, None)
        out: Tensor = _Product.apply(rows, *learnt, self.frozen, self.scale)
        return out.view(*hidden.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """out = rows · Wᵀ + b + scale · (dropped · Aᵀ) · Bᵀ, where `dropped` is None for the rows themselves.

    With g = ∂/∂out and h = scale · g · B: ∂A = hᵀ · dropped, ∂B = scale · gᵀ · (dropped · Aᵀ), ∂rows = g · W + h · A.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        dropped: Tensor | None,
        lora_a: Tensor | None,
        lora_b: Tensor | None,
        frozen: FrozenWeight,
        scale: float,
    ) -> Tensor:
        ctx.frozen, ctx.scale, dtype = frozen, scale, rows.dtype
        with torch.autocast(rows.device.type, enabled=False):
            bias = None if frozen.bias is None else frozen.bias.to(dtype)
            out = F.linear(rows, frozen.matrix(dtype), bias)
            if lora_a is None or lora_b is None:
                ctx.save_for_backward(None, None, None, None)
                return out
            read = rows if dropped is None else dropped
            inner = read @ lora_a.to(dtype).T  # (rows, rank)
            out.addmm_(inner, lora_b.to(dtype).T, alpha=scale)
        ctx.save_for_backward(read, inner, lora_a, lora_b)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        read, inner, lora_a, lora_b = ctx.saved_tensors
        wants_rows, wants_dropped = ctx.needs_input_grad[:2]
        dtype, grad_rows, grad_dropped, grad_a, grad_b = grad.dtype, None, None, None, None
        with torch.autocast(grad.device.type, enabled=False):
            if wants_rows:
                grad_rows = grad @ ctx.frozen.matrix(dtype)
            if lora_a is None:
                return grad_rows, None, None, None, None, None
            small = (grad @ lora_b.to(dtype)).mul_(ctx.scale)  # (rows, rank)
            grad_a = (small.T @ read).to(lora_a.dtype)
            grad_b = (grad.T @ inner).to(lora_b.dtype).mul_(ctx.scale)
            if wants_dropped:
                grad_dropped = small @ lora_a.to(dtype)
            elif grad_rows is not None:
                grad_rows.addmm_(small, lora_a.to(dtype))
        return grad_rows, grad_dropped, grad_a, grad_b, None, None


class RMSNorm(nn.Module):
    """x / √(mean x² + eps) · weight with a frozen weight (Zhang and Sennrich 2019); keeps x and one number a row."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(weight.detach(), requires_grad=False), eps

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d) → (…, d), in the type of `hidden`; computed in float32."""
        normed: Tensor = _RMSNorm.apply(hidden, self.weight, self.eps)
        return normed


class _RMSNorm(torch.autograd.Function):
    """y = x · r · w, r = (mean x² + eps)^-½; ∂x = r · (g·w − x · r² · mean(g·w·x))."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
        exact = hidden.float()
        rate = exact.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(hidden, rate, weight)
        return (exact * rate).to(hidden.dtype) * weight.to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, rate, weight = ctx.saved_tensors
        scaled, exact = grad.float() * weight.float(), hidden.float()
        along = (scaled * exact).mean(-1, keepdim=True).mul_(rate.square())
        return scaled.addcmul_(exact, along, value=-1.0).mul_(rate).to(grad.dtype), None, None


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up (Shazeer 2020), of like shapes; silu is computed again in the backward pass instead of kept."""
    product: Tensor = _SwiGLU.apply(gate, up)
    return product


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad_gate: Tensor = torch.ops.aten.silu_backward(grad * up, gate)
        return grad_gate, F.silu(gate).mul_(grad)


def _computing(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
