"""Memory: what a training will ask for by the planner's count, and what this machine has free."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.config import SystemConfig, TrainingConfig, readings_of_a_row
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner import SystemShape, encoder_shape, training_memory
from interconnected_ai.training import choose


@dataclass(frozen=True)
class Demand:
    """What a training asks of a device at its peak, beside what the device has."""

    peak_bytes: int
    free_bytes: int
    total_bytes: int
    rows_at_once: int
    tokens_per_text: int
    device: str

    @property
    def words(self) -> str:
        """The figures in a sentence."""
        asked = (
            f"{size_in_words(self.peak_bytes)} for {self.rows_at_once} rows of {self.tokens_per_text} tokens at once"
        )
        has = f"{size_in_words(self.free_bytes)} of {size_in_words(self.total_bytes)}"
        return f"a peak of {asked}; {self.device} has {has} free"


def shape_of(
    system: SystemConfig,
    num_classes: Mapping[str, int],
    encoder_config: Mapping[str, Any] | None = None,
    *,
    encoder_settled: bool = False,
) -> SystemShape | None:
    """The planner's view of a system; None where it does not know the encoder.

    num_classes: of the branches that the config does not name. encoder_config: of an encoder that is loaded already.
    encoder_settled: its LoRA learns before the joint training.
    """
    counts = {**num_classes, **{spec.name: spec.num_classes for spec in system.branches}}
    branches = [{"name": name, "num_classes": count} for name, count in counts.items()]
    try:
        encoder = encoder_shape(system.base_model_name, config=encoder_config)
        return SystemShape.of(system.with_changes(branches=branches), encoder=encoder, encoder_settled=encoder_settled)
    except (ConfigError, UnknownNameError):
        return None


def training_demand(training: TrainingConfig, shape: SystemShape, tokens_per_text: int) -> Demand | None:
    """By the planner's count, for the device and precision that the config chooses here; None where it lacks the device."""
    try:
        choice = choose(training.device, training.precision)
    except ConfigError:
        return None
    parts = training.accumulation_steps * int(os.environ.get("WORLD_SIZE", "1"))
    rows = max(1, training.batch_size // parts)
    precision = str(choice.dtype).removeprefix("torch.")
    free, total = device_memory(choice.device)
    peak = training_memory(
        shape,
        batch=rows,
        tokens_per_text=tokens_per_text,
        precision=precision,
        first_readings=readings_of_a_row(training),
    ).peak_bytes
    return Demand(peak, free, total, rows, tokens_per_text, str(choice.device))


def smaller_parts(training: TrainingConfig, shape: SystemShape | None, tokens_per_text: int) -> dict[str, Any]:
    """Settings with which the same training takes less: the batch in more parts, and a smaller system if that is not enough."""
    possible = [
        n for n in range(2 * training.accumulation_steps, training.batch_size + 1) if training.batch_size % n == 0
    ]
    for parts in possible:
        if shape is None:  # without a count, that it takes less is all that can be said
            return {"training.accumulation_steps": parts}
        demand = training_demand(training.with_changes(accumulation_steps=parts), shape, tokens_per_text)
        if demand is None or demand.peak_bytes <= limit.MEMORY.value * demand.free_bytes:
            return {"training.accumulation_steps": parts}
    changes: dict[str, Any] = {"training.accumulation_steps": possible[-1]} if possible else {}
    return {**changes, **_smaller_system(shape.config if shape else SystemConfig())}


def _smaller_system(system: SystemConfig) -> dict[str, Any]:
    fewest = max(2, system.top_k)
    if system.num_moe_layers > 1:
        return {"system.num_moe_layers": system.num_moe_layers // 2}
    if system.ffn == "moe" and system.num_experts > fewest:
        return {"system.num_experts": max(fewest, system.num_experts // 2)}
    return {"system.max_seq_len": max(2, system.max_seq_len // 2)}


def device_memory(device: torch.device) -> tuple[int, int]:
    """(free, total) bytes of a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    free, total = main_memory()
    if device.type == "mps":
        most = torch.mps.recommended_max_memory()
        return min(free, most - torch.mps.current_allocated_memory()), most
    return free, total


def main_memory(proc: Path = Path("/proc/meminfo"), cgroups: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """(free, total) bytes of main memory now, within a container's limit where there is one.

    Where the system does not say what is free (it does on Linux), all of it is taken for free.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = 1024 * _figures(proc).get("MemAvailable:", total // 1024)
    for limit_file, used_file, stat_file, idle in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        most, used = _number(cgroups / limit_file), _number(cgroups / used_file)
        if most is not None and used is not None and most < total:
            cached = _figures(cgroups / stat_file).get(idle, 0)  # file pages that are given back when they are wanted
            total, free = most, min(free, most - used + cached)
    return max(0, free), total


def size_in_words(num_bytes: int) -> str:
    """1,230,000,000 → 1.23 GB"""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _number(path: Path) -> int | None:
    """The number in a file of the kernel's; None where there is none ("max" is no number)."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _figures(path: Path) -> dict[str, int]:
    """The first number after each name."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
