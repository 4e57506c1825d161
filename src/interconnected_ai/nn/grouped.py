"""One matrix product per group of rows: `y[rows of e] = x[rows of e] · w[e] + b[e]` for rows sorted by expert.

Two ways to compute it. "loop" is one product per expert on contiguous rows; its backward writes every expert's gradient
into its slice, where autograd's own indexing would build a full-size gradient per expert. "grouped_mm" is PyTorch's
fused kernel. The two round differently, so `choose_backend` goes by the kind of device and never by a clock.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BackendName = Literal["loop", "grouped_mm"]


@dataclass(frozen=True)
class GroupedBackend:
    """Which way the grouped product is computed, and why."""

    name: BackendName
    reason: str


@dataclass(frozen=True)
class Groups:
    """Sorted rows, seen as groups: group e is rows `offsets[e-1]` to `offsets[e]`."""

    offsets: Tensor  # (num_groups,), int32: where each group ends

    @classmethod
    def from_counts(cls, counts: Tensor) -> "Groups":
        """counts: (num_groups,) rows in each group."""
        return cls(counts.cumsum(0).to(torch.int32))

    def bounds(self) -> list[tuple[int, int]]:
        """(first row, end row) of each group, on the host: waits for the device."""
        ends = self.offsets.tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))


class _LoopMatmul(torch.autograd.Function):
    """The "loop" backend under autograd. Its one caller is `grouped_linear`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, bounds: list[tuple[int, int]]) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.bounds, ctx.has_bias = bounds, bias is not None
        out = rows.new_empty(len(rows), weight.shape[-1])
        for expert, (start, end) in enumerate(bounds):
            if start < end:
                _product(rows[start:end], weight[expert], None if bias is None else bias[expert], out[start:end])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        rows, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs_rows, needs_weight, needs_bias, _ = ctx.needs_input_grad
        grad_rows = torch.empty_like(rows) if needs_rows else None
        grad_weight = torch.empty_like(weight) if needs_weight else None
        grad_bias = grad.new_empty(weight.shape[0], weight.shape[2]) if ctx.has_bias and needs_bias else None
        for expert, (start, end) in enumerate(ctx.bounds):
            part = grad[start:end]
            if grad_rows is not None and start < end:
                torch.mm(part, weight[expert].t(), out=grad_rows[start:end])
            if grad_weight is not None:
                if start < end:
                    torch.mm(rows[start:end].t(), part, out=grad_weight[expert])
                else:
                    grad_weight[expert].zero_()
            if grad_bias is not None:
                torch.sum(part, dim=0, out=grad_bias[expert])
        return grad_rows, grad_weight, grad_bias, None


def grouped_linear(rows: Tensor, weight: Tensor, bias: Tensor | None, groups: Groups, backend: BackendName) -> Tensor:
    """rows: (num_rows, d_in) sorted by group; weight: (num_groups, d_in, d_out); bias: (num_groups, d_out) or None."""
    if backend == "loop":
        out: Tensor = _LoopMatmul.apply(rows, weight, bias, groups.bounds())
        return out
    product = F.grouped_mm(rows, weight, offs=groups.offsets)
    if bias is None:
        return product
    group_of_row = torch.bucketize(torch.arange(len(rows), device=rows.device), groups.offsets, right=True)
    return product + bias[group_of_row]


def choose_backend(device: torch.device, dtype: torch.dtype) -> GroupedBackend:
    """The way for this device and dtype: always the same one with the same PyTorch, however busy the machine is.

    On a GPU the loop would wait for the device at every layer, to learn where each expert's rows end; elsewhere the kernel is
    no faster than the loop (`iai bench moe`). May be called from any number of threads.
    """
    if device.type != "cuda":
        return GroupedBackend("loop", f"grouped_mm is no faster than one product per expert on {device.type}")
    return _on_gpu(device.index, dtype)


@lru_cache
def _on_gpu(index: int | None, dtype: torch.dtype) -> GroupedBackend:
    device = torch.device("cuda") if index is None else torch.device("cuda", index)
    if refusal := _refusal_of_the_kernel(device, dtype):
        return GroupedBackend("loop", f"grouped_mm does not run on {device} in {dtype}: {refusal}")
    return GroupedBackend("grouped_mm", f"one product per expert would wait for {device} at every layer")


def _refusal_of_the_kernel(device: torch.device, dtype: torch.dtype) -> str:
    """Why the kernel does not run on this device for this dtype; empty where it does."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        rows = torch.zeros(16, 16, device=device, dtype=dtype)
        weight = torch.zeros(2, 16, 16, device=device, dtype=dtype)
        groups = Groups.from_counts(torch.full((2,), 8, device=device))
        try:
            grouped_linear(rows, weight, None, groups, "grouped_mm")
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            return str(error).splitlines()[0]
    return ""


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """out = rows · weight (+ bias), written in place. Not for use under autograd."""
    if bias is None:
        torch.mm(rows, weight, out=out)
    else:
        torch.addmm(bias, rows, weight, out=out)
