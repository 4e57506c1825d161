"""`iai bench adapters`: what pretrained bases and adapters over them are held to, part by part, in one run."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.adapter_quickstart import STEPS, run_adapter_quickstart
from interconnected_ai.bench.adapter_serving import bench_adapter_serving
from interconnected_ai.bench.adapter_training import bench_adapter_training
from interconnected_ai.bench.base_generation import bench_base_generation
from interconnected_ai.bench.second_turn import bench_second_turn
from interconnected_ai.bench.timing import machine
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.experts import Expert

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """A part of the measurement. says: what it does. run: the base, repeats → its figures. goals: words and key of each."""

    says: str
    run: Callable[[str, int, Say], dict[str, Any]]
    goals: tuple[tuple[str, str], ...]


def _serving(base: str, repeats: int, say: Say) -> dict[str, Any]:
    return bench_adapter_serving(base, repeats=repeats)


def _generation(base: str, repeats: int, say: Say) -> dict[str, Any]:
    return bench_base_generation(base, repeats=repeats)


def _chat(base: str, repeats: int, say: Say) -> dict[str, Any]:
    with Expert.from_pretrained(base, engine="torch") as expert:
        return bench_second_turn(expert, repeats=repeats)


def _training(base: str, repeats: int, say: Say) -> dict[str, Any]:
    return bench_adapter_training(base, rounds=repeats)


def _quality(base: str, repeats: int, say: Say, *, steps: int = STEPS) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        return run_adapter_quickstart(Path(home) / "experts", base, steps=steps, say=say).to_dict()


PARTS: dict[str, Part] = {
    "serving": Part(
        "64 adapters in memory, switching, eight in one batch, PEFT beside",
        _serving,
        (
            ("64 adapters: resident bytes over those of their matrices (goal ≤ 1.1)", "bytes_64_over_sum"),
            ("switching to another adapter, ms (goal ≤ 5)", "switch_ms"),
            ("8 rows of 8 adapters over 8 rows of one, time (goal ≤ 1.3)", "mixed_over_single"),
            ("  the same of PEFT", "peft_mixed_over_single"),
            ("  our speed over PEFT's, mixed", "over_peft_mixed"),
            ("  tokens that each row also has alone, share", "same_tokens"),
            ("an adapter from its folder for one request, ms", "reload_ms"),
            ("  the same of PEFT", "peft_reload_ms"),
        ),
    ),
    "generation": Part(
        "one row of the base beside llama.cpp's own server and transformers",
        _generation,
        (
            ("our best engine over llama.cpp's server (goal ≥ 0.95)", "over_llamacpp"),
            ("our best engine over transformers (goal ≥ 4)", "over_hf"),
            ("  the engine torch over transformers", "torch_over_hf"),
            ("  torch, share of what memory allows (goal ≥ 0.75)", "torch_of_roofline"),
            ("  the same of PyTorch's calls, without the compiled step", "torch_calls_of_roofline"),
        ),
    ),
    "chat": Part(
        "the second turn of a chat with 1,000 tokens of history",
        _chat,
        (("second turn's time to the first token over the first's (goal ≤ 0.1)", "second_turn_share"),),
    ),
    "training": Part(
        "training an adapter beside PEFT and transformers",
        _training,
        (
            ("training: tokens per second over PEFT's (goal ≥ 1.2)", "train_over_peft"),
            ("  peak memory over PEFT's (goal ≤ 0.8)", "train_memory_over_peft"),
        ),
    ),
    "quality": Part(
        "three adapters of the quickstart beside the base and experts from nothing (12 minutes)",
        _quality,
        (
            ("bits per byte over the base's own (goal ≤ 0.80)", "adapted_over_base_bpb"),
            ("  over the expert from nothing (goal ≤ 0.75)", "adapted_over_scratch_bpb"),
            ("  each best on its own domain", "own_is_best"),
        ),
    ),
}


def bench_adapters(
    base: str = "smollm2", *, repeats: int = 5, parts: Sequence[str] = (), say: Say = print
) -> dict[str, Any]:
    """The figures of these parts, all of them if none is named: a mapping for each, and the keys of `goals` beside them."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise UnknownNameError("part", unknown[0], PARTS)
    found: dict[str, Any] = {"machine": machine(), "base": base}
    for name in parts or PARTS:
        say(f"{name}: {PARTS[name].says} …")
        figures = PARTS[name].run(base, repeats, say)
        found |= {name: figures} | {key: figures[key] for _, key in PARTS[name].goals}
    return found


def goals_of(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Words and key of every figure that is there; None is a comparison that could not be made."""
    return [goal for part in PARTS.values() for goal in part.goals if found.get(goal[1]) is not None]
