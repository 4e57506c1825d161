"""From logits on held-out rows to honest confidence: one temperature and one threshold for each branch.

Both know on how many rows they stand: a few rows move them little, many decide alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# 1 / variance of log T before any row is seen (a standard deviation of 0.26). Measured on branches of 20 to 600 rows, see
# docs/log.md: weaker ones let two rows sharpen a guess, stronger ones leave branches of 200 rows uncalibrated.
_PRIOR = 15.0
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The likeliest T > 0 of softmax(logits / T), where log T is normal around 0 before any row is seen: T = 1 without rows.

    The negative log-likelihood of all rows (Guo et al. 2017, section 4.2) plus 7.5 (log T)² is smallest there. Two rows can
    hardly sharpen an answer (T < 1), thousands decide alone.
    logits: (num_rows, num_classes); labels: (num_rows,). Kept within `LOWEST_TEMPERATURE` to `HIGHEST_TEMPERATURE`.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return F.cross_entropy(scaled, labels, reduction="sum").item() + 0.5 * _PRIOR * log_temperature**2

    return math.exp(_minimum(loss, math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)))


def fit_threshold(inside: Tensor, outside: Tensor | None = None, *, keep: float = 0.95) -> float:
    """The score below which an answer is "unknown"; scores are from 0 to 1, higher is more like the branch's own text.

    inside: scores of validation rows of the branch; outside: scores of text that is none of its business (other branches'
    validation rows). The threshold separates the two best (mean of both rates) and still answers at least `keep` of the
    branch's own text; without outside rows it is the highest one that does. Few rows promise little of the next one, so that
    with fewer than 19 it stays below the lowest of them: at 0.15 of its score with two, at 0.55 with ten.
    """
    highest = _highest_that_keeps(inside.double(), keep)
    if outside is None or not len(outside):
        return highest
    limit = inside.new_tensor([highest], dtype=torch.double)
    candidates = torch.cat([inside.double(), outside.double(), limit]).unique()
    candidates = candidates[candidates <= highest]
    answered = (len(inside) - _num_below(inside, candidates)) / len(inside)
    refused = _num_below(outside, candidates) / len(outside)
    return float(candidates[(answered + refused).argmax()])


def _highest_that_keeps(inside: Tensor, keep: float) -> float:
    """The highest threshold that answers `keep` of the own rows, and of new ones on average.

    A new row falls below the k-th lowest of N with probability k / (N + 1); between two of them, and between 0 and the
    lowest, its chance is taken to grow evenly.
    """
    num_rows, share, rounding = len(inside), 1.0 - keep, 1e-9
    most_fallen = math.floor(share * num_rows + rounding)  # whole rows
    place = min(share * (num_rows + 1), most_fallen + 1.0)
    ladder = [0.0, *inside.sort().values.tolist()]
    below = min(math.floor(place + rounding), num_rows)
    if below == num_rows:
        return float(ladder[-1])
    return float(ladder[below] + max(0.0, place - below) * (ladder[below + 1] - ladder[below]))


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
