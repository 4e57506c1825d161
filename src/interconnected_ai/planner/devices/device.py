"""One kind of device, or one machine: what it can do, what it costs, and what was measured on it."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from interconnected_ai.config import Record
from interconnected_ai.errors import ConfigError

PRECISIONS = ("float32", "tf32", "bfloat16", "float16", "int8", "int4")

_Positive = Annotated[float, Field(gt=0.0)]
_Point = Annotated[tuple[_Positive, _Positive], Field(strict=False)]
_Curve = Annotated[tuple[_Point, ...], Field(strict=False, min_length=1)]


def _check_precisions(named: Iterable[str]) -> None:
    if unknown := [precision for precision in named if precision not in PRECISIONS]:
        raise ValueError(f"unknown precision {unknown[0]!r}; known: {', '.join(PRECISIONS)}")


class Calibration(Record):
    """What `iai plan calibrate` measured on a machine.

    products: for each precision (FLOPs of one matrix product, FLOP/s reached), small products first: they reach less.
    bandwidth, disk_bandwidth: bytes per second. op_seconds: what a call costs before it computes anything.
    activations_per_second: numbers through GELU. updates_per_second: parameters stepped by AdamW. training_factor,
    inference_factor: time of one reference step over the sum of its pieces; overhead_bytes: memory that it took beyond its
    tensors (buffers of the libraries, gaps of the allocator).
    notes: what a person should know, such as a precision that is slow here.
    """

    date: str
    products: Annotated[dict[str, _Curve], Field(min_length=1)]
    bandwidth: _Positive
    disk_bandwidth: _Positive | None = None
    op_seconds: Annotated[float, Field(ge=0.0)]
    activations_per_second: _Positive
    updates_per_second: _Positive
    training_factor: _Positive = 1.0
    inference_factor: _Positive = 1.0
    overhead_bytes: Annotated[int, Field(ge=0)] = 0
    notes: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @field_validator("products")
    @classmethod
    def _curves_rise(cls, products: dict[str, Any]) -> dict[str, Any]:
        _check_precisions(products)
        for precision, curve in products.items():
            sizes = [flops for flops, _ in curve]
            if sizes != sorted(set(sizes)):
                raise ValueError(f"{precision}: the sizes must grow from point to point, got {sizes}")
        return products


class Device(Record):
    """One kind of device, or one machine.

    memory_bytes: what programs can use, as `nvidia-smi` reports it for GPUs (error correction takes a share of GDDR6).
    memory_bandwidth: bytes per second. peak_flops: dense FLOP/s for each precision that the hardware multiplies in, no
    sparsity; float32 on GPUs is the figure without tensor cores, "tf32" stands beside it; 16-bit products accumulate in
    float32. int8 and int4 are products of integers: weights that are merely stored so are multiplied in 16 bits.
    aliases: other names, such as the one PyTorch reports. usd_per_hour: None where nobody rents it out at a public price.
    price_date: year and month of that price. source: the data sheet, or how the figures were derived.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["gpu", "cpu", "apple"]
    memory_bytes: Annotated[int, Field(gt=0)]
    memory_bandwidth: _Positive
    peak_flops: Annotated[dict[str, _Positive], Field(min_length=1)]
    aliases: Annotated[tuple[str, ...], Field(strict=False)] = ()
    num_cores: Annotated[int, Field(gt=0)] | None = None
    usd_per_hour: Annotated[float, Field(ge=0.0)] | None = None
    price_source: str = ""
    price_date: str = ""
    source: str = ""
    calibration: Calibration | None = None

    @field_validator("memory_bytes", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return int(value) if isinstance(value, float) and value.is_integer() else value  # 24e9, as people write it

    @field_validator("peak_flops")
    @classmethod
    def _precisions_are_known(cls, peaks: dict[str, float]) -> dict[str, float]:
        _check_precisions(peaks)
        return peaks

    @property
    def measured_flops(self) -> dict[str, float]:
        """The best FLOP/s that a calibration reached in each precision; empty without one."""
        products = self.calibration.products if self.calibration else {}
        return {precision: max(rate for _, rate in curve) for precision, curve in products.items()}

    @property
    def measured_bandwidth(self) -> float | None:
        """Memory bandwidth that a calibration measured."""
        return self.calibration.bandwidth if self.calibration else None

    @property
    def measured_disk_bandwidth(self) -> float | None:
        """Disk bandwidth that a calibration measured."""
        return self.calibration.disk_bandwidth if self.calibration else None

    @property
    def calibrated_on(self) -> str | None:
        """The day of the calibration."""
        return self.calibration.date if self.calibration else None

    @property
    def bandwidth(self) -> float:
        """Bytes per second: measured where a calibration is, else of the data sheet."""
        return self.measured_bandwidth or self.memory_bandwidth

    def flops(self, precision: str) -> float:
        """FLOP/s in a precision: measured where a calibration is, else the peak of the data sheet.

        Raises `ConfigError` when the device does not multiply in that precision.
        """
        found = self.measured_flops.get(precision) or self.peak_flops.get(precision)
        if found is None:
            known = ", ".join(sorted({*self.peak_flops, *self.measured_flops}))
            raise ConfigError(f"{self.name} does not multiply in {precision}; it does in: {known}. Choose one of these")
        return found
