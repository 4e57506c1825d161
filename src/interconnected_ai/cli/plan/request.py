"""What is planned, from a file and from options: options are laid over the file's settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.config import document_branches, merged, settings_of

if TYPE_CHECKING:
    from interconnected_ai.planner import PlanRequest

# option → key of a `PlanRequest`, its section first
_KEYS = {
    "encoder": ("system", "base_model_name"),
    "experts": ("system", "num_experts"),
    "top_k": ("system", "top_k"),
    "d_ff": ("system", "d_ff"),
    "rows": ("num_rows",),
    "tokens": ("tokens_per_text",),
    "device": ("device",),
    "num_devices": ("num_devices",),
    "growth": ("added_branches",),
    "budget": ("budget_usd",),
}


def request_of(source: Path | None, options: dict[str, Any], assignments: Sequence[str]) -> "PlanRequest":
    """The request of a file or a run (without one: the document's branches), options and KEY=VALUE settings over it."""
    from interconnected_ai.planner import PlanRequest, request_from

    changes = merged(_settings(options), settings_of(assignments))
    if source is not None:
        return request_from(source, **changes)
    document = {"system": {"branches": _branches(None, None)}}
    return PlanRequest.from_mapping(merged(document, changes), source="plan")


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as settings of a `PlanRequest`."""
    found: dict[str, Any] = {}
    for option, value in options.items():
        if option in _KEYS and value is not None:
            *sections, key = _KEYS[option]
            place = found.setdefault(sections[0], {}) if sections else found
            place[key] = value
    if (memory_gb := options["memory_gb"]) is not None:
        found["memory_bytes"] = round(memory_gb * 1e9)
    if options["branches"] is not None or options["classes"] is not None:
        found.setdefault("system", {})["branches"] = _branches(options["branches"], options["classes"])
    return found


def _branches(number: int | None, classes: str | None) -> list[dict[str, Any]]:
    try:
        sizes = [int(part) for part in classes.split(",")] if classes else []
    except ValueError as error:
        raise click.UsageError(
            f"--classes {classes}: needs a whole number, or one for each branch (100,50,80)"
        ) from error
    number = number or (len(sizes) if len(sizes) > 1 else 3)
    if not sizes:
        return [{"name": spec.name, "num_classes": spec.num_classes} for spec in document_branches(number)]
    if len(sizes) not in (1, number):
        raise click.UsageError(
            f"--classes {classes}: {len(sizes)} numbers for {number} branches; give one, or {number}"
        )
    sizes = sizes * number if len(sizes) == 1 else sizes
    return [{"name": f"branch-{i}", "num_classes": size} for i, size in enumerate(sizes, start=1)]
