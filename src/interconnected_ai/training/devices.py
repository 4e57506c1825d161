"""Where and in which precision to compute, chosen by measuring."""

import time
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.config import Precision
from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import device_of

_CLEARLY_FASTER = 1.5
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Choice:
    """A device, a precision for the matrix products, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str


@checked
def choose(device: str = "auto", precision: Precision = "auto") -> Choice:
    """The device and precision to train with. "auto" takes a GPU where there is one, and bfloat16 where it is clearly
    faster than float32 on matrix products of that device; raises `ConfigError` for a device this machine lacks.
    """
    place = _device(device)
    if precision != "auto":
        if precision == "float16" and place.type != "cuda":
            raise ConfigError(f"precision float16 needs a CUDA device, this is {place}; use bfloat16, float32 or auto")
        return Choice(place, _DTYPES[precision], "as asked for")
    speedup = bfloat16_speedup(place)
    dtype = torch.bfloat16 if speedup >= _CLEARLY_FASTER else torch.float32
    return Choice(place, dtype, f"bfloat16 products run at {speedup:.2f} × the speed of float32 on {place}")


@lru_cache
def bfloat16_speedup(device: torch.device) -> float:
    """Speed of a bfloat16 matrix product over a float32 one of the same shape; below 1 it is slower."""
    return _seconds(device, torch.float32) / _seconds(device, torch.bfloat16)


def _device(name: str) -> torch.device:
    if isinstance(name, str) and ":" in name:
        raise ConfigError(f"device {name!r} has a number; choose among several GPUs with CUDA_VISIBLE_DEVICES")
    return device_of(name)


def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    left = torch.ones(256, 512, device=device, dtype=dtype)
    right = torch.ones(512, 512, device=device, dtype=dtype)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        _ = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return median(times[2:])
