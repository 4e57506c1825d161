"""Measure this machine once, so that plans rest on what it does and not on data sheets. Under a minute."""

import os
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

from interconnected_ai.bench.cases import Case, measured, predicted
from interconnected_ai.errors import StorageError
from interconnected_ai.planner import Calibration, Device, this_machine

# (rows, d_in, d_out) of the products that are timed, from an adapter's to a large encoder's.
_SIZES = ((64, 64, 64), (128, 384, 192), (512, 384, 384), (1024, 768, 768), (1024, 768, 3072))
_SECONDS_EACH = 0.6
_REPEATS = 5
_CLEARLY_SLOWER = 0.8
_DISK_BYTES = 256 * 2**20
# Tensors of 16 MB: what training touches does not fit a cache.
_NUMBERS = 2**22

# How the pieces work together is measured on these two, which no bench compares with.
_TRAINING = Case("reference training", {"num_experts": 16, "d_ff": 768}, batch=64, tokens=40)
_ANSWERS = Case("reference answers", {"num_experts": 16, "d_ff": 768}, batch=96, tokens=64, trains=False)


def calibrate(device: torch.device | None = None, *, say: Callable[[str], None] = print) -> Device:
    """This machine with a calibration: matrix products per precision, bandwidth, calls, GELU, AdamW, disk.

    Everything is the median of repeats on tensors of the sizes that training meets, allocated anew each time, as
    PyTorch's operations do.
    """
    place = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    here = _described(place)
    say(f"Measuring {here.name} ({place}) …")
    products = {str(dtype).removeprefix("torch."): _products(place, dtype) for dtype in _dtypes(place)}
    notes = [*_slow_precisions(products)]
    calibration = {
        "date": date.today().isoformat(),
        "products": {name: [list(point) for point in curve] for name, curve in products.items()},
        "bandwidth": _bandwidth(place),
        "op_seconds": _op_seconds(place),
        "activations_per_second": _activations(place),
        "updates_per_second": _updates(place),
        "disk_bandwidth": _disk(),
        "notes": notes,
    }
    plain = here.with_changes(calibration=Calibration.from_mapping(calibration).to_dict())
    say("A reference step …")
    return plain.with_changes(calibration={**calibration, **_together(plain)})


def _together(device: Device) -> dict[str, float | int]:
    """What the pieces take together: time in training and answering over their sum, memory beyond the tensors."""
    found = {case.name: (predicted(case, device), measured(case, _REPEATS)) for case in (_TRAINING, _ANSWERS)}
    (plan, trained), (quick, answered) = found[_TRAINING.name], found[_ANSWERS.name]
    return {
        "training_factor": trained["seconds"] / plan["seconds"],
        "inference_factor": answered["seconds"] / quick["seconds"],
        "overhead_bytes": max(0, round(trained["bytes"] - plan["bytes"])),
    }


def _described(place: torch.device) -> Device:
    """The row to calibrate: this machine, or the GPU it holds."""
    if place.type != "cuda":
        return this_machine().with_changes(calibration=None)
    properties = torch.cuda.get_device_properties(place)
    return Device.from_mapping(
        {
            "name": properties.name,
            "kind": "gpu",
            "memory_bytes": properties.total_memory,
            "memory_bandwidth": _bandwidth(place),
            "peak_flops": {"float32": max(rate for _, rate in _products(place, torch.float32))},
            "source": "measured by iai plan calibrate",
        }
    )


def _dtypes(place: torch.device) -> tuple[torch.dtype, ...]:
    return (torch.float32, torch.bfloat16, torch.float16) if place.type == "cuda" else (torch.float32, torch.bfloat16)


def _products(place: torch.device, dtype: torch.dtype) -> list[tuple[float, float]]:
    """(FLOPs, FLOP/s) of products of rising size."""
    out = []
    for rows, d_in, d_out in _SIZES:
        left = torch.randn(rows, d_in, device=place).to(dtype)
        right = torch.randn(d_in, d_out, device=place).to(dtype)
        flops = 2.0 * rows * d_in * d_out
        out.append((flops, flops / _seconds(lambda left=left, right=right: left @ right, place)))  # type: ignore[misc]
    return out


def _slow_precisions(products: dict[str, list[tuple[float, float]]]) -> list[str]:
    best = {name: max(rate for _, rate in curve) for name, curve in products.items()}
    return [
        f"{name} products run at {rate / best['float32']:.2f} × the speed of float32: train in float32 here"
        for name, rate in best.items()
        if rate < _CLEARLY_SLOWER * best["float32"]
    ]


def _bandwidth(place: torch.device) -> float:
    """Bytes per second through memory of a sum of two tensors (three tensors' worth each time)."""
    left, right = torch.randn(_NUMBERS, device=place), torch.randn(_NUMBERS, device=place)
    return 3 * 4 * _NUMBERS / _seconds(lambda: left + right, place)


def _op_seconds(place: torch.device) -> float:
    """Seconds of a call that has next to nothing to compute."""
    small = torch.ones(8, device=place)

    def hundred() -> None:
        value = small
        for _ in range(100):
            value = value * 1.0

    return _seconds(hundred, place) / 100


def _activations(place: torch.device) -> float:
    """Numbers through GELU per second."""
    hidden = torch.randn(_NUMBERS, device=place)
    return hidden.numel() / _seconds(lambda: F.gelu(hidden), place)


def _updates(place: torch.device) -> float:
    """Parameters that AdamW steps per second, clipping of the gradients included."""
    params = [nn.Parameter(torch.zeros(_NUMBERS, device=place)) for _ in range(4)]
    optimizer = torch.optim.AdamW(params, lr=0.0)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    for param in params:
        param.grad = torch.ones_like(param)
    return sum(p.numel() for p in params) / _seconds(step, place)


def _disk() -> float:
    """Bytes per second that reach the disk of the temporary folder (written and synced)."""
    block = os.urandom(2**20)
    try:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            with (Path(folder) / "block").open("wb") as file:
                for _ in range(_DISK_BYTES // len(block)):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            return _DISK_BYTES / (time.perf_counter() - started)
    except OSError as error:
        raise StorageError(
            f"the disk could not be measured in {tempfile.gettempdir()}: {error.strerror or error}"
        ) from error


def _seconds(run: Callable[[], object], place: torch.device) -> float:
    """Median seconds of one run, after warming up; a run that is long by itself is not repeated."""
    times: list[float] = []
    with torch.no_grad():
        for number in range(10_000):
            started = time.perf_counter()
            run()
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            took = time.perf_counter() - started
            if number >= 3 or took > _SECONDS_EACH:
                times.append(took)
            if sum(times) > (_SECONDS_EACH if len(times) >= 5 else 5 * _SECONDS_EACH):
                break
    return median(times)
