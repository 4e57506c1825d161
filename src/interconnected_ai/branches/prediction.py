"""What a system says about a text: for every branch a label, how sure it is, and whether it knows at all."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.config import UNKNOWN, BranchCard
from interconnected_ai.errors import UnknownNameError

_MOST_NUMBERS = 1 << 22  # probabilities computed at once: 16 MB


@dataclass(frozen=True)
class BranchPrediction:
    """One branch's answer. `top` is (label, probability), best first.

    confidence: the probability that the label is right, given that the text is one of the branch's. familiarity: how near the
    text lies to the nearest class, from 0 to 1. unknown: confidence × familiarity is below the branch's threshold.
    refusal: what the answer is then: "unknown", in brackets where the branch has a class of that name.
    """

    branch: str
    label: str
    confidence: float
    unknown: bool
    top: tuple[tuple[str, float], ...]
    refusal: str = UNKNOWN
    familiarity: float = 1.0

    @property
    def answer(self) -> str:
        """The label, or the refusal, which is none of the branch's labels."""
        return self.refusal if self.unknown else self.label

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "branch": self.branch,
            "label": self.label,
            "confidence": self.confidence,
            "unknown": self.unknown,
            "top": [list(pair) for pair in self.top],
            "familiarity": self.familiarity,
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


@checked
def probabilities(logits: Tensor, card: BranchCard) -> Tensor:
    """Calibrated probabilities: softmax(logits / temperature), in float32. (…, num_classes) → the same."""
    return (logits.float() / card.temperature).softmax(dim=-1)


@dataclass(frozen=True, eq=False)
class AnswerPart:
    """What branches of as many classes say of some texts.

    best: (num_texts, branches, top) float32, probabilities of the best classes, whose numbers are `classes`; familiarity,
    unknown: (num_texts, branches).
    """

    cards: tuple[BranchCard, ...]
    best: np.ndarray
    classes: np.ndarray
    familiarity: np.ndarray
    unknown: np.ndarray


class AnswerTable:
    """All branches' answers to all texts as arrays. Softmax and the best labels are taken for many branches at once.

    parts: the branches by their numbers of classes. Any number of threads may read at once.
    """

    def __init__(self, top_n: int) -> None:
        self.top_n = top_n
        self.cards: dict[str, BranchCard] = {}
        self.parts: list[AnswerPart] = []
        self._places: dict[str, tuple[int, int]] = {}  # where a branch stands there
        self._waiting: dict[int, list[tuple[BranchCard, Tensor, Tensor]]] = {}  # by the number of classes

    @classmethod
    def read(cls, answered: Iterable[tuple[BranchCard, Tensor, Tensor]], top_n: int) -> "AnswerTable":
        """answered: for each branch its card, its (num_texts, num_classes) logits and (num_texts,) familiarity."""
        table = cls(top_n)
        for card, logits, near in answered:
            table.cards[card.name] = card
            waiting = table._waiting.setdefault(logits.shape[-1], [])
            waiting.append((card, logits, near))
            if len(waiting) * logits.numel() >= _MOST_NUMBERS:
                table._take_best(logits.shape[-1])
        for num_classes in list(table._waiting):
            table._take_best(num_classes)
        return table

    @property
    def columns(self) -> list[int]:
        """For each branch, in the branches' order, which it is when the parts stand side by side."""
        begins = [0, *accumulate(len(part.cards) for part in self.parts)]
        return [begins[part] + number for part, number in map(self._places.__getitem__, self.cards)]

    def _take_best(self, num_classes: int) -> None:
        waiting = self._waiting.pop(num_classes)
        cards = tuple(card for card, _, _ in waiting)
        logits = torch.stack([logits for _, logits, _ in waiting], dim=1).float()  # (num_texts, branches, num_classes)
        scaled = logits / logits.new_tensor([card.temperature for card in cards]).unsqueeze(1)
        best, classes = (t.cpu().numpy() for t in scaled.softmax(dim=-1).topk(min(self.top_n, num_classes), dim=-1))
        near = torch.stack([near for _, _, near in waiting], dim=1).float().cpu().numpy()
        thresholds = np.array([card.threshold for card in cards])
        unknown = best[..., 0].astype(np.float64) * near.astype(np.float64) < thresholds
        self._places.update({card.name: (len(self.parts), number) for number, card in enumerate(cards)})
        self.parts.append(AnswerPart(cards, best, classes, near, unknown))

    def answer(self, branch: str, row: int) -> BranchPrediction:
        """One branch's answer to one text."""
        place, number = self._places[branch]
        part = self.parts[place]
        return _answer(
            part.cards[number],
            part.best[row, number].tolist(),
            part.classes[row, number].tolist(),
            part.familiarity[row, number].item(),
            part.unknown[row, number].item(),
        )

    def answers(self, row: int) -> dict[str, BranchPrediction]:
        """Every branch's answer to one text, in the branches' order."""
        found = {
            card.name: _answer(card, *said)
            for part in self.parts
            for card, *said in zip(
                part.cards,
                part.best[row].tolist(),
                part.classes[row].tolist(),
                part.familiarity[row].tolist(),
                part.unknown[row].tolist(),
                strict=True,
            )
        }
        return found if len(self.parts) == 1 else {name: found[name] for name in self.cards}


def _answer(
    card: BranchCard, values: list[float], classes: list[int], familiar: float, unknown: bool
) -> BranchPrediction:
    labels = card.spec.labels
    return BranchPrediction(
        branch=card.name,
        label=labels[classes[0]],
        confidence=values[0],
        unknown=unknown,
        top=tuple(zip([labels[number] for number in classes], values, strict=True)),
        refusal=card.spec.refusal,
        familiarity=familiar,
    )


class Answers(Mapping[str, BranchPrediction]):
    """Every branch's answer to one text, by the branch's name; a record is made when it is asked for.

    None is kept: thousands of records that stay alive cost Python's collector more than making them anew.
    """

    def __init__(self, table: AnswerTable, row: int) -> None:
        self._table, self._row = table, row

    def __getitem__(self, branch: str) -> BranchPrediction:
        return self._table.answer(branch, self._row)

    def items(self) -> ItemsView[str, BranchPrediction]:
        """(branch, answer) pairs, in the branches' order."""
        return self._table.answers(self._row).items()

    def values(self) -> ValuesView[BranchPrediction]:
        """The answers, in the branches' order."""
        return self._table.answers(self._row).values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.cards)

    def __len__(self) -> int:
        return len(self._table.cards)

    def __repr__(self) -> str:
        return repr(self._table.answers(self._row))

    def __reduce__(self) -> tuple[type[dict[str, BranchPrediction]], tuple[dict[str, BranchPrediction]]]:
        return dict, (self._table.answers(self._row),)  # one text's answers travel without the whole table


def known_branch(names: list[str], branch: int | str) -> str:
    """The name of a branch given by number or name; `UnknownNameError` lists the known ones, nearest first."""
    if isinstance(branch, str) and branch in names:
        return branch
    if isinstance(branch, int) and branch is not True and branch is not False and 0 <= branch < len(names):
        return names[branch]
    raise UnknownNameError("branch", branch, names)
