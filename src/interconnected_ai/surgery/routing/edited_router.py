"""Routers with more abilities, in place: the module's class becomes a subclass of its own class.

Parameters keep their names, and transformers still recognises the router (it records router logits by class). torch does the
same for parametrizations. A subclass carries its parent's name and module, by which transformers looks classes up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.routing.context import Forward, current, dress, undress
from interconnected_ai.surgery.routing.reach import Reach, choose
from interconnected_ai.surgery.routing.token_routing import Scores, TokenRouting

# (hidden, logits, forward) → logits and, where some experts must be chosen, (tokens, experts) true for those
Apply = Callable[[Tensor, Tensor, Forward], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class RouterState:
    """What an edited router does besides routing.

    closed: FFN experts no token can reach. bias: expert → number added to its logit (a warm-up). program: rules that run
    before the choice. reach: how many experts a token takes where that differs. A change puts another state in its place, so
    that a pass that has begun sees one state.
    """

    routing: TokenRouting
    closed: frozenset[int] = frozenset()
    bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    program: Apply | None = None
    reach: Reach = field(default_factory=Reach)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RouterState":
        """Itself: it does not change, and so a copied module may have it too."""
        return self

    @property
    def plain(self) -> bool:
        """Whether the family's own router would do the same."""
        return not self.closed and not self.bias and self.program is None and self.reach.plain


def put_state(router: nn.Module, state: RouterState) -> None:
    """Give a router a state: the edited class while there is something to do, else the family's own."""
    router.__dict__["surgery"] = state
    settle_router(router)


def settle_router(router: nn.Module) -> None:
    """The class that the router's state asks for."""
    state = router.__dict__.get("surgery")
    if isinstance(state, RouterState) and not (state.plain and _as_config_says(router, state.routing)):
        dress(router, EditedRouter)
    else:
        undress(router, EditedRouter)


def _as_config_says(router: nn.Module, routing: TokenRouting) -> bool:
    """Whether the top-k that the family's own router would take is this one's."""
    known: Any = router
    return not routing.top_k_in_config or getattr(known.config, routing.top_k_in_config) == known.top_k


class EditedRouter(nn.Module):
    """A router that leaves closed experts out, adds biases and runs a program before it chooses."""

    surgery: RouterState

    def forward(self, hidden: Tensor, correction: Tensor | None = None) -> Any:
        """(…, d_model) → what the family's router returns. correction: where its block keeps it."""
        state, routing = self.surgery, self.surgery.routing
        hidden = hidden.reshape(-1, hidden.shape[-1])
        matrix = _below(self, routing.matrix)
        assert matrix is not None, "a router has rows"
        num_experts = matrix.shape[0]
        opened = [e for e in range(num_experts) if e not in state.closed]
        bias = _below(self, routing.matrix.replace("weight", "bias"))
        logits = routing.logits(self, hidden, _rows(matrix, opened), _maybe(bias, opened))
        if state.bias:
            added = [state.bias.get(e, 0.0) for e in opened]
            logits = logits + torch.tensor(added, device=logits.device, dtype=logits.dtype)
        forced = None
        forward = current()
        if state.program is not None and forward is not None:
            wide, forced = state.program(hidden, _spread(logits, opened, num_experts), forward)
            logits = wide[:, opened] if state.closed else wide
            forced = forced[:, opened] if forced is not None and state.closed else forced
        correction, scale = numbers_beside(self, routing, correction)
        beside = Scores(logits, _maybe(correction, opened), forced, hidden.dtype, _maybe(scale, opened))
        weights, indices = choose(self, routing, beside, _under(state.reach, opened), forward)
        if state.closed:  # the last number is that of no expert
            indices = torch.tensor([*opened, num_experts], device=indices.device)[indices]
        logits = _spread(logits, opened, num_experts)
        if routing.returns_scores:
            room = logits.new_zeros(len(logits), num_experts + 1)
            return room.scatter(1, indices, weights.to(logits.dtype))[:, :num_experts], logits
        if routing.returns_probabilities:
            logits = torch.softmax(logits, dim=-1, dtype=torch.float32)
        return logits, weights, indices


def numbers_beside(
    router: nn.Module, routing: TokenRouting, correction: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """(experts,) the correction of the choice and the factor on each weight; None where there is none.

    correction: where the block keeps it and hands it to its router.
    """
    correction = _below(router, routing.correction) if correction is None else correction
    return None if correction is None else correction.reshape(-1), _below(router, routing.scale)


def _below(router: nn.Module, path: str) -> Tensor | None:
    """The tensor at a path of attributes below a router; None where there is none."""
    found: Any = router
    for name in path.split("."):
        found = getattr(found, name, None) if name else None
    return found if isinstance(found, Tensor) else None


def _under(reach: Reach, opened: list[int]) -> Reach:
    """The same under the numbers that open experts have among themselves."""
    if not reach.led:
        return reach
    led = {opened.index(expert): number for expert, number in reach.led.items() if expert in opened}
    return replace(reach, led=led)


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
