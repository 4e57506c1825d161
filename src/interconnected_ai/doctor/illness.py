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
    names, such as {"training.lr_moe": 1e-4}; empty where no setting cures it. evidence_ru: the evidence in Russian, for a page
    in that language; None where it is told in English alone.
    """

    name: str
    evidence: str
    document_remedy: str | None
    remedy: str
    settings_to_change: dict[str, Any] = field(default_factory=dict)
    evidence_ru: str | None = None


def percent_ru(share: float, digits: int = 1) -> str:
    """A share of 1 as Russian writes it: 81,4 %."""
    return f"{100 * share:.{digits}f} %".replace(".", ",")


# A look at a run: the illness that it shows, or nothing.
Look = Callable[[History], Illness | None]
