"""From logits on held-out rows to honest confidence: one temperature and one threshold for each branch."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017, section 4.2).

    logits: (num_rows, num_classes); labels: (num_rows,). Kept within 0.05 to 20.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    return math.exp(_minimum(loss, math.log(0.05), math.log(20.0)))


def fit_threshold(inside: Tensor, outside: Tensor | None = None, *, keep: float = 0.95) -> float:
    """The confidence below which an answer is "unknown".

    inside: confidences of validation rows of the branch; outside: confidences on text that is none of its business
    (other branches' validation rows). The threshold separates the two best (mean of both rates) and still answers
    at least `keep` of the branch's own rows; without outside rows it is the highest one that does.
    """
    # The own rows that may be given up are whole rows: interpolating between two of them would give up one too many.
    highest = inside.double().sort().values[math.floor((1.0 - keep) * len(inside) + 1e-9)].item()
    if outside is None or not len(outside):
        return highest
    candidates = torch.cat([inside, outside]).double().unique()
    candidates = candidates[candidates <= highest]
    if not len(candidates):
        return highest
    answered = (len(inside) - _num_below(inside, candidates)) / len(inside)
    refused = _num_below(outside, candidates) / len(outside)
    return float(candidates[(answered + refused).argmax()])


def _num_below(scores: Tensor, bounds: Tensor) -> Tensor:
    """(num_bounds,) how many of the scores are under each bound."""
    return torch.searchsorted(scores.double().sort().values, bounds).double()


def _minimum(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-4) -> float:
    """Where a function with one valley is smallest, by golden-section search."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2
