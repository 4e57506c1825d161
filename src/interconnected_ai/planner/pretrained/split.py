"""A pretrained model over several devices: by experts, or by FSDP, and which of them to take."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.pretrained.memory import TrainingWay, in_gb, size_ways
from interconnected_ai.planner.pretrained.model import PretrainedMoE

MOST_DEVICES = 1024


@dataclass(frozen=True)
class Split:
    """A model on several devices. traffic_bytes: what each device sends in one step."""

    kind: Literal["expert parallelism", "fsdp"]
    num_devices: int
    bytes_per_device: int
    traffic_bytes: int
    fits: bool

    def __str__(self) -> str:
        """The split in words."""
        if self.num_devices == 1:
            return f"one device ({in_gb(self.bytes_per_device)})"
        name = "FSDP" if self.kind == "fsdp" else self.kind
        return f"{name} over {self.num_devices} devices ({in_gb(self.bytes_per_device)} each)"


@dataclass(frozen=True)
class SplitPlan:
    """The rows for 1..N devices, the one to take (None when nothing fits) and the reason in words."""

    way: TrainingWay
    device_memory_bytes: int
    rows: tuple[Split, ...]
    best: Split | None
    advice: str


def _splits(model: PretrainedMoE, way: TrainingWay, memory: int, devices: Iterable[int]) -> Iterator[Split]:
    """For each number of devices expert parallelism, where it divides the experts, and FSDP."""
    rest = way.total_bytes - way.expert_bytes
    sent = way.load.tokens * model.top_k * model.d_model * way.load.each * 2 * model.num_moe_layers * way.num_passes
    gathers = way.weights_bytes * min(way.num_passes, 2) + way.gradient_bytes
    for n in devices:
        away = (n - 1) / n
        if model.num_experts % n == 0:
            held = rest + -(-way.expert_bytes // n)
            yield Split("expert parallelism", n, held, round(sent * away), held <= memory)
        if n > 1:
            held = way.total_bytes - way.state_bytes + -(-way.state_bytes // n) + way.gathered_bytes
            yield Split("fsdp", n, held, round(gathers * away), held <= memory)


def _best(rows: Iterable[Split]) -> Split | None:
    """The lowest expert parallelism that fits, else the smallest FSDP."""
    fitting = [row for row in rows if row.fits]
    return min(fitting, key=lambda row: (row.kind == "fsdp", row.num_devices), default=None)


def _reason(way: TrainingWay, best: Split, rows: tuple[Split, ...]) -> str:
    """Why to take this split."""
    if best.num_devices == 1:
        return f"{best} holds it: every split would only add traffic"
    if best.kind == "fsdp":
        rest = way.total_bytes - way.expert_bytes
        return f"{best}: no expert parallelism fits, as what it leaves undivided takes {in_gb(rest)} on each device"
    more = [row for row in rows if row.kind == best.kind and row.num_devices > best.num_devices]
    grows = f", over {more[0].num_devices} devices {in_gb(more[0].traffic_bytes)}" if more else ""
    return (
        f"{best} is the lowest that fits, and all-to-all traffic grows with it: "
        f"each device sends {in_gb(best.traffic_bytes)} a step{grows}"
    )


_UNTIL_QLORA = ("full", "lora with experts", "lora")

_ONE_OR_NONE = ("inference", "single-expert lora", "router-only")

# What to try instead, nearest first: in words, for which ways, the way to take (None for the same), changes to its load.
_CHANGES: tuple[tuple[str, tuple[str, ...], str | None, dict[str, Any]], ...] = (
    ("gradient checkpointing", (*_UNTIL_QLORA, *_ONE_OR_NONE, "qlora"), None, {"checkpointing": True}),
    ("batch 1", (*_UNTIL_QLORA, *_ONE_OR_NONE, "qlora"), None, {"batch": 1}),
    ("int8 weights, experts too", _ONE_OR_NONE, None, {"precision": "int8"}),
    ("int4 weights, experts too", _ONE_OR_NONE, None, {"precision": "int4"}),
    ("lora", ("full", "lora with experts"), "lora", {}),
    ("qlora", _UNTIL_QLORA, "qlora", {}),
    ("qlora with 4-bit experts", (*_UNTIL_QLORA, "qlora"), "qlora with 4-bit experts", {}),
    ("int4 weights, experts too, and batch 1", _ONE_OR_NONE, None, {"precision": "int4", "batch": 1}),
    ("qlora with 4-bit experts and batch 1", (*_UNTIL_QLORA, "qlora"), "qlora with 4-bit experts", {"batch": 1}),
)


def _changed(model: PretrainedMoE, way: TrainingWay) -> Iterator[tuple[str, TrainingWay]]:
    """Ways that take less, the one most like this first, and the change in words."""
    for words, names, name, changes in _CHANGES:
        if way.name in names:
            ways = size_ways(model, **{**vars(way.load), **changes})
            other = next(candidate for candidate in ways if candidate.name == (name or way.name))
            if other.total_bytes < way.total_bytes:
                yield words, other


def _nearest_change(model: PretrainedMoE, way: TrainingWay, memory: int, max_devices: int) -> str:
    """What does not fit, the nearest change that does, and how many devices would do without it."""
    least = min(_splits(model, way, memory, range(1, max_devices + 1)), key=lambda row: row.bytes_per_device)
    lines = [f"nothing fits {in_gb(memory)}: {way.name} takes at least {least}"]
    for words, other in _changed(model, way):
        best = _best(_splits(model, other, memory, range(1, max_devices + 1)))
        if best:
            lines.append(f"nearest change that fits: {words} on {best}")
            break
    enough = next(
        (row for row in _splits(model, way, memory, range(max_devices + 1, MOST_DEVICES + 1)) if row.fits), None
    )
    lines += [f"{'or ' if len(lines) > 1 else ''}more devices: {enough}"] if enough else []
    lines += ["no change tried here fits: take devices with more memory"] if len(lines) == 1 else []
    return "; ".join(lines)


def split_over(model: PretrainedMoE, way: TrainingWay, device_memory_bytes: int, max_devices: int) -> SplitPlan:
    """How 1..`max_devices` devices of that memory share the model in this way, and which split to take.

    Expert parallelism over n devices (n divides num_experts): routed experts / n, everything else on each. FSDP: weights,
    gradients and states / n, and `gathered_bytes` more. Each device has its own `batch` in both: activations and cache are not
    divided.

    Taken is the lowest expert parallelism that fits, because its traffic grows with n: a token is sent to its experts and
    back, 2 · top_k · d_model numbers in each MoE layer and pass, of which (n - 1) / n leave the device. Without one, the
    smallest FSDP; without that, `advice` names the nearest change that fits. device_memory_bytes: what is free for the model.
    """
    require_count("device_memory_bytes", device_memory_bytes)
    require_count("max_devices", max_devices)
    if max_devices > MOST_DEVICES:
        raise ConfigError(f"max_devices = {max_devices}: needs {MOST_DEVICES} or fewer")
    rows = tuple(_splits(model, way, device_memory_bytes, range(1, max_devices + 1)))
    best = _best(rows)
    advice = _reason(way, best, rows) if best else _nearest_change(model, way, device_memory_bytes, max_devices)
    return SplitPlan(way, device_memory_bytes, rows, best, advice)
