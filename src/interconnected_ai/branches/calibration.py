"""What a branch's validation rows say of its confidence, and of text that is none of its business."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches.prediction import probabilities
from interconnected_ai.config import BranchCard
from interconnected_ai.nn import fit_temperature, fit_threshold


@dataclass(frozen=True, eq=False)
class Answered:
    """Texts as a branch answered them: (num_texts, num_classes) logits and (num_texts,) familiarity."""

    logits: Tensor
    familiarity: Tensor

    def __len__(self) -> int:
        return len(self.logits)

    def scores(self, card: BranchCard) -> Tensor:
        """(num_texts,) confidence × familiarity, what the card's threshold is compared with."""
        return probabilities(self.logits, card).amax(dim=-1) * self.familiarity


@checked
def calibration(card: BranchCard, own: Answered, targets: Tensor, outside: Answered | None) -> dict[str, Any]:
    """The changes to a card: temperature, threshold, and on how many rows they stand.

    own: the branch's validation rows, of these classes; outside: text that is none of its business. All on one device.
    """
    temperature = fit_temperature(own.logits, targets)
    calibrated = card.with_changes(temperature=temperature)
    apart = None if outside is None else outside.scores(calibrated)
    return {
        "temperature": temperature,
        "threshold": fit_threshold(own.scores(calibrated), apart),
        "calibration_rows": len(own),
        "outside_rows": 0 if outside is None else len(outside),
    }
