"""What a system says about a text: for every branch a label, how sure it is, and whether it knows at all."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from interconnected_ai.branches.branch import BranchCard
from interconnected_ai.errors import UnknownNameError

UNKNOWN = "unknown"


@dataclass(frozen=True)
class BranchPrediction:
    """One branch's answer. `top` is (label, probability), best first; `unknown` means: below the branch's threshold."""

    branch: str
    label: str
    confidence: float
    unknown: bool
    top: tuple[tuple[str, float], ...]

    @property
    def answer(self) -> str:
        """The label, or "unknown"."""
        return UNKNOWN if self.unknown else self.label


@dataclass(frozen=True)
class Prediction:
    """Every branch's answer to one text."""

    text: str
    branches: dict[str, BranchPrediction]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "text": self.text,
            "branches": {
                name: {**asdict(answer), "answer": answer.answer, "top": [list(pair) for pair in answer.top]}
                for name, answer in self.branches.items()
            },
        }


def probabilities(logits: Tensor, card: BranchCard) -> Tensor:
    """Calibrated probabilities: softmax(logits / temperature), in float32. (…, num_classes) → the same."""
    return (logits.float() / card.temperature).softmax(dim=-1)


def read_answers(logits: Tensor, card: BranchCard, top_n: int) -> list[BranchPrediction]:
    """(batch, num_classes) logits of one branch as one answer per row."""
    best, indices = probabilities(logits, card).topk(min(top_n, logits.shape[-1]), dim=-1)
    return [
        BranchPrediction(
            branch=card.name,
            label=card.spec.labels[classes[0]],
            confidence=values[0],
            unknown=values[0] < card.threshold,
            top=tuple((card.spec.labels[c], v) for c, v in zip(classes, values, strict=True)),
        )
        for values, classes in zip(best.tolist(), indices.tolist(), strict=True)
    ]


def known_branch(names: list[str], branch: int | str) -> str:
    """The name of a branch given by number or name; `UnknownNameError` lists the known ones, nearest first."""
    if isinstance(branch, str) and branch in names:
        return branch
    if isinstance(branch, int) and 0 <= branch < len(names):
        return names[branch]
    raise UnknownNameError("branch", branch, names)
