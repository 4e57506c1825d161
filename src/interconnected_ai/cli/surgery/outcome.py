"""What becomes of an edited model: written to --output, or shown as what would change where none is named."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.output import Output
from interconnected_ai.cli.outputs import OVERWRITE, asked_to_replace
from interconnected_ai.storage import version_of

if TYPE_CHECKING:
    from interconnected_ai.surgery import Sizes, Step

_MEGABYTE = 2**20


@contextmanager
def telling_warnings(output: Output) -> Iterator[None]:
    """Say what the block warns of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        yield
    output.say(*(f"Note: {warning.message}." for warning in said))


class Outcome:
    """One edit from its beginning to its end.

    edited: a `MoE` or a `Checkpoint`; target: where it goes, None for a dry run. What stands there is what stood there when
    the edit began, or nothing is written.
    """

    def __init__(self, edited: Any, target: Path | None) -> None:
        if target is None and asked_to_replace():
            raise click.UsageError(f"{OVERWRITE} replaces what stands at --output; name it, or leave {OVERWRITE} out")
        self._edited, self._target = edited, target
        self._standing = None if target is None else version_of(target)
        self._before: Sizes = edited.sizes()

    def deliver(self, output: Output, said: str, result: dict[str, Any]) -> None:
        """Write the model and say so, or show what would change. said: what was done, in words."""
        if self._target is None:
            self._show(output, said, result)
            return
        saved = self._edited.save(self._target, replaces=self._standing)
        words = getattr(saved, "words", None)  # a checkpoint edited by its files holds everything
        output.say(f"{said}. Written to {self._target}.", *([f"{words}."] if words else []))
        output.result({"folder": str(self._target), **result, "vanilla": words is None})

    def _show(self, output: Output, said: str, result: dict[str, Any]) -> None:
        before, after, recipe = self._before, self._edited.sizes(), self._edited.recipe()
        output.table("What would change", ["", "before", "after"], _rows(before, after))
        output.table("Steps", ["step", "layer", "experts"], [_step(step) for step in recipe.steps])
        output.say(f"{said}. This was a dry run: nothing was written; --output FOLDER writes it.")
        output.result(
            {
                "folder": None,
                **result,
                "dry_run": True,
                "before": _plain(before),
                "after": _plain(after),
                "layers": sorted({each for step in recipe.steps for each in _layers(step)} or before.num_experts),
                "steps": [{"do": step.do, **step.arguments} for step in recipe.steps],
            }
        )


def _rows(before: "Sizes", after: "Sizes") -> list[tuple[str, Any, Any]]:
    changed = [n for n in before.num_experts if before.num_experts[n] != after.num_experts[n]]
    return [
        ("parameters", before.num_params, after.num_params),
        ("MB (2²⁰ bytes)", before.size_bytes / _MEGABYTE, after.size_bytes / _MEGABYTE),
        ("of adapters: parameters", before.adapter_params, after.adapter_params),
        ("layers with experts", len(before.num_experts), len(after.num_experts)),
        ("layers with another number of experts", 0, len(changed)),
        ("experts in a layer", _span(before.num_experts), _span(after.num_experts)),
        ("experts a token takes", _span(before.top_k), _span(after.top_k)),
    ]


def _span(numbers: dict[int, int]) -> str:
    low, high = min(numbers.values()), max(numbers.values())
    return str(low) if low == high else f"{low} to {high}"


def _step(step: "Step") -> tuple[str, str, str]:
    return step.do, ", ".join(map(str, sorted(_layers(step)))) or "all", _experts(step)


def _layers(step: "Step") -> set[int]:
    """The layers that a step names; none where it changes them all."""
    given = step.arguments
    if "layer" in given:
        return {int(given["layer"])}
    named = given["experts"] if isinstance(given.get("experts"), dict) else given.get("layers") or ()
    return {int(each) for each in named}


def _experts(step: "Step") -> str:
    given = step.arguments
    if step.do == "insert":
        return f"{len({name.split('.')[0] for name in step.tensors if not name.startswith('row.')})} new"
    experts = given.get("experts", [given["expert"]] if "expert" in given else [])
    if isinstance(experts, dict):
        return "; ".join(f"{layer}: {', '.join(map(str, numbers))}" for layer, numbers in experts.items())
    return ", ".join(map(str, experts)) or "–"


def _plain(sizes: "Sizes") -> dict[str, Any]:
    return {
        "num_params": sizes.num_params,
        "size_bytes": sizes.size_bytes,
        "num_experts": {str(layer): number for layer, number in sizes.num_experts.items()},
        "top_k": {str(layer): number for layer, number in sizes.top_k.items()},
        "adapter_params": sizes.adapter_params,
    }
