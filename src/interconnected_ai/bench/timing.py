"""Timing that survives a noisy machine: contestants take turns in one process, and medians are compared."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of the repeats of one contestant, the first ones not counted."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest over fastest: how noisy the machine was."""
        return max(self.seconds) / min(self.seconds)


def take_turns(contestants: Mapping[str, Callable[[], object]], repeats: int, *, warmup: int = 1) -> dict[str, Timing]:
    """Run every contestant once per round, so that a slow spell of the machine hits all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warmup + repeats):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()
