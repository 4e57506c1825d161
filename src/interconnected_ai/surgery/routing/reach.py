"""How many experts a token takes where it is not the same for all: by probability, by its best expert, by its row's request.

Huang et al. 2024 let a token take as many experts as its router needs to be sure (top-p): few where one is clear, more where
none is. A pair that is not taken carries the index `num_experts`, which transformers' kernels skip.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.routing.context import Forward
from interconnected_ai.surgery.routing.token_routing import Scores, TokenRouting


@dataclass(frozen=True)
class Reach:
    """A layer's own way to say how many experts a token takes; without any it is the layer's top-k.

    top_p: as few as together have this part of the router's probabilities, `at_most` of them (None: top-k), `at_least` always.
    led: expert → how many a token takes whose best expert it is.
    """

    top_p: float | None = None
    at_most: int | None = None
    at_least: int = 1
    led: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def plain(self) -> bool:
        """Whether every token takes top-k."""
        return self.top_p is None and not self.led

    def most(self, top_k: int) -> int:
        """The most that a token may take."""
        cap = top_k if self.top_p is None or self.at_most is None else self.at_most
        return max([cap, *self.led.values()])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a side-car."""
        return {
            "top_p": self.top_p,
            "at_most": self.at_most,
            "at_least": self.at_least,
            "led": {str(expert): number for expert, number in self.led.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Reach":
        """What `to_dict` gave."""
        led = {int(expert): int(number) for expert, number in values["led"].items()}
        return cls(values["top_p"], values["at_most"], values["at_least"], led)


def choose(
    router: nn.Module, routing: TokenRouting, scores: Scores, reach: Reach, forward: Forward | None
) -> tuple[Tensor, Tensor]:
    """Weights and indices, (tokens, most); where a token takes fewer, weight 0 and the index of no expert."""
    top_k = router.top_k
    assert isinstance(top_k, int), "a router's top_k is a number"
    numbers = _numbers(router, routing, scores, reach, forward, top_k)
    if numbers is None:
        return routing.choose(router, scores)
    most, num_experts = int(numbers.max()), scores.logits.shape[1]
    weights: Tensor | None = None
    indices = torch.full((len(numbers), most), num_experts, device=scores.logits.device)
    for number in numbers.unique().tolist():
        rows = torch.where(numbers == number)[0]
        forced = None if scores.forced is None else scores.forced[rows]
        mine, chosen = routing.choose(router, replace(scores, logits=scores.logits[rows], forced=forced, top_k=number))
        weights = mine.new_zeros(len(numbers), most) if weights is None else weights
        weights = weights.index_put((rows.unsqueeze(1), torch.arange(number, device=rows.device)), mine)
        indices[rows, :number] = chosen
    assert weights is not None, "there is at least one token"
    return weights, indices


def _numbers(
    router: nn.Module, routing: TokenRouting, scores: Scores, reach: Reach, forward: Forward | None, top_k: int
) -> Tensor | None:
    """(tokens,) how many each takes; None where all take top-k."""
    asked = None if forward is None else _asked(forward, scores.logits.device)
    if (reach.plain and asked is None) or not len(scores.logits):
        return None
    numbers = torch.full((len(scores.logits),), top_k, device=scores.logits.device)
    if not reach.plain:
        numbers = _by_reach(router, routing, scores, reach, top_k)
    return numbers if asked is None else torch.where(asked > 0, asked, numbers)


def _by_reach(router: nn.Module, routing: TokenRouting, scores: Scores, reach: Reach, top_k: int) -> Tensor:
    most = reach.most(top_k)
    _, indices = routing.choose(router, replace(scores, top_k=most))
    parts = routing.probabilities(scores.logits).gather(1, indices)
    numbers = torch.full((len(indices),), top_k, device=indices.device)
    if reach.top_p is not None:
        cap = top_k if reach.at_most is None else reach.at_most
        reached = parts.sort(dim=1, descending=True).values.cumsum(dim=1)
        numbers = ((reached < reach.top_p).sum(dim=1) + 1).clamp(min(reach.at_least, cap), cap)
    best = indices.gather(1, parts.argmax(dim=1, keepdim=True)).squeeze(1)
    for expert, number in reach.led.items():
        numbers = torch.where(best == expert, number, numbers)
    return numbers


def _asked(forward: Forward, device: torch.device) -> Tensor | None:
    """(tokens,) what the rows' requests ask for, 0 where they ask for nothing; None where none does."""
    if all(request.top_k is None for request in forward.requests):
        return None
    return forward.per_row([request.top_k or 0 for request in forward.requests], device)
