"""The planner against this machine: predicted and measured, step time and peak memory, in one run."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from interconnected_ai.bench.calibration import calibrate
from interconnected_ai.bench.cases import Case, measured, predicted
from interconnected_ai.bench.timing import machine
from interconnected_ai.planner import Device

# Plain figures for a peak: a measured one should lie between these shares of the predicted.
MEMORY_RANGE = (0.75, 1.2)

CASES: tuple[Case, ...] = (
    Case("8 experts, d_ff 384", {"d_ff": 384}),
    Case("8 experts, d_ff 1536", {"d_ff": 1536}),
    Case("32 experts, top-4", {"num_experts": 32, "top_k": 4, "d_ff": 384}),
    Case("64 experts, d_ff 768", {"num_experts": 64, "d_ff": 768}, batch=128),
    Case("dense twin of 8 × 384", {"ffn": "dense", "d_ff": 5209}),
    Case("long texts", {"d_ff": 768}, batch=32, tokens=200),
    Case("bfloat16", {"d_ff": 1536}, precision="bfloat16"),
    Case("no cache", {"d_ff": 384}, cached=False),
    Case("encoder LoRA", {"d_ff": 384, "encoder_lora_rank": 16}, batch=32, cached=False),
    Case("50 branches", {"d_ff": 384, "branches": [{"name": f"b{i}", "num_classes": 50} for i in range(50)]}),
    Case("answers, 64 texts", {"d_ff": 1536}, trains=False),
    Case("answers, 256 long texts", {"d_ff": 768}, batch=256, tokens=128, trains=False),
)


def bench_plan(*, repeats: int = 7, device: Device | None = None, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Rows of predicted and measured, and the keys of `iai bench plan --json`.

    device: a calibrated row; None calibrates this machine first. Every case runs in a process of its own, whose peak is
    read from the system: what it took above a process that has done one tiny step.
    """
    device = device or calibrate(say=say)
    rows = []
    for case in CASES:
        say(f"{case.name} …")
        rows.append(_row(case, predicted(case, device), measured(case, repeats)))
    time_errors, memory_errors = ([abs(row[key]) for row in rows] for key in ("time_error", "memory_error"))
    inside = [row[key] for row in rows for key in ("time_in_range", "memory_in_range")]
    return {
        "machine": machine(),
        "device": device.to_dict(),
        "rows": rows,
        "time_median_abs_error": median(time_errors),
        "memory_median_abs_error": median(memory_errors),
        "range_coverage": sum(inside) / len(inside),
    }


def _row(case: Case, plan: Mapping[str, float], found: Mapping[str, float]) -> dict[str, Any]:
    low, high = MEMORY_RANGE
    return {
        "case": case.name,
        "predicted_seconds": plan["seconds"],
        "low_seconds": plan["low"],
        "high_seconds": plan["high"],
        "measured_seconds": found["seconds"],
        "time_error": plan["seconds"] / found["seconds"] - 1,
        "time_in_range": plan["low"] <= found["seconds"] <= plan["high"],
        "predicted_bytes": plan["bytes"],
        "measured_bytes": found["bytes"],
        "memory_error": plan["bytes"] / found["bytes"] - 1,
        "memory_in_range": low * plan["bytes"] <= found["bytes"] <= high * plan["bytes"],
    }
