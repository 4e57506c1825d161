"""What a system says about a text: for every branch a label, how sure it is, and whether it knows at all."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.branches.branch import BranchCard
from interconnected_ai.errors import UnknownNameError

UNKNOWN = "unknown"
_MOST_NUMBERS = 1 << 22  # probabilities computed at once: 16 MB


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "branch": self.branch,
            "label": self.label,
            "confidence": self.confidence,
            "unknown": self.unknown,
            "top": [list(pair) for pair in self.top],
            "answer": self.answer,
        }


@dataclass(frozen=True)
class Prediction:
    """Every branch's answer to one text."""

    text: str
    branches: Mapping[str, BranchPrediction]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "text": self.text,
            "branches": {name: answer.to_dict() for name, answer in self.branches.items()},
        }


def probabilities(logits: Tensor, card: BranchCard) -> Tensor:
    """Calibrated probabilities: softmax(logits / temperature), in float32. (…, num_classes) → the same."""
    return (logits.float() / card.temperature).softmax(dim=-1)


class AnswerTable:
    """All branches' answers to all texts as plain numbers. Softmax and the best labels are taken for many branches at once."""

    def __init__(self, top_n: int) -> None:
        self.top_n = top_n
        self.cards: dict[str, BranchCard] = {}
        self.best: dict[str, list[list[float]]] = {}  # of each branch and text, the probabilities of its best classes
        self.classes: dict[str, list[list[int]]] = {}  # and their numbers
        self._waiting: dict[int, list[tuple[str, Tensor]]] = {}  # by the number of classes

    @classmethod
    def read(cls, answered: Iterable[tuple[BranchCard, Tensor]], top_n: int) -> "AnswerTable":
        """answered: for each branch its card and its (num_texts, num_classes) logits."""
        table = cls(top_n)
        for card, logits in answered:
            table.cards[card.name] = card
            waiting = table._waiting.setdefault(logits.shape[-1], [])
            waiting.append((card.name, logits.float() / card.temperature))
            if len(waiting) * logits.numel() >= _MOST_NUMBERS:
                table._take_best(logits.shape[-1])
        for num_classes in list(table._waiting):
            table._take_best(num_classes)
        return table

    def _take_best(self, num_classes: int) -> None:
        waiting = self._waiting.pop(num_classes)
        scaled = torch.stack([logits for _, logits in waiting])  # (branches, num_texts, num_classes)
        best, classes = scaled.softmax(dim=-1).topk(min(self.top_n, num_classes), dim=-1)
        names = [name for name, _ in waiting]
        self.best.update(zip(names, best.tolist(), strict=True))
        self.classes.update(zip(names, classes.tolist(), strict=True))

    def answer(self, branch: str, row: int) -> BranchPrediction:
        """One branch's answer to one text."""
        card, values, classes = self.cards[branch], self.best[branch][row], self.classes[branch][row]
        labels = card.spec.labels
        return BranchPrediction(
            branch=card.name,
            label=labels[classes[0]],
            confidence=values[0],
            unknown=values[0] < card.threshold,
            top=tuple((labels[c], v) for c, v in zip(classes, values, strict=True)),
        )


class Answers(Mapping[str, BranchPrediction]):
    """Every branch's answer to one text, by the branch's name; a record is made when it is asked for."""

    def __init__(self, table: AnswerTable, row: int) -> None:
        self._table, self._row = table, row

    def __getitem__(self, branch: str) -> BranchPrediction:
        return self._table.answer(branch, self._row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.cards)

    def __len__(self) -> int:
        return len(self._table.cards)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, BranchPrediction]], tuple[dict[str, BranchPrediction]]]:
        return dict, (dict(self),)  # one text's answers travel without the whole table


def known_branch(names: list[str], branch: int | str) -> str:
    """The name of a branch given by number or name; `UnknownNameError` lists the known ones, nearest first."""
    if isinstance(branch, str) and branch in names:
        return branch
    if isinstance(branch, int) and 0 <= branch < len(names):
        return names[branch]
    raise UnknownNameError("branch", branch, names)
