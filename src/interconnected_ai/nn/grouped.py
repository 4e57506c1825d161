"""One matrix product per group of rows: `y[rows of e] = x[rows of e] · w[e] + b[e]` for rows sorted by expert.

Two ways to compute it. "loop" is one product per expert on contiguous rows; its backward writes every expert's gradient
into its slice, where autograd's own indexing would build a full-size gradient per expert. "grouped_mm" is PyTorch's
fused kernel. `choose_backend` measures both once per device and dtype.
"""

import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BackendName = Literal["loop", "grouped_mm"]

# The loop is kept unless the kernel is clearly faster: a choice on the edge would flip with the noise of the machine,
# and the two round differently, so a resumed run would not equal an uninterrupted one.
_CLEARLY_FASTER = 1.25


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
    """The faster way on this device for this dtype, measured once per process (about 0.1 s) however many threads ask."""
    with _probing:
        return _probe(device.type, device.index, dtype)


_probing = threading.Lock()  # two threads that measured at once might go different ways, which round differently


@lru_cache
def _probe(device_type: str, index: int | None, dtype: torch.dtype) -> GroupedBackend:
    device = torch.device(device_type) if index is None else torch.device(device_type, index)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast(device_type, enabled=False):
        rows = torch.zeros(512, 256, device=device, dtype=dtype)
        weight = torch.zeros(8, 256, 512, device=device, dtype=dtype)
        groups = Groups.from_counts(torch.full((8,), 64, device=device))
        try:
            fused = _seconds(rows, weight, groups, "grouped_mm")
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            return GroupedBackend(
                "loop", f"grouped_mm does not run on {device_type} in {dtype}: {str(error).splitlines()[0]}"
            )
        loop = _seconds(rows, weight, groups, "loop")
    ratio = loop / fused
    reason = f"grouped_mm ran at {ratio:.2f} × the speed of the loop on {device_type} in {dtype}"
    if ratio >= _CLEARLY_FASTER:
        return GroupedBackend("grouped_mm", reason)
    return GroupedBackend("loop", f"{reason}; it is taken from {_CLEARLY_FASTER} × on")


def _seconds(rows: Tensor, weight: Tensor, groups: Groups, backend: BackendName) -> float:
    """Seconds of one grouped product, the best of nine runs."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        grouped_linear(rows, weight, None, groups, backend)
        if rows.is_cuda:
            torch.cuda.synchronize(rows.device)
        times.append(time.perf_counter() - start)
    return min(times)  # the run that the rest of the machine disturbed least


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """out = rows · weight (+ bias), written in place. Not for use under autograd."""
    if bias is None:
        torch.mm(rows, weight, out=out)
    else:
        torch.addmm(bias, rows, weight, out=out)
