"""One layer's experts and router, and one expert of it: handles that read, and hand operations on to the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.anatomy.families import Family
from interconnected_ai.surgery.anatomy.ffn import FFN, ExpertWeights, mix_of
from interconnected_ai.surgery.anatomy.places import Place, stacks
from interconnected_ai.surgery.routing.edited_router import EditedRouter, RouterState


class Operator(Protocol):
    """Who performs the operations that an expert's handle offers: a `MoE`."""

    def replace(self, layer: int, expert: int, source: Any) -> None:
        """Put other weights where an expert stands."""

    def clone(self, layer: int, expert: int) -> int:
        """Add a copy of an expert; gives its number."""

    def remove(self, layer: int, experts: Iterable[int]) -> None:
        """Take experts out."""


@dataclass(frozen=True)
class Probe:
    """What a block made of some random hidden states."""

    out: Tensor
    weights: Tensor
    indices: Tensor


class Layer:
    """The mixture of experts of one layer. operator: who performs what its experts' handles are asked for."""

    operator: Operator

    def __init__(self, place: Place, family: Family) -> None:
        self.place, self.family = place, family

    @property
    def number(self) -> int:
        """Its number among all layers of the model."""
        return self.place.number

    @property
    def router(self) -> nn.Module:
        """The module that chooses."""
        return self.place.router

    @property
    def matrix(self) -> Tensor:
        """The router's rows, (experts, d_model)."""
        return self.place.rows["weight"].tensor

    @property
    def num_experts(self) -> int:
        """Routed FFN experts, closed ones too."""
        return self.matrix.shape[0]

    @property
    def top_k(self) -> int:
        """FFN experts a token takes."""
        top_k = self.place.router.top_k
        assert isinstance(top_k, int), "a router has a top_k"
        return top_k

    @property
    def d_model(self) -> int:
        """Width of the hidden states."""
        return self.matrix.shape[1]

    @property
    def closed(self) -> frozenset[int]:
        """FFN experts that no token can reach yet."""
        return self.state.closed

    @property
    def state(self) -> RouterState:
        """What its router does besides routing."""
        state = self.place.router.__dict__.get("surgery")
        return state if isinstance(state, RouterState) else RouterState(self.family.routing)

    @property
    def groups(self) -> tuple[int, int]:
        """(number of groups, groups a token may use); (1, 1) where the router knows none."""
        router: Any = self.place.router
        grouped = getattr(router, "topk_method", "group_limited_greedy") == "group_limited_greedy"
        num_groups = getattr(router, "num_group", None) if grouped else None
        return (num_groups, router.topk_group) if num_groups and num_groups > 1 else (1, 1)

    @property
    def packed(self) -> bool:
        """Whether its experts are held in 4 bits."""
        return "packed" in self.place.experts._modules

    def limits(self) -> tuple[int, int]:
        """(top-k, how many experts are closed), as they are when a program asks."""
        return self.top_k, len(self.closed)

    @property
    def experts(self) -> "Experts":
        """Its FFN experts by number."""
        return Experts(self)

    def read(self, expert: int) -> ExpertWeights:
        """An expert's weights, sharing memory with the stack where the layout allows."""
        known: Any = self.place.experts
        packed = known._modules.get("packed")
        if packed is not None:
            return self.place.layout.read(packed.slices(expert, stacks(known)))
        return self.place.layout.read({name: stack[expert].detach() for name, stack in stacks(known).items()})

    def need(self, *experts: int) -> None:
        """Raise `ConfigError` for a number that is none of its experts."""
        for expert in experts:
            if isinstance(expert, bool) or not isinstance(expert, int) or not 0 <= expert < self.num_experts:
                raise ConfigError(
                    f"expert {expert!r}: layer {self.number} has the experts 0 to {self.num_experts - 1} (no negative numbers)"
                )

    @torch.no_grad()
    def probe(self, num_tokens: int = 24) -> Probe:
        """Run the block on random hidden states, always the same, in evaluation."""
        place, routing = self.place, self.family.routing
        generator = torch.Generator().manual_seed(self.number)
        known: Any = place.experts
        dtype = next(
            (each.dtype for each in stacks(known).values()), self.matrix.dtype
        )  # packed experts have no stacks
        hidden = torch.randn(1, num_tokens, self.d_model, generator=generator).to(self.matrix.device, dtype)
        seen: list[Any] = []
        handle = place.router.register_forward_hook(
            lambda router, args, output: seen.append(routing.unpacked(router, output))
        )
        try:
            with evaluating(place.block):
                out = self._run(hidden)
        finally:
            handle.remove()
        out = out[0] if isinstance(out, tuple) else out
        _, weights, indices = seen[-1]
        return Probe(out.reshape(num_tokens, -1).clone(), weights.clone(), indices.clone())

    def _run(self, hidden: Tensor) -> Any:
        """The block, or its router and experts alone where they stand in the decoder layer itself."""
        place = self.place
        if place.block is not place.decoder:
            return place.block(hidden)
        flat = hidden.flatten(0, -2)
        _, weights, indices = place.router(flat)
        return place.experts(flat, indices, weights)

    def __repr__(self) -> str:
        shut = f", {len(self.closed)} closed" if self.closed else ""
        edited = ", edited router" if isinstance(self.place.router, EditedRouter) else ""
        return f"Layer {self.number}: {self.num_experts} experts, top-{self.top_k}{shut}{edited}"


class Experts(Sequence["FFNExpert"]):
    """The FFN experts of a layer, counted from 0."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __len__(self) -> int:
        return self._layer.num_experts

    def __getitem__(self, number: Any) -> Any:
        """The expert with this number; `ConfigError` when there is none."""
        if isinstance(number, slice):
            return [FFNExpert(self._layer, each) for each in range(*number.indices(len(self)))]
        self._layer.need(number)
        return FFNExpert(self._layer, number)

    def __iter__(self) -> Iterator["FFNExpert"]:
        return (FFNExpert(self._layer, number) for number in range(len(self)))


@dataclass(frozen=True)
class FFNExpert:
    """One FFN expert of one layer."""

    layer: Layer
    number: int

    @property
    def weights(self) -> ExpertWeights:
        """Its matrices, sharing memory with the stack where the layout allows."""
        return self.layer.read(self.number)

    @property
    def ffn(self) -> FFN:
        """A copy of it as an ordinary feed-forward module."""
        return FFN(self.weights.copy(), mix_of(self.layer.place.experts))

    def replace(self, source: Any) -> None:
        """See `MoE.replace`."""
        self.layer.operator.replace(self.layer.number, self.number, source)

    def clone(self) -> "FFNExpert":
        """A copy of it at the end of the layer, out of reach until let in."""
        return FFNExpert(self.layer, self.layer.operator.clone(self.layer.number, self.number))

    def remove(self) -> None:
        """See `MoE.remove`."""
        self.layer.operator.remove(self.layer.number, [self.number])


class Layers:
    """The layers with experts, by their number in the model; iterating gives the layers themselves."""

    def __init__(self, places: Iterable[Place], family: Family) -> None:
        self.all = tuple(Layer(place, family) for place in places)
        self._by_number = {layer.number: layer for layer in self.all}

    def __getitem__(self, number: int) -> Layer:
        """The layer with this number; `ConfigError` when there is none or it is dense."""
        if isinstance(number, bool) or not isinstance(number, int) or number not in self._by_number:
            known = list(self._by_number)
            raise ConfigError(
                f"layer {number!r} has no experts; layers with experts: {known[0]} to {known[-1]}, {len(known)} of them"
            )
        return self._by_number[number]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)
