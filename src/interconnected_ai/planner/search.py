"""The largest system that a device, a memory or a budget allows."""

from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.comparison import Plan, plan
from interconnected_ai.planner.devices import Device, find_device
from interconnected_ai.planner.encoders import EncoderShape, encoder_shape
from interconnected_ai.planner.fitting import chosen_precision, fits, requested_memory
from interconnected_ai.planner.request import PlanRequest
from interconnected_ai.planner.system import SystemShape

_NUM_EXPERTS = (2, 4, 8, 16, 32, 64, 128)
# Hidden sizes as multiples of an eighth of the encoder's width: what people build, and products that hardware likes.
_D_FF_STEPS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class Fit:
    """The largest system found, its plan, and how many were tried."""

    plan: Plan
    num_tried: int
    num_fitting: int


def largest_fit(request: PlanRequest, *, devices: str | Path | None = None) -> Fit:
    """Search numbers of experts and hidden sizes for the system with the most parameters that trains within the limits.

    Limits: the device's memory (or request.memory_bytes), and request.budget_usd where given. All else stays as asked
    for. Among systems of the same size the one with the fewest active parameters wins. Raises `ConfigError` when not even
    the smallest fits.
    """
    device = find_device(request.device, devices)
    if request.memory_bytes is not None:
        device = device.with_changes(memory_bytes=request.memory_bytes)
    if request.budget_usd is not None and device.usd_per_hour is None:
        raise ConfigError(
            f"a budget of {request.budget_usd} USD needs an hourly price, and {device.name} has none; add a row with "
            "usd_per_hour in a file and give it with --devices"
        )
    precision, encoder = chosen_precision(request, device), encoder_shape(request.system.base_model_name)
    tried = [
        _Candidate.of(_changed(request, number, d_ff), encoder, precision, device)
        for number, d_ff in _sizes(request, encoder.d_model)
    ]
    fitting = [one for one in tried if fits(one.peak_bytes, device)]
    fitting.sort(key=lambda one: (-one.shape.num_params["total"], one.shape.num_active_params))
    for one in fitting:
        found = plan(one.request, devices=devices, encoder=encoder)
        way = found.way("moe" if one.shape.is_moe else "dense")
        if request.budget_usd is None or (way.usd is not None and way.usd.expected <= request.budget_usd):
            return Fit(found, len(tried), len(fitting))
    limit = f"{device.memory_bytes / 1e9:.1f} GB of {device.name}"
    if fitting:
        limit += f" and a budget of {request.budget_usd} USD"
    smallest = min(tried, key=lambda one: one.peak_bytes)
    remedies = ["a smaller encoder", "a smaller batch_size", "accumulation_steps", "or a larger device"]
    if smallest.request.settled()[1].encoder_steps:
        remedies.insert(0, "training.encoder_steps=0 (the encoder does not learn first)")
    raise ConfigError(
        f"no system fits {limit}: the smallest tried peaks at {smallest.peak_bytes / 1e9:.2f} GB in training, beside the "
        f"process itself; use {', '.join(remedies)}"
    )


@dataclass(frozen=True)
class _Candidate:
    """A system that is tried, and what its training peaks at."""

    request: PlanRequest
    shape: SystemShape
    peak_bytes: int

    @classmethod
    def of(cls, request: PlanRequest, encoder: EncoderShape, precision: str, device: Device) -> "_Candidate":
        shape = request.shape(encoder)
        return cls(request, shape, requested_memory(shape, request, precision, device).peak_bytes)


def _sizes(request: PlanRequest, d_model: int) -> list[tuple[int, int]]:
    numbers = [n for n in _NUM_EXPERTS if n >= request.system.top_k]
    if request.system.ffn == "dense" or not request.system.num_moe_layers:
        numbers = [request.system.num_experts]
    return [(number, max(1, d_model * step // 8)) for number in numbers for step in _D_FF_STEPS]


def _changed(request: PlanRequest, num_experts: int, d_ff: int) -> PlanRequest:
    system = request.system.with_changes(num_experts=num_experts, d_ff=d_ff)
    return request.with_changes(system=system.to_dict())
