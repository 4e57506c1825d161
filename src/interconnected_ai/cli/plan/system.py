"""`iai plan`: a branches system, dense, MoE and one more branch side by side. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.units import spoken_bytes, spoken_count, spoken_seconds
from interconnected_ai.errors import ConfigError

if TYPE_CHECKING:
    from interconnected_ai.planner import Plan, PlanRequest, Range, Way


@click.command(
    "system",
    epilog="Also: iai plan expert, iai plan pool, iai plan surgery (each with --help).",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("source", required=False, type=click.Path(path_type=Path), metavar="[CONFIG|RUN]")
@click.option("--branches", type=click.IntRange(min=1), help="How many branches.  [default: 3]")
@click.option("--classes", help="Classes of each branch: one number, or one for each branch (100,50,80).")
@click.option("--encoder", help="Hub id, or a folder or file with its config.json. Default: the embedded encoder.")
@click.option("--experts", type=int, help="FFN experts in an MoE layer.")
@click.option("--top-k", type=int, help="FFN experts per token.")
@click.option("--layers", type=int, help="MoE layers.")
@click.option("--d-ff", type=int, help="Hidden size of one FFN expert.")
@click.option("--lora-rank", type=int, help="Rank of the branches' adapters.")
@click.option(
    "--encoder-lora-rank", type=int, help="Rank of the LoRA that all branches share in the encoder; 0 is none."
)
@click.option("--pooling", type=click.Choice(["mean", "cls", "attention"]), help="How token vectors become one.")
@click.option("--max-seq-len", type=int, help="Tokens at which texts are cut.")
@click.option("--tokens", type=int, help="Mean tokens of a text.  [default: --max-seq-len]")
@click.option("--rows", type=int, help="Training rows of all branches together.")
@click.option("--batch-size", type=int, help="Rows in an optimiser step.")
@click.option("--epochs", type=int, help="Passes over the rows.")
@click.option("--precision", help="float32, bfloat16 or float16.  [default: what the device is best at]")
@click.option("--device", help='A name of the device table, or "this machine".')
@click.option("--devices", type=click.Path(path_type=Path), help="A YAML file with device rows of your own.")
@click.option("--num-devices", type=int, help="Devices that share a batch.")
@click.option("--memory-gb", type=float, help="Memory to stay within, in place of the device's.")
@click.option("--requests", type=int, help="Texts answered at once.")
@click.option("--add-classes", type=int, help="Classes of the branch that is added later.")
@click.option("--add-rows", type=int, help="Its training rows.")
@click.option("--growth", type=int, help="Branches you expect to add in a year.")
@click.option("--accuracy", type=float, help="The accuracy you cannot go below, as a share of 1.")
@click.option("--budget", type=float, help="USD for the training.")
@click.option("--fit", is_flag=True, help="Search the largest system within memory and budget.")
@click.option("--write", type=click.Path(path_type=Path), help="Write a config for `iai train`.")
@click.option("--data", multiple=True, metavar="BRANCH=FILE", help="Data of a branch, for --write; repeat for several.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the comparison (.png, .svg or .html).")
@click.option(
    "--explain", metavar="NAME", help="What a hyperparameter does, its default and what happens at both ends."
)
@click.option("--language", type=click.Choice(["en", "ru"]), default="en", show_default=True, help="Of --explain.")
@click.option("--preset", type=click.Choice(["document"]), help="The document's table: claimed and computed.")
@click.option("--calibrate", is_flag=True, help="Measure this machine (under a minute) and keep the figures for plans.")
@with_output
def system(source: Path | None, output: Output, **flags: Any) -> None:
    """What a branches system takes: dense, MoE and adding one branch, side by side.

    From flags, from a CONFIG (a plan's or a run's, YAML or JSON), or from the folder of a RUN; flags win.
    """
    if flags["explain"]:
        return _explain(flags["explain"], flags["language"], output)
    if flags["preset"]:
        return _document(output)
    if flags["calibrate"]:
        return _calibrate(output)
    from interconnected_ai.planner import PlanRequest, largest_fit, plan, request_from

    changes = _changes(flags)
    content: dict[str, Any] = {}
    if source is not None:
        content = request_from(source, **_flat(changes)).to_dict()
    request = PlanRequest.from_mapping(_merged(content, changes, with_branches=source is None), source="plan")
    found = (
        largest_fit(request, devices=flags["devices"]).plan if flags["fit"] else plan(request, devices=flags["devices"])
    )
    _show(found, output)
    written = {}
    if flags["write"]:
        written["written"] = str(_write(found.request, flags["write"], source, flags["data"]))
        output.say(f"Wrote {written['written']}; train it with: iai train {written['written']}")
    if flags["plot"]:
        from interconnected_ai.planner.picture import draw

        written["plot"] = str(draw(found, flags["plot"]))
        output.say(f"Drew {written['plot']}")
    return output.result({**plan_json(found), **written})


def _changes(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, as settings of a `PlanRequest`."""
    places = {
        "encoder": ("system", "base_model_name"),
        "experts": ("system", "num_experts"),
        "top_k": ("system", "top_k"),
        "layers": ("system", "num_moe_layers"),
        "d_ff": ("system", "d_ff"),
        "lora_rank": ("system", "lora_rank"),
        "encoder_lora_rank": ("system", "encoder_lora_rank"),
        "pooling": ("system", "pooling"),
        "max_seq_len": ("system", "max_seq_len"),
        "batch_size": ("training", "batch_size"),
        "epochs": ("training", "epochs"),
        "add_classes": ("added", "num_classes"),
        "add_rows": ("added", "num_rows"),
    }
    same = {
        "tokens": "tokens_per_text",
        "rows": "num_rows",
        "precision": "precision",
        "device": "device",
        "num_devices": "num_devices",
        "requests": "requests_per_batch",
        "growth": "added_branches",
        "accuracy": "accuracy_floor",
        "budget": "budget_usd",
    }
    out: dict[str, Any] = {"system": {}, "training": {}, "added": {}}
    for flag, (section, key) in places.items():
        if flags[flag] is not None:
            out[section][key] = flags[flag]
    for flag, key in same.items():
        if flags[flag] is not None:
            out[key] = flags[flag]
    if flags["memory_gb"] is not None:
        if flags["memory_gb"] <= 0:
            raise click.UsageError(f"--memory-gb {flags['memory_gb']}: needs more than 0")
        out["memory_bytes"] = round(flags["memory_gb"] * 1e9)
    if flags["branches"] is not None or flags["classes"] is not None:
        out["system"]["branches"] = _branches(flags["branches"], flags["classes"])
    return out


def _branches(number: int | None, classes: str | None) -> list[dict[str, Any]]:
    try:
        sizes = [int(part) for part in classes.split(",")] if classes else []
    except ValueError as error:
        raise click.UsageError(
            f"--classes {classes}: needs a whole number, or one for each branch (100,50,80)"
        ) from error
    number = number or (len(sizes) if len(sizes) > 1 else 3)
    if not sizes:
        from interconnected_ai.config import document_branches

        return [{"name": spec.name, "num_classes": spec.num_classes} for spec in document_branches(number)]
    if len(sizes) not in (1, number):
        raise click.UsageError(
            f"--classes {classes}: {len(sizes)} numbers for {number} branches; give one, or {number}"
        )
    sizes = sizes * number if len(sizes) == 1 else sizes
    return [{"name": f"branch-{i}", "num_classes": size} for i, size in enumerate(sizes, start=1)]


def _flat(changes: dict[str, Any]) -> dict[str, Any]:
    """What `request_from` may be told: a run's config without classes needs them from the flags."""
    return {"system": changes["system"]} if "branches" in changes["system"] else {}


def _merged(content: dict[str, Any], changes: dict[str, Any], *, with_branches: bool) -> dict[str, Any]:
    merged = {**content, **{k: v for k, v in changes.items() if k not in ("system", "training", "added")}}
    for section in ("system", "training", "added"):
        merged[section] = {**content.get(section, {}), **changes[section]}
    if with_branches and "branches" not in merged["system"]:
        merged["system"]["branches"] = _branches(None, None)
    return merged


# What is shown


def _show(found: "Plan", output: Output) -> None:
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
        output.say("Measure this machine for better figures: iai plan --calibrate")


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
        "recommendation": {**asdict(found.recommendation), "score": found.recommendation.score},
        "notes": list(found.notes),
    }


# What else `iai plan` does


def _explain(name: str, language: str, output: Output) -> None:
    from interconnected_ai.planner.hyperparameters import explain

    found = explain(name)
    output.say(f"{found.section}.{found.name}", f"  {found.does.in_language(language)}")
    words = {
        "en": ("default", "the document's", "at", "source"),
        "ru": ("по умолчанию", "в документе", "при", "источник"),
    }
    default, documents, at, source = words[language]
    meaning = f" ({found.default_means.in_language(language)})" if found.default_means else ""
    output.say(f"  {default}: {found.default}{meaning}")
    if found.document_default is not None:
        differs = f" ({found.differs.in_language(language)})" if found.differs else ""
        output.say(f"  {documents}: {found.document_default}{differs}")
    output.say(*(f"  {at} {end.value}: {end.in_language(language)}" for end in found.ends))
    if found.source:
        output.say(f"  {source}: {found.source}")
    output.result(
        {
            "name": found.name,
            "section": found.section,
            "does": found.does.in_language(language),
            "default": found.default,
            "document_default": found.document_default,
            "sensible": list(found.sensible),
            "ends": {str(end.value): end.in_language(language) for end in found.ends},
            "source": found.source,
        }
    )


def _document(output: Output) -> None:
    from interconnected_ai.planner import document_table

    claims = document_table()
    output.table(
        "The document's table: claimed there, computed from its own sizes (nothing here was measured)",
        ["what", "claimed", "computed", "why they differ"],
        [(claim.what, claim.claimed, claim.computed, claim.why) for claim in claims],
    )
    output.result({"claims": [asdict(claim) for claim in claims]})


def _calibrate(output: Output) -> None:
    from interconnected_ai.bench.calibration import calibrate
    from interconnected_ai.planner import save_calibration

    device = calibrate(say=output.say)
    path, found = save_calibration(device), device.calibration
    assert found is not None
    rows = [(f"products, {p}", f"{max(r for _, r in curve) / 1e9:.1f} GFLOP/s") for p, curve in found.products.items()]
    output.table(
        device.name,
        ["what", "measured"],
        [
            *rows,
            ("memory", f"{found.bandwidth / 1e9:.1f} GB/s"),
            ("GELU", f"{found.activations_per_second / 1e6:.0f} M numbers/s"),
            ("AdamW", f"{found.updates_per_second / 1e6:.0f} M parameters/s"),
            ("a call", f"{found.op_seconds * 1e6:.2f} µs"),
            ("disk", "not measured" if found.disk_bandwidth is None else f"{found.disk_bandwidth / 1e6:.0f} MB/s"),
        ],
    )
    output.say(*found.notes, f"Kept in {path}; plans for this machine use it from now on.")
    output.result({"path": str(path), "device": device.to_dict()})


def _write(request: "PlanRequest", target: Path, source: Path | None, data: Sequence[str]) -> Path:
    """A run's config: the request's system and training; data from --data, the source's config, or files to be made."""
    from interconnected_ai.config import RunConfig

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
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name for --write, or remove it")
    from interconnected_ai.storage import atomic_file

    text = RunConfig.from_mapping(content, source="--write").to_yaml()
    with atomic_file(target) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return target


def _is_run(path: Path) -> bool:
    from interconnected_ai.config import settings_in

    return path.is_file() and "data" in (settings_in(path) or {})
