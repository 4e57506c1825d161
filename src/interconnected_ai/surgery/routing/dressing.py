"""Routers and experts with more abilities, in place: the module's class becomes a subclass of its own class.

Parameters keep their names, and transformers still recognises the router (it records router logits by class). torch does the
same for parametrizations. A subclass carries its parent's name and module, by which transformers looks classes up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.adapters.nf4 import run_packed
from interconnected_ai.surgery.routing.context import Forward, current
from interconnected_ai.surgery.routing.token_routing import Scores, TokenRouting

# (hidden, logits, forward) → logits and, where some experts must be chosen, (tokens, experts) true for those
Apply = Callable[[Tensor, Tensor, Forward], tuple[Tensor, Tensor | None]]


@dataclass
class RouterState:
    """What an edited router does besides routing.

    closed: FFN experts no token can reach. bias: expert → number added to its logit (a warm-up). program: rules that run
    before the choice.
    """

    routing: TokenRouting
    closed: frozenset[int] = frozenset()
    bias: dict[int, float] = field(default_factory=dict)
    program: Apply | None = None

    @property
    def plain(self) -> bool:
        """Whether the family's own router would do the same."""
        return not self.closed and not self.bias and self.program is None


@dataclass
class ExpertsState:
    """What edited experts do besides computing.

    variants: sets of modules that stand in for some experts, each with the condition under which it does. scale: expert →
    factor on its output. direction: expert → vector added to its output. transposed: how the stacks lie, for packed ones.
    """

    variants: dict[str, Callable[[Forward | None], Tensor | bool]] = field(default_factory=dict)
    scale: dict[int, float] = field(default_factory=dict)
    direction: dict[int, Tensor] = field(default_factory=dict)
    transposed: bool = False

    @property
    def plain(self) -> bool:
        """Whether the family's own experts would do the same."""
        return not self.variants and not self.scale and not self.direction


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


class EditedExperts(nn.Module):
    """Experts of which some have stand-ins, computed for the tokens routed to them and no others."""

    surgery: ExpertsState
    num_experts: int

    def forward(self, hidden: Tensor, *routed: Any, **named: Any) -> Tensor:
        """What the family's experts compute, with the stand-ins."""
        chosen = [*routed, *named.values()]
        if not chosen:  # Llama 4 sends every token to every expert, scaled by its score, expert after expert
            return self._dense(hidden)
        indices, weights = chosen if not _is_weights_first(named) else chosen[::-1]
        state = self.surgery
        weights = self._scaled(indices, weights)
        rerouted, taken, idle = indices, [], []
        for name, condition in state.variants.items():
            active = condition(current())
            if active is False:
                continue
            for key, module in self._variant(name).items():
                here = rerouted == int(key)
                if isinstance(active, Tensor):
                    here = here & active.to(here.device).unsqueeze(1)
                tokens, slots = torch.where(here)
                if len(tokens):
                    taken.append((module, tokens, weights[tokens, slots]))
                    rerouted = rerouted.masked_fill(here, self.num_experts)
                else:
                    idle.append(module)
        if "packed" in self._modules:
            out = self._unpacking(hidden, rerouted, weights)
        else:
            out = self._others(hidden, rerouted, weights) if taken else super().forward(hidden, indices, weights)
        for module, tokens, share in taken:
            mine = module(hidden[tokens]) * share.unsqueeze(1)
            out = out.index_add(0, tokens, mine.to(out.dtype))
        for module in idle if torch.is_grad_enabled() else ():
            out = _joined(out, module)
        for expert, vector in state.direction.items():
            share = (weights * (indices == expert)).sum(dim=1, keepdim=True)
            out = out + (share * vector.to(share)).to(out.dtype)
        return out

    def _others(self, hidden: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """The family's own computation of all pairs but those that were taken out.

        A pair taken out carries the index `num_experts`, which transformers' kernels skip for expert parallelism.
        """
        known: Any = self
        if known.config._experts_implementation == "eager" and getattr(known, "has_bias", False):
            return _by_loop(known, hidden, indices, weights)  # gpt-oss's own loop knows no index beyond the last
        before = getattr(known, "_is_expert_parallel", False)
        known._is_expert_parallel = True
        try:
            out: Tensor = super().forward(hidden, indices, weights.masked_fill(indices == self.num_experts, 0.0))
        finally:
            known._is_expert_parallel = before
        return out

    def _unpacking(self, hidden: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """Packed experts one after the other, for the tokens routed to them."""
        out = torch.zeros_like(hidden)
        for expert in indices.unique().tolist():
            if expert < self.num_experts:
                tokens, slots = torch.where(indices == expert)
                mine = run_packed(self, expert, hidden[tokens], self.surgery.transposed) * weights[tokens, slots, None]
                out = out.index_add(0, tokens, mine.to(out.dtype))
        return out

    def _scaled(self, indices: Tensor, weights: Tensor) -> Tensor:
        if not self.surgery.scale:
            return weights
        factors = torch.ones(self.num_experts + 1, device=weights.device, dtype=weights.dtype)
        for expert, factor in self.surgery.scale.items():
            factors[expert] = factor
        return weights * factors[indices]

    def _variant(self, name: str) -> dict[str, nn.Module]:
        variants: Any = self.variants
        return dict(variants[name].items())

    def _dense(self, hidden: Tensor) -> Tensor:
        """Llama 4: rows of expert e are those e · tokens … (e + 1) · tokens; a token not routed there is all zeros."""
        state = self.surgery
        rows = hidden.view(self.num_experts, -1, hidden.shape[-1])
        if "packed" in self._modules:
            pieces = [self._unpacked(expert, rows[expert]) for expert in range(self.num_experts)]
        else:
            pieces = list(super().forward(hidden).view_as(rows).unbind(0))
        for name, condition in state.variants.items():
            active = condition(current())
            if active is False:
                continue
            for key, module in self._variant(name).items():
                here = rows[int(key)].any(dim=-1)
                tokens = torch.where(here & active.to(here.device) if isinstance(active, Tensor) else here)[0]
                pieces[int(key)] = pieces[int(key)].index_copy(
                    0, tokens, module(rows[int(key)][tokens]).to(hidden.dtype)
                )
        for expert, factor in state.scale.items():
            pieces[expert] = pieces[expert] * factor
        for expert, vector in state.direction.items():
            pieces[expert] = pieces[expert] + rows[expert].any(dim=-1, keepdim=True) * vector.to(hidden)
        return torch.stack(pieces).flatten(0, 1)

    def _unpacked(self, expert: int, rows: Tensor) -> Tensor:
        """Llama 4's rows of one packed expert, those routed to it."""
        tokens = torch.where(rows.any(dim=-1))[0]
        mine = run_packed(self, expert, rows[tokens], self.surgery.transposed)
        return torch.zeros_like(rows).index_copy(0, tokens, mine)


def _joined(out: Tensor, module: nn.Module) -> Tensor:
    """The same output, of which a stand-in that no token reached is a part: its gradient is zero instead of absent.

    Without it a batch that misses the only expert in training could not be learnt from at all, and processes that train
    together would wait for a gradient that never comes.
    """
    trained = [parameter.flatten()[:0] for parameter in module.parameters() if parameter.requires_grad]
    if not trained:
        return out
    nothing = torch.cat(trained).to(out.dtype).unsqueeze(1).expand(0, out.shape[1])
    return out.index_add(0, torch.empty(0, dtype=torch.long, device=out.device), nothing)


def _by_loop(experts: Any, hidden: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """gpt-oss's experts one after the other, for the pairs whose index is that of an expert."""
    out = torch.zeros_like(hidden)
    for expert in range(experts.num_experts):
        tokens, slots = torch.where(indices == expert)
        if len(tokens):
            gate_up = hidden[tokens] @ experts.gate_up_proj[expert] + experts.gate_up_proj_bias[expert]
            mine = experts._apply_gate(gate_up) @ experts.down_proj[expert] + experts.down_proj_bias[expert]
            out = out.index_add(0, tokens, (mine * weights[tokens, slots, None]).to(out.dtype))
    return out


def _is_weights_first(named: dict[str, Any]) -> bool:
    """Whether keyword arguments came as weights, indices."""
    return bool(named) and "weight" in next(iter(named))


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
