"""Linear layers by whichever library multiplies fast here: oneDNN on CPUs that MKL does not use to the full.

MKL takes AVX2 on AMD's CPUs, whatever they have; oneDNN asks what the CPU can do. With AVX-512 it is twice as fast there
(docs/log.md).
"""

from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_ROWS = 1024
"""Rows up to which `few_shapes` has numbers of its own: who has more takes them in several products."""


def multiplies_by_onednn(device: torch.device) -> bool:
    """Whether `linear` asks oneDNN on this device, where no gradient is to come: on an AMD CPU with AVX-512.

    A rule of the device, never of a clock: the two round differently. `torch.backends.mkldnn.flags(enabled=False)` forbids it.
    """
    return device.type == "cpu" and bool(torch.backends.mkldnn.enabled) and _is_slow_for_mkl()


@cache
def _is_slow_for_mkl() -> bool:
    there = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    return there and torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in _cpu()


def _cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What Linux tells of the CPUs; nothing elsewhere, where PyTorch has no MKL either but on Windows and old Macs."""
    try:
        return cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(num_rows, d_in), (d_out, d_in), (d_out,) → (num_rows, d_out): `F.linear`, which is asked for any other shape too.

    For every number of rows oneDNN makes a program and keeps it, .6 MB each. So it is asked for those of `few_shapes` alone.
    """
    fits = rows.dim() == 2 and rows.dtype == weight.dtype == torch.float32 and 0 < len(rows) == few_shapes(len(rows))
    learns = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    if not fits or learns or not multiplies_by_onednn(rows.device):
        return F.linear(rows, weight, bias)
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(rows.contiguous(), weight, bias, "none", [], ""))


def few_shapes(num_rows: int) -> int:
    """How many rows to compute in place of so many: one of 14 numbers, and multiples of `MOST_ROWS`."""
    return next((size for size in _SIZES if size >= num_rows), -(-num_rows // MOST_ROWS) * MOST_ROWS)


_SIZES = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 896, MOST_ROWS)


class Linear(nn.Linear):
    """A linear layer whose product is `linear`. Any number of threads may compute with it at once."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_in) → (…, d_out)."""
        return linear(hidden, self.weight, self.bias)


def swap_linears(model: nn.Module) -> None:
    """Let every linear layer of torch's inside `model` compute as `Linear` does: the same module with the same weights.

    Not while other threads compute with the model.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
