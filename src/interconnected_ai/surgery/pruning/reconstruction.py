"""How far a layer's output moves without some experts: those go first whose absence the rest makes up for best.

NAEE (Lu et al. 2024) compares sets of experts by the output error of their layer; greedily, expert after expert, it stays
payable for any number of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.pruning.measuring import Seen, contribution, sample_room
from interconnected_ai.surgery.pruning.schedules import Move, Schedule, num_moves_at_most
from interconnected_ai.surgery.routing.token_routing import Scores


@dataclass(frozen=True)
class _Outcome:
    """A choice of experts for the sample and what it makes: errors are squared distances from the whole layer's output."""

    weights: Tensor
    indices: Tensor
    errors: Tensor


@torch.no_grad()
def by_output(layer: Layer, seen: Seen) -> Schedule:
    """Each time the expert goes whose absence moves the output least; it costs that error, over the output's size.

    Where the router chooses among groups, one of each goes before another of any.
    """
    sample = _Sample(layer, seen)
    now, scale = sample.outcome(None, []), float(sample.target.square().sum().clamp_min(1e-30))
    num_groups, _ = layer.groups
    size = layer.num_experts // num_groups
    gone: list[int] = []
    moves = []
    for _ in range(num_moves_at_most(layer)):
        before, together = float(now.errors.sum()), []
        for group in range(num_groups):
            there = [e for e in range(group * size, (group + 1) * size) if e not in gone]
            tried = {expert: sample.outcome(now, [*gone, expert]) for expert in there}
            best = min(there, key=lambda expert: float(tried[expert].errors.sum()))
            now = tried[best]
            gone.append(best)
            together.append(best)
        moves.append(Move((float(now.errors.sum()) - before) / scale, gone=tuple(together)))
    return Schedule(layer.num_experts, num_groups, tuple(moves))


class _Sample:
    """Tokens, what every expert makes of each, and how the router chooses when some experts are gone."""

    def __init__(self, layer: Layer, seen: Seen) -> None:
        hidden, logits = seen.hidden, seen.logits
        self._correction, self._scale = seen.correction, seen.scale
        room = sample_room(layer, len(hidden))
        self._layer, self._logits, self._dtype = layer, logits[:room], hidden.dtype
        hidden = hidden[:room]
        self._scaled_inside = layer.family.routing.returns_scores
        own = torch.sigmoid(self._logits.float()).to(hidden.dtype) if self._scaled_inside else None
        ones = torch.ones(len(hidden), dtype=hidden.dtype, device=hidden.device)
        self._outputs = torch.stack(
            [
                contribution(layer, expert, hidden, ones if own is None else own[:, expert]).float()
                for expert in range(layer.num_experts)
            ]
        )  # (experts, tokens, d_model)
        weights, indices = self._choose([])
        self.target = self._joined(weights, indices, torch.arange(len(hidden), device=hidden.device))

    def outcome(self, now: _Outcome | None, gone: list[int]) -> _Outcome:
        """Without these experts; only tokens whose choice differs from `now` are computed."""
        weights, indices = self._choose(gone)
        if now is None:
            return _Outcome(weights, indices, torch.zeros(len(weights), device=weights.device))
        moved = ((indices != now.indices) | (weights != now.weights)).any(dim=1)
        rows = torch.where(moved)[0]
        errors = now.errors.clone()
        made = self._joined(weights[rows], indices[rows], rows)
        errors[rows] = (made - self.target[rows]).square().sum(dim=1)
        return _Outcome(weights, indices, errors)

    def _choose(self, gone: list[int]) -> tuple[Tensor, Tensor]:
        logits = self._logits.clone()
        logits[:, gone] = float("-inf")
        scores = Scores(logits, self._correction, None, self._dtype, self._scale)
        weights, indices = self._layer.family.routing.choose(self._layer.router, scores)
        return weights.float(), indices

    def _joined(self, weights: Tensor, indices: Tensor, rows: Tensor) -> Tensor:
        """(rows, d_model): the chosen experts' outputs together."""
        made = self._outputs[indices, rows.unsqueeze(1)]  # (rows, top_k, d_model)
        return made.sum(dim=1) if self._scaled_inside else (made * weights.unsqueeze(2)).sum(dim=1)
