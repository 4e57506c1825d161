"""Devices: what a GPU, a CPU or an Apple chip can do and costs, in one table; a user's own rows; and this machine.

A row is one product. To add one, add a line to `DEVICES`, or write it into a YAML file and give that to `find_device`.
"""

import math
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator

from interconnected_ai.config import Record, _Yaml
from interconnected_ai.errors import ConfigError, StorageError, UnknownNameError

PRECISIONS = ("float32", "tf32", "bfloat16", "float16", "int8", "int4")
THIS_MACHINE = "this machine"

_Positive = Annotated[float, Field(gt=0.0)]
_Point = Annotated[tuple[_Positive, _Positive], Field(strict=False)]
_Curve = Annotated[tuple[_Point, ...], Field(strict=False, min_length=1)]


def _check_precisions(named: Iterable[str]) -> None:
    if unknown := [precision for precision in named if precision not in PRECISIONS]:
        raise ValueError(f"unknown precision {unknown[0]!r}; known: {', '.join(PRECISIONS)}")


class Calibration(Record):
    """What `iai plan --calibrate` measured on a machine.

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


# The table. Figures are the manufacturers'; where a sheet gives them "with sparsity", half of it stands here.


def _gpu(
    name: str,
    *aliases: str,
    mib: int,
    gb_per_second: float,
    tflops: Mapping[str, float],
    usd: tuple[float, str, str] | None,
    source: str,
) -> Device:
    """A row for an NVIDIA GPU. usd: price per hour, whose, and when it was seen."""
    price, price_source, price_date = usd or (None, "no public price with a date was found", "")
    return Device(
        name=name,
        kind="gpu",
        memory_bytes=mib * 2**20,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={precision: rate * 1e12 for precision, rate in tflops.items()},
        aliases=aliases,
        usd_per_hour=price,
        price_source=price_source,
        price_date=price_date,
        source=source,
    )


def _apple(chip: str, memory_gib: int, gb_per_second: float, gpu_cores: int, ghz: float, source: str) -> Device:
    """A row for an Apple chip's GPU: a core has 128 units that multiply and add once a cycle, float16 at the same rate."""
    rate = gpu_cores * 128 * 2 * ghz * 1e9
    return Device(
        name=f"Apple {chip} {memory_gib}GB",
        kind="apple",
        memory_bytes=memory_gib * 2**30,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={"float32": rate, "float16": rate},
        aliases=(f"Apple {chip}", chip),
        price_source="not rented out by the hour at a public price we know",
        source=(
            f"{source}; the largest memory it is sold with, of which macOS leaves the GPU about three quarters; "
            f"peak = {gpu_cores} GPU cores × 128 × 2 × {ghz} GHz; no published rate for bfloat16 and int8"
        ),
    )


def _cpu(
    name: str,
    *aliases: str,
    cores: int,
    ghz: float,
    flops_per_cycle: Mapping[str, int],
    memory_gib: int,
    gb_per_second: float,
    source: str,
) -> Device:
    """A row for a CPU: peak = cores × GHz × FLOPs per cycle."""
    return Device(
        name=name,
        kind="cpu",
        memory_bytes=memory_gib * 2**30,
        memory_bandwidth=gb_per_second * 1e9,
        peak_flops={precision: cores * ghz * 1e9 * each for precision, each in flops_per_cycle.items()},
        aliases=aliases,
        num_cores=cores,
        price_source="depends on the machine around it",
        source=f"{source}; peak = {cores} cores × {ghz} GHz × {dict(flops_per_cycle)} FLOPs per cycle",
    )


_NVIDIA = "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center"
_A100 = f"{_NVIDIA}/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
_HOPPER = (
    "NVIDIA H100 Tensor Core GPU data sheet and Hopper architecture white paper (dense = half of the sparse figures)"
)
_VOLTA = "NVIDIA V100 Tensor Core GPU data sheet (SXM2); no bfloat16, no TF32, no integer tensor cores"
_GA102 = "NVIDIA Ampere GA102 GPU architecture white paper v2, appendix A"
_M2_CLOCK = "Apple; GPU clock as measured by github.com/philipturner/metal-benchmarks"
_M3_CLOCK = "Apple; Apple publishes no GPU clock, the lowest reported one is taken (hmc-tech.com)"

_A100_TFLOPS = {"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312, "int8": 624, "int4": 1248}
_H100_TFLOPS = {"float32": 66.9, "tf32": 494.7, "bfloat16": 989.4, "float16": 989.4, "int8": 1978.9}
_V100_TFLOPS = {"float32": 15.7, "float16": 125}

# Prices on demand, for one GPU, as the providers' own pages listed them in that month (read from dated transcriptions of
# those pages). They move by tens of percent within months and differ by several times between providers.
_RUNPOD = "RunPod, Secure Cloud, on demand (runpod.io/pricing)"
_RUNPOD_COMMUNITY = "RunPod, Community Cloud: third parties' own cards (runpod.io/pricing)"
_LAMBDA = "Lambda, on demand (lambda.ai/pricing)"
_MODAL = "Modal, by the second (modal.com/pricing)"

DEVICES: tuple[Device, ...] = (
    _gpu(
        "A100 40GB SXM", "A100-SXM4-40GB",
        mib=40960, gb_per_second=1555, tflops=_A100_TFLOPS, usd=(1.99, _LAMBDA, "2026-09"), source=_A100,
    ),
    _gpu(
        "A100 80GB SXM", "A100-SXM4-80GB",
        mib=81920, gb_per_second=2039, tflops=_A100_TFLOPS, usd=(1.59, _RUNPOD, "2026-09"), source=_A100,
    ),
    _gpu(
        "A100 80GB PCIe", "A100-PCIE-80GB",
        mib=81920, gb_per_second=1935, tflops=_A100_TFLOPS, usd=(1.59, _RUNPOD, "2026-09"), source=_A100,
    ),
    _gpu(
        "A40", "A40 48GB",
        mib=46068, gb_per_second=696,
        tflops={"float32": 37.4, "tf32": 74.8, "bfloat16": 149.7, "float16": 149.7, "int8": 299.3, "int4": 598.7},
        usd=(0.44, _RUNPOD, "2026-08"), source="https://images.nvidia.cn/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf",
    ),
    _gpu(
        "H100 SXM", "H100 80GB SXM", "H100 80GB HBM3", "H100-SXM5-80GB",
        mib=81559, gb_per_second=3350, tflops=_H100_TFLOPS, usd=(3.49, _RUNPOD, "2026-09"), source=_HOPPER,
    ),
    _gpu(
        "H100 PCIe", "H100 80GB PCIe",
        mib=81559, gb_per_second=2000,
        tflops={"float32": 51.2, "tf32": 378, "bfloat16": 756.5, "float16": 756.5, "int8": 1513},
        usd=(2.89, _RUNPOD, "2026-09"), source=_HOPPER,
    ),
    _gpu(
        "H200", "H200 SXM", "H200 141GB",
        mib=143771, gb_per_second=4800, tflops=_H100_TFLOPS, usd=(4.59, _RUNPOD, "2026-09"),
        source="NVIDIA H200 Tensor Core GPU data sheet; computes as the H100 SXM does",
    ),
    _gpu(
        "B200", "B200 180GB",
        mib=183359, gb_per_second=8000,
        tflops={"float32": 80, "tf32": 1100, "bfloat16": 2250, "float16": 2250, "int8": 4500},
        usd=(6.79, _RUNPOD, "2026-09"), source="NVIDIA Blackwell architecture technical brief, HGX B200 at 1,000 W",
    ),
    _gpu(
        "L4", "L4 24GB",
        mib=23034, gb_per_second=300,
        tflops={"float32": 30.3, "tf32": 60, "bfloat16": 121, "float16": 121, "int8": 242.5},
        usd=(0.80, _MODAL, "2026-05"), source="NVIDIA L4 Tensor Core GPU data sheet (dense = half of the sparse figures)",
    ),
    _gpu(
        "L40S", "L40S 48GB",
        mib=46068, gb_per_second=864,
        tflops={"float32": 91.6, "tf32": 183, "bfloat16": 362.05, "float16": 362.05, "int8": 733},
        usd=(1.09, _RUNPOD, "2026-09"), source="NVIDIA L40S data sheet",
    ),
    _gpu(
        "T4", "Tesla T4", "T4 16GB",
        mib=15360, gb_per_second=320,
        tflops={"float32": 8.1, "float16": 65, "int8": 130, "int4": 260},
        usd=(0.59, _MODAL, "2026-05"), source=f"{_NVIDIA}/tesla-t4/t4-tensor-core-datasheet-951643.pdf; no bfloat16, no TF32",
    ),
    _gpu(
        "V100 16GB", "Tesla V100-SXM2-16GB",
        mib=16160, gb_per_second=900, tflops=_V100_TFLOPS,
        usd=(0.79, f"{_LAMBDA}, rented as eight", "2026-09"), source=_VOLTA,
    ),
    _gpu(
        "V100 32GB", "Tesla V100-SXM2-32GB",
        mib=32510, gb_per_second=900, tflops=_V100_TFLOPS, usd=None, source=_VOLTA,
    ),
    _gpu(
        "RTX 3060 12GB", "GeForce RTX 3060", "RTX 3060",
        mib=12288, gb_per_second=360,
        tflops={"float32": 12.7, "tf32": 12.7, "bfloat16": 25.5, "float16": 25.5, "int8": 101.9, "int4": 203.8},
        usd=None, source="GA106: 28 SMs at 1.777 GHz, with the rates per SM of the Ampere GA102 white paper",
    ),
    _gpu(
        "RTX 3090", "GeForce RTX 3090", "RTX 3090 24GB",
        mib=24576, gb_per_second=936,
        tflops={"float32": 35.6, "tf32": 35.6, "bfloat16": 71, "float16": 71, "int8": 284, "int4": 568},
        usd=(0.22, _RUNPOD_COMMUNITY, "2026-03"), source=_GA102,
    ),
    _gpu(
        "RTX 4090", "GeForce RTX 4090", "RTX 4090 24GB",
        mib=24564, gb_per_second=1008,
        tflops={"float32": 82.6, "tf32": 82.6, "bfloat16": 165.2, "float16": 165.2, "int8": 660.6, "int4": 1321.2},
        usd=(0.74, _RUNPOD, "2026-09"), source="NVIDIA Ada GPU architecture white paper v2, appendix A",
    ),
    _gpu(
        "RTX 5090", "GeForce RTX 5090", "RTX 5090 32GB",
        mib=32607, gb_per_second=1792,
        tflops={"float32": 104.8, "tf32": 104.8, "bfloat16": 209.5, "float16": 209.5, "int8": 838},
        usd=(0.69, _RUNPOD_COMMUNITY, "2026-03"), source="NVIDIA RTX Blackwell GPU architecture white paper, appendix A",
    ),
    _apple("M1", 16, 68.25, 8, 1.278, _M2_CLOCK),
    _apple("M1 Pro", 32, 200, 16, 1.296, _M2_CLOCK),
    _apple("M1 Max", 64, 400, 32, 1.296, _M2_CLOCK),
    _apple("M1 Ultra", 128, 800, 64, 1.296, _M2_CLOCK),
    _apple("M2", 24, 100, 10, 1.398, _M2_CLOCK),
    _apple("M2 Pro", 32, 200, 19, 1.398, _M2_CLOCK),
    _apple("M2 Max", 96, 400, 38, 1.398, _M2_CLOCK),
    _apple("M2 Ultra", 192, 800, 76, 1.398, _M2_CLOCK),
    _apple("M3", 24, 100, 10, 1.398, _M3_CLOCK),
    _apple("M3 Pro", 36, 150, 18, 1.398, _M3_CLOCK),
    _apple("M3 Max", 128, 400, 40, 1.398, _M3_CLOCK),
    _apple("M3 Ultra", 512, 819, 80, 1.398, _M3_CLOCK),
    _apple("M4", 32, 120, 10, 1.470, _M3_CLOCK),
    _apple("M4 Pro", 64, 273, 20, 1.470, _M3_CLOCK),
    _apple("M4 Max", 128, 546, 40, 1.470, _M3_CLOCK),
    _cpu(
        "cpu-2-cores-avx2",
        cores=2, ghz=2.5, flops_per_cycle={"float32": 32}, memory_gib=8, gb_per_second=25.6,
        source="a small virtual machine: two 256-bit FMA units a core; one channel of DDR4-3200",
    ),
    _cpu(
        "cpu-ryzen-5-4500u", "Ryzen 5 4500U",
        cores=6, ghz=2.3, flops_per_cycle={"float32": 32}, memory_gib=16, gb_per_second=51.2,
        source="the document's CPU (001_…): Zen 2 at its base clock, two 256-bit FMA units a core; two channels of DDR4-3200",
    ),
    _cpu(
        "cpu-8-cores-avx512",
        cores=8, ghz=2.5, flops_per_cycle={"float32": 64}, memory_gib=32, gb_per_second=51.2,
        source="two 512-bit FMA units a core, as in Xeon Scalable; two channels of DDR4-3200",
    ),
    _cpu(
        "cpu-epyc-64", "EPYC 9554",
        cores=64, ghz=3.1, flops_per_cycle={"float32": 32, "bfloat16": 64}, memory_gib=384, gb_per_second=460.8,
        source="AMD EPYC 9554 (Zen 4) at its base clock: 512-bit operations take both 256-bit units; 12 channels of DDR5-4800",
    ),
)  # fmt: skip


# Looking one up


def find_device(name: str, own: str | Path | Mapping[str, Any] | None = None) -> Device:
    """The device of that name: in the user's own rows first, then in the table; "this machine" is the one we run on.

    Case, blanks and hyphens do not count, "NVIDIA" may be left out, and a part is enough where only one device has it
    ("4090"). own: a YAML file of rows, or one row as a mapping. Raises `ConfigError` when several devices have that
    part ("A100"), `UnknownNameError` when none has.
    """
    mine = _own_rows(own)
    if _compact(name) in ("thismachine", "this", "here", "local", "cpu") and not _named(name, mine):
        return this_machine()
    if exact := _named(name, mine) or _named(name, DEVICES):
        return exact
    near = _with_part(name, mine) or _with_part(name, DEVICES)
    if len(near) > 1:
        listed = ", ".join(repr(device.name) for device in near)
        raise ConfigError(f"device {name!r} is not clear, several have that name: {listed}; write one of these")
    if not near:
        raise UnknownNameError("device", name, [THIS_MACHINE, *(device.name for device in (*mine, *DEVICES))])
    return near[0]


def read_devices(path: str | Path) -> tuple[Device, ...]:
    """A user's own rows: a YAML file with one row, or a list of rows; keys as in `Device`."""
    path = Path(path)
    try:
        rows = yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml)
    except FileNotFoundError as error:
        raise ConfigError(f"no device file at {path}; write one with name, kind, memory_bytes, …") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; a device file is YAML in UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if isinstance(rows, Mapping):
        return (Device.from_mapping(rows, source=str(path)),)
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: needs a row (a mapping) or a list of rows, got {type(rows).__name__}")
    return tuple(Device.from_mapping(row, source=f"{path}, row {i}") for i, row in enumerate(rows, start=1))


def _own_rows(own: str | Path | Mapping[str, Any] | None) -> tuple[Device, ...]:
    if own is None:
        return ()
    if isinstance(own, Mapping):
        return (Device.from_mapping(own, source="device"),)
    return read_devices(own)


def _named(name: str, rows: Iterable[Device]) -> Device | None:
    wanted = _compact(name)
    return next((d for d in rows if wanted in (_compact(known) for known in (d.name, *d.aliases))), None)


def _with_part(name: str, rows: Iterable[Device]) -> list[Device]:
    """The devices one of whose names has all words of `name`."""
    wanted = _words(name)
    return [d for d in rows if wanted and any(wanted <= _words(known) for known in (d.name, *d.aliases))]


def _compact(name: str) -> str:
    return "".join(re.findall(r"[^\W_]", name.casefold())).removeprefix("nvidia")


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", name.casefold())) - {"nvidia"}


# This machine

# Taken for a CPU that was never measured: a modest clock, the FLOPs per cycle its instructions allow, and a share of the
# memory bandwidth of two DDR4 channels. A calibration replaces them.
_ASSUMED_HERTZ = 2.5e9
_ASSUMED_BANDWIDTH_PER_CORE, _ASSUMED_BANDWIDTH_AT_MOST = 12e9, 40e9


def this_machine(path: str | Path | None = None) -> Device:
    """The machine we run on: its calibration where there is one that fits, else what the operating system says of it.

    Without a calibration the peak is assumed from the cores (see `source`); on a Mac the table's row is taken, with this
    machine's memory. A calibration of a CPU counts only where as many cores are free for us as when it was made: a home
    folder may be shared, a container may be smaller. path: of the calibration, as in `load_calibration`.
    """
    here = _apple_here() or _cpu_here()
    measured = load_calibration(path)
    if measured is None or (measured.kind == "cpu" and measured.num_cores != here.num_cores):
        return here
    return measured.with_changes(memory_bytes=here.memory_bytes) if measured.kind == "cpu" else measured


def calibration_path() -> Path:
    """Where this machine's calibration is kept: in $IAI_HOME, or the user's config folder ($XDG_CONFIG_HOME, ~/.config)."""
    if home := os.environ.get("IAI_HOME"):
        return Path(home) / "calibration.yaml"
    folder = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(folder) if folder else Path.home() / ".config") / "interconnected_ai" / "calibration.yaml"


def load_calibration(path: str | Path | None = None) -> Device | None:
    """The calibrated device that `save_calibration` stored; None where none was made.

    Raises `ConfigError` when the file is damaged or of another version.
    """
    path = Path(path) if path is not None else calibration_path()
    if not path.is_file():
        return None
    remedy = f"remove {path} and measure again with: iai plan --calibrate"
    try:
        device = Device.from_file(path)
    except ConfigError as error:
        raise ConfigError(f"the stored calibration cannot be read; {remedy}\n{error}") from error
    if device.calibration is None:
        raise ConfigError(f"{path} holds a device without a calibration; {remedy}")
    return device


def save_calibration(device: Device, path: str | Path | None = None) -> Path:
    """Store a calibrated device, whole or not at all; returns where. Raises `StorageError` when it cannot be written."""
    if device.calibration is None:
        raise ConfigError(f"{device.name!r} has no calibration to store; measure it first: iai plan --calibrate")
    path = Path(path) if path is not None else calibration_path()
    scratch: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # planner stands on the same floor as storage and may not import its atomic_file
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        scratch = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(device.to_yaml())
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        raise StorageError(
            f"could not write {path}: {error.strerror or error}; set IAI_HOME to a folder that can be written"
        ) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
    return path


def _cpu_here() -> Device:
    cores, flags = _num_cores(), _instruction_sets(Path("/proc/cpuinfo"))
    per_cycle = 32 if flags & {"avx2", "avx512f"} else 16  # two FMA units of 256 bits; else of 128, as NEON has
    rate = cores * _ASSUMED_HERTZ * per_cycle
    peak = {"float32": rate, **({"bfloat16": 2 * rate} if flags & {"avx512_bf16", "amx_bf16", "bf16"} else {})}
    return Device(
        name=THIS_MACHINE,
        kind="cpu",
        memory_bytes=_memory_bytes(),
        memory_bandwidth=min(_ASSUMED_BANDWIDTH_AT_MOST, cores * _ASSUMED_BANDWIDTH_PER_CORE),
        peak_flops=peak,
        num_cores=cores,
        price_source="a machine of your own",
        source=(
            f"assumed, not measured: {cores} cores × {_ASSUMED_HERTZ / 1e9} GHz × {per_cycle} FLOPs per cycle; "
            "measure it with: iai plan --calibrate"
        ),
    )


def _apple_here() -> Device | None:
    """The table's row for this Mac, with its memory; None elsewhere and for chips that the table lacks."""
    if platform.system() != "Darwin":
        return None
    row = _named(_sysctl("machdep.cpu.brand_string"), DEVICES)
    return row and row.with_changes(name=THIS_MACHINE, memory_bytes=_memory_bytes(), num_cores=_num_cores())


def _num_cores(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use: its affinity, and a container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _numbers(cgroups / "cpu.max")
    if not quota:
        quota = [*_numbers(cgroups / "cpu" / "cpu.cfs_quota_us"), *_numbers(cgroups / "cpu" / "cpu.cfs_period_us")]
    if len(quota) == 2 and min(quota) > 0:
        cores = min(cores, math.ceil(quota[0] / quota[1]))
    return max(1, cores)


def _memory_bytes(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory of this machine, or of the container we run in."""
    limits = [*_numbers(cgroups / "memory.max"), *_numbers(cgroups / "memory" / "memory.limit_in_bytes")]
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = int(_sysctl("hw.memsize") or 0)
    if physical <= 0:
        raise ConfigError("cannot tell how much memory this machine has; describe it in a YAML file and name that")
    return min([physical, *(limit for limit in limits if limit > 0)])


def _instruction_sets(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first core in /proc/cpuinfo ("Features" on ARM); empty where there is no such file."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def _numbers(path: Path) -> list[int]:
    """The whole numbers in a small file; none where it is missing or says "max"."""
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _sysctl(key: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
