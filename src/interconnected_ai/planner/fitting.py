"""Whether a system fits a device, and the nearest change after which it does."""

from collections.abc import Callable
from dataclasses import replace

from interconnected_ai.config import readings_of_a_row
from interconnected_ai.planner.devices import DEVICES, Device
from interconnected_ai.planner.memory import TrainingMemory, overhead_of, training_memory
from interconnected_ai.planner.request import PlanRequest
from interconnected_ai.planner.system import SystemShape

# What a process needs before it holds a single tensor: libraries, and on a GPU the CUDA context.
RUNTIME_BYTES = {"gpu": 600_000_000, "cpu": 700_000_000, "apple": 700_000_000}


def chosen_precision(request: PlanRequest, device: Device) -> str:
    """The precision the plan counts with: the one asked for, else the fastest this device trains in."""
    asked = request.precision if request.precision != "auto" else request.training.precision
    if asked != "auto":
        return asked
    if device.calibration is not None:
        best = {name: max(rate for _, rate in curve) for name, curve in device.calibration.products.items()}
        # As the training's own probe: bfloat16 where it is clearly faster.
        return "bfloat16" if best.get("bfloat16", 0.0) >= 1.5 * best.get("float32", 0.0) else "float32"
    return "bfloat16" if device.kind == "gpu" and "bfloat16" in device.peak_flops else "float32"


def requested_memory(
    shape: SystemShape,
    request: PlanRequest,
    precision: str,
    device: Device,
    *,
    rows: int | None = None,
    checkpointing: bool = False,
) -> TrainingMemory:
    """Memory of the training on one such device. rows: of a pass, in place of those asked for."""
    _, training = request.settled()
    return training_memory(
        shape,
        batch=rows or request.rows_at_once,
        tokens_per_text=request.mean_tokens,
        precision=precision,
        checkpointing=checkpointing,
        overhead_bytes=overhead_of(device),
        first_readings=readings_of_a_row(training),
        first_tokens_per_text=request.tokens_of_a_first_text,
    )


def fits(num_bytes: int, device: Device) -> bool:
    """Whether that much fits beside what the process itself needs."""
    return num_bytes <= free_bytes(device)


def free_bytes(device: Device) -> int:
    """The device's memory beside what a process takes before its first tensor."""
    return device.memory_bytes - RUNTIME_BYTES[device.kind]


def _changes(
    shape: SystemShape, request: PlanRequest, device: Device, precision: str
) -> list[tuple[Callable[[], int], str]]:
    batch = request.training.batch_size
    out: list[tuple[Callable[[], int], str]] = []

    def with_steps(steps: int, shape: SystemShape = shape, precision: str = precision) -> Callable[[], int]:
        rows = max(1, batch // (steps * request.num_devices))
        return lambda: requested_memory(shape, request, precision, device, rows=rows).peak_bytes

    for steps in (2, 4, 8, 16, 32, 64):
        if batch % (steps * request.num_devices) == 0:
            out.append((with_steps(steps), f"training.accumulation_steps={steps} (same batch, smaller parts)"))
    if precision == "float32" and "bfloat16" in device.peak_flops:
        out.append((with_steps(1, precision="bfloat16"), "training.precision=bfloat16"))
    for divisor in (2, 4, 8):
        if shape.config.num_moe_layers and shape.d_ff >= divisor:
            smaller = replace(shape, config=shape.config.with_changes(d_ff=shape.d_ff // divisor))
            out.append((with_steps(1, smaller), f"system.d_ff={shape.d_ff // divisor}"))
    fewer = shape.config.num_experts // 2
    while shape.is_moe and fewer >= max(2, shape.config.top_k):
        smaller = replace(shape, config=shape.config.with_changes(num_experts=fewer))
        out.append((with_steps(1, smaller), f"system.num_experts={fewer}"))
        fewer //= 2
    return out


def nearest_change(shape: SystemShape, request: PlanRequest, device: Device, precision: str) -> str | None:
    """The smallest change after which the joint training fits the device; None where it fits as it is.

    Tried in this order: smaller parts of a batch, 16-bit activations, half and a quarter of d_ff, fewer experts, and
    last the smallest device of the table that is large enough.
    """
    needed = requested_memory(shape, request, precision, device).peak_bytes
    if fits(needed, device):
        return None
    for change, sentence in _changes(shape, request, device, precision):
        if fits(change(), device):
            return sentence
    large_enough = sorted(
        (d for d in DEVICES if fits(needed, d) and d.kind == device.kind), key=lambda d: d.memory_bytes
    )
    if large_enough:
        return f"use {large_enough[0].name} ({large_enough[0].memory_bytes / 1e9:.0f} GB)"
    return f"no device of the table holds {needed / 1e9:.0f} GB; choose a smaller d_ff or fewer experts"
