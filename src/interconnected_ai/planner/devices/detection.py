"""The machine we run on: its calibration, or what the operating system says of it."""

import math
import os
import platform
import re
import subprocess
from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.devices.calibration import load_calibration
from interconnected_ai.planner.devices.device import Device
from interconnected_ai.planner.devices.names import named
from interconnected_ai.planner.devices.table import DEVICES

THIS_MACHINE = "this machine"

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
            "measure it with: iai plan calibrate"
        ),
    )


def _apple_here() -> Device | None:
    """The table's row for this Mac, with its memory; None elsewhere and for chips that the table lacks."""
    if platform.system() != "Darwin":
        return None
    row = named(_sysctl("machdep.cpu.brand_string"), DEVICES)
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
