"""The log of a session as a recipe that is whole: what adapters learnt goes along, and what no step holds is named."""

from collections.abc import Mapping

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.adapters.stand_ins import spec_to
from interconnected_ai.surgery.operations.history import PUT_ADAPTER, Recipe, Step, digest
from interconnected_ai.surgery.session import Session

_TAKES_OUT = ("merge_adapter", "drop_adapter")


def recipe_of(session: Session) -> Recipe:
    """The steps since the session was opened or saved, with its adapters as they are. `ConfigError` for rules in Python."""
    if session.functions:
        raise ConfigError("a router function in Python cannot stand in a recipe; write it as rules, or take it off")
    steps = [*_gone_first(session), *session.steps]
    there = _replayed(session.adapters_at_start, steps)
    late = [Step("drop_adapter", {"name": name}) for name in there if name not in session.adapters]
    now = {name: adapter.learnt() for name, adapter in session.adapters.items()}
    brought = [
        Step(PUT_ADAPTER, spec_to(session.adapters[name].spec), tensors)
        for name, tensors in now.items()
        if there.get(name) != digest(tensors)
    ]
    return Recipe(session.made_for, session.fingerprint, (*steps, *late, *brought), session.unlogged)


def _gone_first(session: Session) -> list[Step]:
    """Adapters of the opened model that were dropped: first, for a step may need their experts free."""
    taken_out = {step.arguments["name"] for step in session.steps if step.do in _TAKES_OUT}
    gone = [name for name in session.adapters_at_start if name not in session.adapters and name not in taken_out]
    return [Step("drop_adapter", {"name": name}) for name in gone]


def _replayed(start: Mapping[str, str], steps: list[Step]) -> dict[str, str]:
    """The adapters that stand there once these steps are replayed: name → digest."""
    there = dict(start)
    for step in steps:
        if step.do == PUT_ADAPTER:
            there[step.arguments["name"]] = digest(step.tensors)
        elif step.do in _TAKES_OUT:
            there.pop(step.arguments["name"], None)
    return there
