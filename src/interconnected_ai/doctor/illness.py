"""What the doctor finds: a name, the evidence, the document's remedy, and the one that practice supports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interconnected_ai.doctor.history import History


@dataclass(frozen=True)
class Illness:
    """Something wrong with a run.

    evidence: the numbers and steps that show it. document_remedy: what the source document advises, None where it names no
    such problem. remedy: what practice supports. settings_to_change: the same as settings of the run's config, by their
    names, such as {"training.lr_moe": 1e-4}; empty where no setting cures it.
    """

    name: str
    evidence: str
    document_remedy: str | None
    remedy: str
    settings_to_change: dict[str, Any] = field(default_factory=dict)


# A look at a run: the illness that it shows, or nothing.
Look = Callable[[History], Illness | None]
