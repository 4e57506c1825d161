"""A recipe's steps on another copy of the model."""

from collections.abc import Callable
from typing import Any

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights
from interconnected_ai.surgery.operations import layer_edits
from interconnected_ai.surgery.operations.history import Recipe, Step
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.session import Session


def needs_same(session: Session, recipe: Recipe, any_weights: bool) -> None:
    """Raise `ConfigError` unless the recipe was made for such a model, and (any_weights) for these weights."""
    here = session.description()
    differing = [key for key in here if recipe.model.get(key) != here[key]]
    if differing:
        told = "; ".join(f"{key}: {recipe.model.get(key)!r} in the recipe, {here[key]!r} here" for key in differing)
        raise ConfigError(f"the recipe was made for another model ({told}); open the one it belongs to")
    if not any_weights and recipe.fingerprint != session.routers_fingerprint():
        raise ConfigError(
            "the recipe was made for a model of this shape with other router weights; open that one, or say that any "
            "weights will do (any_weights=True)"
        )


def replay(moe: Any, step: Step) -> None:
    """One step on a `MoE`; `ConfigError` where its arguments are not the operation's."""
    if step.do not in _WAYS:
        raise UnknownNameError("operation", step.do, _WAYS)
    try:
        _WAYS[step.do](moe, step)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"recipe step {step.do!r} has wrong arguments {sorted(step.arguments)}: {error}") from error


def _plainly(moe: Any, step: Step) -> None:
    getattr(moe, step.do)(**step.arguments)


def _replace(moe: Any, step: Step) -> None:
    moe.replace(**step.arguments, source=ExpertWeights(**step.tensors))


def _insert(moe: Any, step: Step) -> None:
    sources, rows = layer_edits.brought(step.tensors)
    moe.insert(**step.arguments, sources=sources, rows=rows)


def _merge_adapter(moe: Any, step: Step) -> None:
    for layer, expert, weights in layer_edits.merged(step.tensors):
        moe.replace(layer, expert, weights)


def _set_program(moe: Any, step: Step) -> None:
    moe.set_program(Program.from_mapping(step.arguments["program"], source="recipe"))


_WAYS: dict[str, Callable[[Any, Step], None]] = {
    "set_top_k": _plainly,
    "replace": _replace,
    "insert": _insert,
    "let_in": _plainly,
    "remove": _plainly,
    "merge": _plainly,
    "reorder": _plainly,
    "set_program": _set_program,
    "add_role": _plainly,
    "merge_adapter": _merge_adapter,
    "pack_experts": _plainly,
    "unpack_experts": _plainly,
}
