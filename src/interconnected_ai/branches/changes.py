"""Load, change, save: what to do when somebody else has saved a system in the same folder meanwhile."""

from collections.abc import Callable
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.branches.system import InterconnectedAISystem
from interconnected_ai.errors import ConflictError

_MOST_ATTEMPTS = 20


@checked
def save_change(
    system: InterconnectedAISystem,
    folder: str | Path,
    again: Callable[[InterconnectedAISystem], object],
    *,
    include_encoder: bool = False,
) -> InterconnectedAISystem:
    """Save a changed system over the folder it came from, and return what was saved; nobody else's change is lost.

    again: makes the same change on another system, the newest of the folder; it is called when somebody else has saved there
    since `system` was loaded, and raises when the change does not fit what they saved. Processes and threads may do so at
    once. Raises `ConflictError` when others were faster every time.
    """
    for _ in range(_MOST_ATTEMPTS):
        try:
            system.save_pretrained(folder, include_encoder=include_encoder)
        except ConflictError as error:
            conflict = error
        else:
            return system
        system = InterconnectedAISystem.from_pretrained(folder, encoder=system.encoder.without_lora())
        again(system)
    raise conflict
