"""How right answers are, as one number: what early stopping watches and what evaluations report."""

from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.config import Watch


def accuracy(predicted: Tensor, targets: Tensor) -> float:
    """The share of class numbers that are right."""
    return (predicted == targets).double().mean().item()


def surely_more_right(pairs: Iterable[tuple[Tensor, Tensor]], *, errors: float = 2.0) -> bool:
    """Whether new answers are ahead of old ones by more than so many standard errors of the rows on which the two differ
    (McNemar 1947), as a mean over groups of rows. What wins by less may be luck.

    pairs: for each group, which of its rows were answered rightly before and now: (num_rows,) booleans.
    """
    lead = variance = Fraction(0)  # exact: a lead of just so many errors is not more
    for before, now in pairs:
        gained, lost = int((now & ~before).sum()), int((before & ~now).sum())
        lead += Fraction(gained - lost, max(1, len(now)))
        variance += Fraction(gained + lost, max(1, len(now)) ** 2)
    return lead > 0 and lead**2 > Fraction(errors) ** 2 * variance


@checked
def macro_f1(predicted: Tensor, targets: Tensor) -> float:
    """Mean over the classes that occur (in either) of the harmonic mean of precision and recall."""
    scores = []
    for label in torch.cat([predicted, targets]).unique():
        true_positives = ((predicted == label) & (targets == label)).sum().item()
        scores.append(2 * true_positives / ((predicted == label).sum().item() + (targets == label).sum().item()))
    return float(sum(scores) / len(scores))


def watched_score(logits: Tensor, targets: Tensor, watch: Watch) -> float:
    """What `watch` names, of (num_rows, num_classes) logits and (num_rows,) targets; higher is better: −loss for "loss"."""
    if watch == "loss":
        return -F.cross_entropy(logits.double(), targets).item()
    predicted = logits.argmax(dim=-1)
    return accuracy(predicted, targets) if watch == "accuracy" else macro_f1(predicted, targets)
