"""Experts with stand-ins, factors and directions, in place: what `EditedRouter` is to routers."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.adapters.nf4 import run_packed
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.routing.context import Forward, current, dress, undress

# (the pass) → where stand-ins act: True everywhere, False nowhere, or one flag a token
Condition = Callable[[Forward | None], Tensor | bool]

# Whether some (token, expert) pairs were taken out of the product that runs in this thread.
_TAKEN_OUT: ContextVar[bool] = ContextVar("surgery_taken_out", default=False)


def _none() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class ExpertsState:
    """What edited experts do besides computing.

    variants: sets of modules that stand in for some experts, each with the condition under which it does. scale: expert →
    factor on its output. direction: expert → vector added to its output. transposed: how the stacks lie, for packed ones.
    fewer: whether a token may take fewer experts than others, so that some indices are those of no expert.
    A change puts another state in its place, so that a pass that has begun sees one state.
    """

    variants: Mapping[str, Condition] = field(default_factory=_none)
    scale: Mapping[int, float] = field(default_factory=_none)
    direction: Mapping[int, Tensor] = field(default_factory=_none)
    transposed: bool = False
    fewer: bool = False

    @property
    def plain(self) -> bool:
        """Whether the family's own experts would do the same."""
        return not self.variants and not self.scale and not self.direction and not self.fewer


def state_of(layer: Layer) -> ExpertsState:
    """What a layer's experts do besides computing."""
    state = layer.place.experts.__dict__.get("surgery")
    return state if isinstance(state, ExpertsState) else ExpertsState(transposed=layer.place.layout.transposed)


def put_state(layer: Layer, state: ExpertsState) -> None:
    """Give a layer's experts a state: the edited class while there is something to do, else the family's own."""
    experts = layer.place.experts
    experts.__dict__["surgery"] = state
    if "packed" in experts._modules or not state.plain:
        dress(experts, EditedExperts)
    else:
        undress(experts, EditedExperts)


def settle(layer: Layer) -> None:
    """The class that the layer's experts ask for, after something was packed or unpacked."""
    put_state(layer, state_of(layer))


class EditedExperts(nn.Module):
    """Experts of which some have stand-ins, computed for the tokens routed to them and no others."""

    surgery: ExpertsState
    num_experts: int

    @property
    def _is_expert_parallel(self) -> bool:
        """What transformers' kernels ask before they skip the index `num_experts`: in this thread's pass alone."""
        return _TAKEN_OUT.get() or bool(self.__dict__.get("_is_expert_parallel", False))

    @_is_expert_parallel.setter
    def _is_expert_parallel(self, value: bool) -> None:
        self.__dict__["_is_expert_parallel"] = value

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
            odd = bool(taken) or state.fewer
            out = self._others(hidden, rerouted, weights) if odd else super().forward(hidden, indices, weights)
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
        token = _TAKEN_OUT.set(True)
        try:
            out: Tensor = super().forward(hidden, indices, weights.masked_fill(indices == self.num_experts, 0.0))
        finally:
            _TAKEN_OUT.reset(token)
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
