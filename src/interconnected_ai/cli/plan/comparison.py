"""A plan of a branches system as a table and sentences, or as plain values; and what is made of it."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.output import Output
from interconnected_ai.cli.units import spoken_bytes, spoken_count, spoken_seconds
from interconnected_ai.config import RunConfig, settings_in

if TYPE_CHECKING:
    from interconnected_ai.planner import Plan, PlanRequest, Range, Way


def deliver(found: "Plan", output: Output, *, source: Path | None, write: Path | None, data: Sequence[str],
            plot: Path | None) -> None:  # fmt: skip
    """Show the plan; write the config and draw the picture that were asked for; then the result as JSON."""
    show(found, output)
    made = {}
    if write:
        made["written"] = str(_write(found.request, write, source, data))
        output.say(f"Wrote {made['written']}; train it with: iai train {shlex.quote(made['written'])}")
    if plot:
        from interconnected_ai.planner import draw_plan

        made["plot"] = str(draw_plan(found, plot))
        output.say(f"Drew {made['plot']}")
    output.result({**plan_json(found), **made})


def show(found: "Plan", output: Output) -> None:
    """The figures as a table, the recommendation with its reasons, what does not fit, and what the times rest on."""
    columns = ["", *(_TITLES[way.name] for way in found.ways)]
    output.table(
        f"{len(found.request.system.branches)} branches on {found.device.name}, {found.precision}",
        columns,
        [(name, *(figure(way) for way in found.ways)) for name, figure in _FIGURES],
    )
    retraining = found.retraining_seconds
    output.say(
        f"One more branch: {spoken_seconds(found.way('added branch').run_seconds)} against {spoken_seconds(retraining)} for "
        f"training everything again with it ({found.added_over_retraining:.1%}).",
        "",
        f"Recommended: {found.recommendation.choice}.",
        *(f"  {'+' if r.speaks_for else '·'} {r.text}" + _for(r.speaks_for) for r in found.recommendation.reasons),
    )
    if found.recommendation.disagreements:
        output.say(
            "Where the document and the figures part:", *(f"  - {d}" for d in found.recommendation.disagreements)
        )
    for way in found.ways:
        if way.remedy:
            output.say(f"{_TITLES[way.name]} does not fit for training; nearest change that does: {way.remedy}")
    output.say("", f"Times: {found.assumption.text}.", *(f"Note: {note}." for note in found.notes))
    if not found.assumption.measured and found.request.device == "this machine":
        output.say("Measure this machine for better figures: iai plan calibrate")


def _for(choice: str | None) -> str:
    return f"  → {choice}" if choice else ""


_TITLES = {"dense": "dense", "moe": "MoE", "added branch": "adding a branch"}
_FIGURES: tuple[tuple[str, Callable[["Way"], str]], ...] = (
    ("parameters", lambda way: f"{way.num_params:,}"),
    ("  trained", lambda way: f"{way.num_trainable_params:,}"),
    ("  active per token", lambda way: f"{way.num_active_params:,}"),
    ("  shared by all branches", lambda way: f"{way.num_shared_params:,}"),
    ("  per branch", lambda way: f"{way.num_params_per_branch:,}"),
    ("FLOPs per token, forward", lambda way: spoken_count(way.forward_flops_per_token)),
    ("FLOPs per training step", lambda way: spoken_count(way.step_training_flops)),
    ("weights, float32", lambda way: spoken_bytes(way.weights_bytes["float32"])),
    ("weights, bfloat16", lambda way: spoken_bytes(way.weights_bytes["bfloat16"])),
    (
        "weights, int8 / int4",
        lambda way: f"{spoken_bytes(way.weights_bytes['int8'])} / {spoken_bytes(way.weights_bytes['int4'])}",
    ),
    ("gradients + optimiser", lambda way: spoken_bytes(way.training.gradients_bytes + way.training.optimizer_bytes)),
    ("activations", lambda way: spoken_bytes(way.training.activations_bytes)),
    ("  with checkpointing", lambda way: spoken_bytes(way.checkpointed.activations_bytes)),
    (
        "peak, training",
        lambda way: spoken_bytes(way.training.peak_bytes) + ("" if way.fits_training else " (does not fit)"),
    ),
    (
        "peak, answering",
        lambda way: spoken_bytes(way.inference.peak_bytes) + ("" if way.fits_inference else " (does not fit)"),
    ),
    ("feature cache on disk", lambda way: spoken_bytes(way.feature_cache_bytes)),
    ("a training step", lambda way: f"{spoken_seconds(way.step_seconds)}, {way.step_bound_by}"),
    ("the whole training", lambda way: spoken_seconds(way.run_seconds)),
    ("an answer", lambda way: f"{spoken_seconds(way.latency_seconds)}, {way.latency_bound_by}"),
    ("USD", lambda way: _usd(way.usd)),
)


def _usd(found: "Range | None") -> str:
    return "no price" if found is None else f"{found.expected:,.2f} ({found.low:,.2f}–{found.high:,.2f})"


def plan_json(found: "Plan") -> dict[str, Any]:
    """The plan as plain values: bytes, seconds, FLOPs, USD."""
    return {
        "request": found.request.to_dict(),
        "device": found.device.to_dict(),
        "precision": found.precision,
        "assumption": asdict(found.assumption),
        "ways": [{**asdict(way), "num_params": way.num_params} for way in found.ways],
        "retraining_seconds": asdict(found.retraining_seconds),
        "added_over_retraining": found.added_over_retraining,
        "first_steps": asdict(found.first_steps),
        "recommendation": {**asdict(found.recommendation), "score": found.recommendation.score},
        "notes": list(found.notes),
    }


def _write(request: "PlanRequest", target: Path, source: Path | None, data: Sequence[str]) -> Path:
    """A run's config: the request's system and training; data from --data, the source's config, or files to be made."""
    branches = [{"name": spec.name, "path": f"{spec.name}.csv"} for spec in request.system.branches]
    content: dict[str, Any] = {"output": f"runs/{target.stem}", "data": {"branches": branches}}
    if source is not None:
        kept = source / "run.yaml" if source.is_dir() else source
        given = RunConfig.from_file(kept).to_dict() if _is_run(kept) else {}
        content.update({key: given[key] for key in ("output", "data") if key in given})
    if data:
        named = [item.partition("=") for item in data]
        if wrong := [item for item, (_, separator, path) in zip(data, named, strict=True) if not separator or not path]:
            raise click.UsageError(f"--data {wrong[0]}: needs BRANCH=FILE")
        content["data"] = {"branches": [{"name": name, "path": path} for name, _, path in named]}
    # Labels come from the data: a head's classes are named there.
    content["system"] = {**request.system.to_dict(), "branches": []}
    content["training"] = request.training.to_dict()
    from interconnected_ai.storage import atomic_file

    text = RunConfig.from_mapping(content, source="--write").to_yaml()
    with atomic_file(target) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return target


def _is_run(path: Path) -> bool:
    return path.is_file() and "data" in (settings_in(path) or {})
