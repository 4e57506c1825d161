"""Seconds and dollars: work on a device, as a range with the assumptions it rests on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.devices import Device
from interconnected_ai.planner.precision import BYTES
from interconnected_ai.planner.products import Product
from interconnected_ai.planner.workload import Workload
from interconnected_ai.types import Told


@dataclass(frozen=True)
class Range:
    """Three figures: as good as it may get, expected, as bad as it may get."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> "Range":
        """All three multiplied."""
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def plus(self, other: "Range") -> "Range":
        """All three added."""
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def holds(self, value: float) -> bool:
        """Whether a measured value lies inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Assumption:
    """What a figure rests on. measured: found out on this machine, otherwise taken from data sheets and experience."""

    text: str
    measured: bool


@dataclass(frozen=True)
class Speed:
    """How fast a device does each kind of work in one precision.

    Matrix products reach `share_of_peak` of the peak, or what a calibration measured for their size; all else is bound
    by memory bandwidth; each kernel call costs `op_seconds` (on a GPU calls run ahead of the device, so only the
    longer of both counts). low and high: factors on the expected time between which a measured one should lie.
    """

    device: Device
    precision: str
    low: float
    high: float

    @classmethod
    def on(cls, device: Device, precision: str) -> "Speed":
        """Raises `ConfigError` when the device cannot compute in this precision."""
        if precision not in device.peak_flops and not (device.calibration and precision in device.calibration.products):
            known = ", ".join(device.peak_flops)
            raise ConfigError(f"{device.name} does not compute in {precision}; it does in: {known}")
        low, high = (0.75, 1.35) if device.calibration else (0.5, 2.5)
        return cls(device, precision, low, high)

    @property
    def assumption(self) -> Assumption:
        """What the seconds rest on."""
        found = self.device.calibration
        if found:
            best = max(rate for _, rate in found.products[self.precision])
            bandwidth, call = found.bandwidth / 1e9, found.op_seconds * 1e6
            told = Told.of(
                "measured",
                f"measured on this machine on {found.date}: {best / 1e9:.0f} GFLOP/s in {self.precision}, "
                f"{bandwidth:.1f} GB/s, {call:.1f} µs a call",
                date=found.date, gflops=round(best / 1e9), precision=self.precision, bandwidth=bandwidth, microseconds=call,
            )  # fmt: skip
            return Assumption(told, measured=True)
        share, peak = _SHARE_OF_PEAK[self.device.kind], self.device.peak_flops[self.precision] / 1e12
        bandwidth = self.device.memory_bandwidth / 1e9
        told = Told.of(
            "assumed",
            f"assumed, not measured: {share:.0%} of the peak {peak:.3g} TFLOP/s in {self.precision} and "
            f"{_SHARE_OF_BANDWIDTH:.0%} of {bandwidth:.0f} GB/s are reached",
            share=round(100 * share), tflops=peak, precision=self.precision, part=round(100 * _SHARE_OF_BANDWIDTH),
            bandwidth=round(bandwidth),
        )  # fmt: skip
        return Assumption(told, measured=False)

    def seconds(self, parts: Iterable[Workload]) -> Range:
        """The parts one after the other."""
        expected = sum(self._part(part) * self._factor(part) for part in parts)
        return Range(self.low * expected, expected, self.high * expected)

    def bound_by(self, parts: Iterable[Workload]) -> str:
        """ "compute", "bandwidth" or "overhead": what most of the time goes into."""
        split = {"compute": 0.0, "bandwidth": 0.0, "overhead": 0.0}
        for part in parts:
            for product in part.products:
                compute, memory = self._compute(product), self._memory(product)
                split["compute" if compute >= memory else "bandwidth"] += max(compute, memory)
            split["bandwidth"] += self._besides(part)
            split["overhead"] += part.num_ops * self._op_seconds
        return max(split, key=lambda kind: split[kind])

    def _factor(self, work: Workload) -> float:
        """How much longer the pieces take together than one by one, where that was measured."""
        found = self.device.calibration
        if found is None:
            return 1.0
        return found.training_factor if work.trains or work.updated_params else found.inference_factor

    def _part(self, work: Workload) -> float:
        products = sum(max(self._compute(p), self._memory(p)) * self._passes_of(p, work) for p in work.products)
        device = products + self._besides(work)
        calls = work.num_ops * (2.5 if work.trains else 1) * self._op_seconds
        return max(device, calls) if self.device.kind == "gpu" else device + calls

    def _passes_of(self, product: Product, work: Workload) -> float:
        """Forward, and as many products of the same size as the backward pass has of it."""
        if not work.trains or not product.forward_flops:
            return 1.0
        return 1.0 + product.backward_flops / product.forward_flops

    def _compute(self, product: Product) -> float:
        found = self.device.calibration
        if found is None:
            return product.forward_flops / (self.device.peak_flops[self.precision] * _SHARE_OF_PEAK[self.device.kind])
        rows = max(1.0, product.rows / product.num_matrices)
        each = 2.0 * rows * product.d_in * product.d_out
        return product.forward_flops / rate_at(found.products[self.precision], each)

    def _memory(self, product: Product) -> float:
        """Every operand once through memory; with a calibration it is part of the measured rate of small products."""
        if self.device.calibration is not None and product.rows >= _MANY_ROWS:
            return 0.0
        rows_numbers = product.rows * (product.d_in + product.d_out) * product.count
        return (product.weight_numbers + rows_numbers) * max(2.0, BYTES[self.precision]) / self._bandwidth

    def _besides(self, work: Workload) -> float:
        """Seconds of what is no product: memory traffic, activations, the optimiser."""
        found = self.device.calibration
        passes = 3 if work.trains else 1
        moved = work.moved_numbers * passes * 4 / self._bandwidth
        if found is None:
            return moved + (2 * work.activated_numbers * passes * 4 + work.updated_params * 40) / self._bandwidth
        activated = work.activated_numbers * passes / found.activations_per_second
        return moved + activated + work.updated_params / found.updates_per_second

    @property
    def _bandwidth(self) -> float:
        found = self.device.calibration
        return found.bandwidth if found else self.device.memory_bandwidth * _SHARE_OF_BANDWIDTH

    @property
    def _op_seconds(self) -> float:
        found = self.device.calibration
        return found.op_seconds if found else _OP_SECONDS[self.device.kind]


# Shares of the peak that training reaches without a calibration. Well-tuned large models reach 0.4–0.6 of a GPU's peak
# (PaLM, Chowdhery et al. 2022, section 4.1, reports 0.46); small layers in plain PyTorch reach less.
_SHARE_OF_PEAK = {"gpu": 0.3, "cpu": 0.5, "apple": 0.4}
_SHARE_OF_BANDWIDTH = 0.7
_OP_SECONDS = {"gpu": 8e-6, "cpu": 8e-6, "apple": 15e-6}
_MANY_ROWS = 32


def rate_at(curve: tuple[tuple[float, float], ...], flops: float) -> float:
    """FLOP/s of a product with that many FLOPs: between measured sizes along log(FLOPs), at the ends the end's."""
    if flops <= curve[0][0]:
        return curve[0][1]
    for (small, slow), (large, fast) in pairwise(curve):
        if flops <= large:
            share = (math.log(flops) - math.log(small)) / (math.log(large) - math.log(small))
            return slow + share * (fast - slow)
    return curve[-1][1]


def usd(seconds: Range, device: Device, num_devices: int) -> Range | None:
    """What the time costs at the device's hourly price; None where it has none."""
    if device.usd_per_hour is None:
        return None
    return seconds.times(device.usd_per_hour * num_devices / 3600)
