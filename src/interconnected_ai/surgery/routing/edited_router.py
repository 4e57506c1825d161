"""Routers with more abilities, in place: the module's class becomes a subclass of its own class.

Parameters keep their names, and transformers still recognises the router (it records router logits by class). torch does the
same for parametrizations. A subclass carries its parent's name and module, by which transformers looks classes up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.routing.context import Forward, current, dress, undress
from interconnected_ai.surgery.routing.token_routing import Scores, TokenRouting

# (hidden, logits, forward) → logits and, where some experts must be chosen, (tokens, experts) true for those
Apply = Callable[[Tensor, Tensor, Forward], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class RouterState:
    """What an edited router does besides routing.

    closed: FFN experts no token can reach. bias: expert → number added to its logit (a warm-up). program: rules that run
    before the choice. A change puts another state in its place, so that a pass that has begun sees one state.
    """

    routing: TokenRouting
    closed: frozenset[int] = frozenset()
    bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    program: Apply | None = None

    @property
    def plain(self) -> bool:
        """Whether the family's own router would do the same."""
        return not self.closed and not self.bias and self.program is None


def put_state(router: nn.Module, state: RouterState) -> None:
    """Give a router a state: the edited class while there is something to do, else the family's own."""
    router.__dict__["surgery"] = state
    settle_router(router)


def settle_router(router: nn.Module) -> None:
    """The class that the router's state asks for."""
    state = router.__dict__.get("surgery")
    if isinstance(state, RouterState) and not state.plain:
        dress(router, EditedRouter)
    else:
        undress(router, EditedRouter)


class EditedRouter(nn.Module):
    """A router that leaves closed experts out, adds biases and runs a program before it chooses."""

    surgery: RouterState

    def forward(self, hidden: Tensor) -> Any:
        """(…, d_model) → what the family's router returns."""
        state, known = self.surgery, self._known()
        hidden = hidden.reshape(-1, hidden.shape[-1])
        num_experts = known.weight.shape[0]
        opened = [e for e in range(num_experts) if e not in state.closed]
        logits = state.routing.logits(
            self, hidden, _rows(known.weight, opened), _maybe(getattr(known, "bias", None), opened)
        )
        if state.bias:
            added = [state.bias.get(e, 0.0) for e in opened]
            logits = logits + torch.tensor(added, device=logits.device, dtype=logits.dtype)
        forced = None
        forward = current()
        if state.program is not None and forward is not None:
            wide, forced = state.program(hidden, _spread(logits, opened, num_experts), forward)
            logits = wide[:, opened] if state.closed else wide
            forced = forced[:, opened] if forced is not None and state.closed else forced
        correction = _maybe(getattr(known, "e_score_correction_bias", None), opened)
        weights, indices = state.routing.choose(self, Scores(logits, correction, forced, hidden.dtype))
        if state.closed:
            indices = torch.tensor(opened, device=indices.device)[indices]
        logits = _spread(logits, opened, num_experts)
        if state.routing.returns_scores:
            return torch.zeros_like(logits).scatter(1, indices, weights.to(logits.dtype)), logits
        return logits, weights, indices

    def _known(self) -> Any:
        return self


def _rows(weight: Tensor, opened: list[int]) -> Tensor:
    """Those rows: all as they are, a leading part as a view, else a copy. The product keeps its shape, and so its rounding."""
    if len(opened) == len(weight):
        return weight
    return weight[: len(opened)] if opened == list(range(len(opened))) else weight[opened]


def _maybe(tensor: Tensor | None, opened: list[int]) -> Tensor | None:
    return None if tensor is None else _rows(tensor, opened)


def _spread(logits: Tensor, opened: list[int], num_experts: int) -> Tensor:
    """The logits under the experts' own numbers, minus infinity for closed ones."""
    if len(opened) == num_experts:
        return logits
    wide = logits.new_full((len(logits), num_experts), float("-inf"))
    wide[:, opened] = logits
    return wide
