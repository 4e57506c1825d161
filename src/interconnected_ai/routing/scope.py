"""Whether a text is anybody's business at all: one score from 0 to 1 of a few traits, and the bound below which it is not."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from interconnected_ai.routing.topic_model import TRAITS

FEWEST_OUTSIDE = 20  # texts that are nobody's business, with which the traits' weights can be learnt
_RIDGE = 1.0
_STEPS = 50
_LONGEST_STEP = 2.0  # Newton's own steps fly off where both sides are far apart


@dataclass(frozen=True)
class Scope:
    """score = σ(Σ wᵢ · (traitᵢ - centreᵢ) / spreadᵢ + b); a text that scores below the threshold is nobody's business.

    Until texts are known that are nobody's business, the score is confidence × nearness.
    """

    weights: tuple[float, ...]
    centres: tuple[float, ...]
    spreads: tuple[float, ...]
    bias: float
    threshold: float = 0.0
    is_learnt: bool = True

    @classmethod
    def unlearnt(cls) -> Self:
        """confidence × nearness."""
        weights = tuple(1.0 if name in ("confidence", "nearness") else 0.0 for name in TRAITS)
        return cls(weights, (0.0,) * len(TRAITS), (1.0,) * len(TRAITS), 0.0, is_learnt=False)

    @classmethod
    def learnt(cls, inside: np.ndarray, outside: np.ndarray) -> Self:
        """Ridge logistic regression, both sides of equal weight, by Newton's method. (num_texts, len(TRAITS)) each."""
        rows = np.concatenate([inside, outside])
        centres, spreads = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
        targets = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
        weights = np.where(targets > 0, 0.5 / len(inside), 0.5 / len(outside)) * len(rows)
        inputs = np.concatenate([(rows - centres) / spreads, np.ones((len(rows), 1))], axis=1)
        found = _logistic_regression(inputs, targets, weights)
        return cls(tuple(found[:-1].tolist()), tuple(centres.tolist()), tuple(spreads.tolist()), float(found[-1]))

    def scores(self, traits: np.ndarray) -> np.ndarray:
        """(num_texts,) from 0 to 1."""
        sums = (traits - np.array(self.centres)) / np.array(self.spreads) @ np.array(self.weights) + self.bias
        out: np.ndarray = np.exp(np.minimum(sums, 0.0)) if not self.is_learnt else 1.0 / (1.0 + np.exp(-sums))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "weights": dict(zip(TRAITS, self.weights, strict=True)),
            "centres": list(self.centres),
            "spreads": list(self.spreads),
            "bias": self.bias,
            "threshold": self.threshold,
            "is_learnt": self.is_learnt,
        }

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """What `to_dict` gave."""
        return cls(
            weights=tuple(float(found["weights"][name]) for name in TRAITS),
            centres=tuple(map(float, found["centres"])),
            spreads=tuple(map(float, found["spreads"])),
            bias=float(found["bias"]),
            threshold=float(found["threshold"]),
            is_learnt=bool(found["is_learnt"]),
        )


def _logistic_regression(inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(num_inputs,) the minimum of Σ weight · cross-entropy + ridge / 2 · ‖w‖², the last input's weight left free."""
    ridge = np.full(inputs.shape[1], _RIDGE)
    ridge[-1] = 1e-9
    found = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        chances = 1.0 / (1.0 + np.exp(-np.clip(inputs @ found, -40, 40)))
        gradient = inputs.T @ (weights * (chances - targets)) + ridge * found
        curvature = inputs.T @ (inputs * (weights * chances * (1 - chances))[:, None]) + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        longest = np.abs(step).max()
        found -= step * min(1.0, _LONGEST_STEP / max(longest, 1e-12))
        if longest < 1e-8:
            break
    out: np.ndarray = found
    return out
