"""What the names of a branch's classes say: a name of words that fits the rows is one more text of its class."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.branches.features import TextFeatures

_SAYS_SOMETHING = re.compile(r"[^\W\d_]{2,}")  # two letters one after the other: "M17" and "-1" are codes
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_SURE = 3.0  # standard errors


@checked
def readable_names(labels: Sequence[str]) -> dict[int, str]:
    """Class number → its name as a text ("card_arrival" is "card arrival"); codes and numbers are left out.

    May be called from several threads at once.
    """
    names = {number: _BETWEEN_WORDS.sub(" ", label).strip() for number, label in enumerate(labels)}
    return {number: name for number, name in names.items() if _SAYS_SOMETHING.search(name)}


@dataclass(frozen=True, eq=False)
class ClassNames:
    """Features of the names, and of which class each is the name: (num_names,)."""

    features: TextFeatures
    targets: Tensor

    @classmethod
    def of(cls, labels: Sequence[str], encode: Callable[[Sequence[str]], Tensor]) -> Self | None:
        """The names among a branch's labels; None where none of them says anything. encode: gives texts' pooled vectors."""
        names = readable_names(labels)
        if not names:
            return None
        pooled = encode(list(names.values()))
        return cls(TextFeatures(pooled, list(names.values())), torch.tensor(list(names), device=pooled.device))

    def beside(self, features: TextFeatures | Tensor, targets: Tensor) -> tuple[TextFeatures | Tensor, Tensor]:
        """Rows and their class numbers (num_rows,), and then the names and theirs, if they fit these rows."""
        if not self.fit(features, targets):
            return features, targets
        targets = torch.cat([targets, self.targets.to(targets.device)])
        if isinstance(features, TextFeatures):
            return features.joined(self.features), targets
        return torch.cat([features, self.features.pooled.to(features)]), targets

    def fit(self, features: TextFeatures | Tensor, targets: Tensor) -> bool:
        """Whether the name nearest to a row is that of its class more often than by chance, by three standard errors.

        Chance: the agreement of class and nearest name if the two were independent (Cohen 1960). Names that mislead cost more
        than good ones give.
        """
        pooled = features.pooled if isinstance(features, TextFeatures) else features
        middle = pooled.mean(dim=0)
        pooled, names = pooled - middle, F.normalize(self.features.pooled.to(pooled) - middle, dim=-1)
        nearest, targets = self.targets.cpu()[(pooled @ names.T).argmax(dim=-1).cpu()], targets.cpu()
        num_classes = 1 + int(torch.cat([targets, nearest]).max())
        shares = [torch.bincount(each, minlength=num_classes).double() / len(targets) for each in (targets, nearest)]
        chance = (shares[0] * shares[1]).sum().item()
        agreement = (nearest == targets).double().mean().item()
        return agreement > chance + _SURE * math.sqrt(chance * (1.0 - chance) / len(targets))
