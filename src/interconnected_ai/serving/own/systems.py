"""Which system of branches a request means."""

from typing import TYPE_CHECKING

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.serving.door import Door
from interconnected_ai.serving.faults import Refusal

if TYPE_CHECKING:
    from interconnected_ai.branches import InterconnectedAISystem


def named_system(door: Door, name: str | None) -> "tuple[str, InterconnectedAISystem]":
    """The system of this name, or the only one. Raises `Refusal` where none is served, or several and none is named."""
    systems = door.hall.systems
    if not systems:
        raise Refusal(
            404, "this server has no system of branches; name one when it is started: iai serve runs/quickstart",
            code="not_found",
        )  # fmt: skip
    if name is None:
        if len(systems) > 1:
            raise Refusal(
                400,
                f"system: several are served, say which: {', '.join(systems)}",
                code="missing_field",
                param="system",
            )
        name = next(iter(systems))
    if name not in systems:
        raise UnknownNameError("system", name, systems)
    return name, systems[name]
