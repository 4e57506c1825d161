"""A recipe's steps on another copy of the model."""

from collections.abc import Callable
from typing import Any, Protocol

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.stand_ins import spec_from
from interconnected_ai.surgery.anatomy.ffn import weights_of
from interconnected_ai.surgery.operations import adapting, experts, layer_edits
from interconnected_ai.surgery.operations.history import PUT_ADAPTER, Recipe, Step
from interconnected_ai.surgery.routing.programs import Program


class Described(Protocol):
    """A model that says what a recipe must agree with: a session, or a checkpoint on disk."""

    def description(self) -> dict[str, Any]:
        """Family and sizes."""

    def routers_fingerprint(self) -> str:
        """Of the routers' weights as they are."""


def needs_whole(recipe: Recipe, incomplete: bool) -> None:
    """Raise `ConfigError` for a recipe that says it lacks something, unless incomplete ones will do."""
    if recipe.lacks and not incomplete:
        raise ConfigError(
            f"the recipe lacks {', '.join(recipe.lacks)}: replayed, it gives another model than it was saved with. "
            "Take that model's folder, or say that what there is will do: --incomplete (incomplete=True)"
        )


def needs_same(session: Described, recipe: Recipe, any_weights: bool) -> None:
    """Raise `ConfigError` unless the recipe was made for such a model, and (any_weights) for these weights."""
    here = session.description()
    differing = [key for key in here if recipe.model.get(key) != here[key]]
    if differing:
        told = "; ".join(f"{key}: {recipe.model.get(key)!r} in the recipe, {here[key]!r} here" for key in differing)
        raise ConfigError(f"the recipe was made for another model ({told}); open the one it belongs to")
    if not any_weights and recipe.fingerprint != session.routers_fingerprint():
        raise ConfigError(
            "the recipe was made for a model of this shape with other router weights; open that one, or say that any "
            "weights will do: --any-weights (any_weights=True)"
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
    moe.replace(**step.arguments, source=weights_of(step.tensors))


def _insert(moe: Any, step: Step) -> None:
    sources, rows = layer_edits.brought(step.tensors)
    moe.insert(**step.arguments, sources=sources, rows=rows)


def _put_adapter(moe: Any, step: Step) -> None:
    spec = spec_from(step.arguments)
    _drop_adapter_if_there(moe, spec.name)
    moe.session.perform(adapting.bring(moe.session, spec, step.tensors))


def _drop_adapter(moe: Any, step: Step) -> None:
    moe.session.perform(adapting.let_go(moe.session, step.arguments["name"]))


def _drop_adapter_if_there(moe: Any, name: str) -> None:
    if name in moe.adapters:
        moe.session.perform(adapting.let_go(moe.session, name))


def _set_routers(moe: Any, step: Step) -> None:
    moe.session.perform(experts.set_routers(moe.session, step.tensors))


def _merge_adapter(moe: Any, step: Step) -> None:
    _drop_adapter_if_there(moe, step.arguments["name"])
    for layer, expert, weights in layer_edits.merged(step.tensors):
        moe.replace(layer, expert, weights)


def _set_program(moe: Any, step: Step) -> None:
    moe.set_program(Program.from_mapping(step.arguments["program"], source="recipe"))


_WAYS: dict[str, Callable[[Any, Step], None]] = {
    "set_top_k": _plainly,
    "set_top_p": _plainly,
    "set_top_k_after": _plainly,
    "replace": _replace,
    "insert": _insert,
    "let_in": _plainly,
    "remove": _plainly,
    "merge": _plainly,
    "join": _plainly,
    "reorder": _plainly,
    "set_program": _set_program,
    "add_role": _plainly,
    "merge_adapter": _merge_adapter,
    PUT_ADAPTER: _put_adapter,
    "drop_adapter": _drop_adapter,
    "set_routers": _set_routers,
    "pack_experts": _plainly,
    "unpack_experts": _plainly,
}
