"""In which order a layer's experts go, what each step costs, and how far to go in every layer for a share to be left."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.settings import need_choice, need_number

Budget = Literal["layer", "global"]
BUDGETS: tuple[Budget, ...] = ("layer", "global")


@dataclass(frozen=True)
class Move:
    """One step: as many experts less as the router has groups, one of each (one where it knows no groups).

    cost: comparable with other layers' by the same method. gone: experts that are removed; joined: (expert, into): clusters
    that become one, each named by its smallest expert.
    """

    cost: float
    gone: tuple[int, ...] = ()
    joined: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Schedule:
    """All steps that a layer can take, the first to be taken first. size: experts less with each."""

    num_experts: int
    size: int
    moves: tuple[Move, ...]

    def after(self, num_moves: int) -> tuple[tuple[int, ...], ...]:
        """The experts that are left after so many moves, in their order: those that become one stand together."""
        gone = {expert for move in self.moves[:num_moves] for expert in move.gone}
        clusters: dict[int, tuple[int, ...]] = {
            expert: (expert,) for expert in range(self.num_experts) if expert not in gone
        }
        for move in self.moves[:num_moves]:
            for expert, into in move.joined:
                clusters[into] = tuple(sorted((*clusters[into], *clusters.pop(expert))))
        return tuple(sorted(clusters.values()))


def least_experts(layer: Layer) -> int:
    """How few experts a layer works with: its top-k, and in every group two and enough for the top-k."""
    num_groups, chosen = layer.groups
    if num_groups == 1:
        return layer.top_k
    return num_groups * max(2, -(-layer.top_k // chosen))


def by_score(layer: Layer, scores: Tensor) -> Schedule:
    """Experts go by their score, the smallest first; its share of the layer's sum is what it costs. scores: (experts,)."""
    values = scores.double()
    shares = (values / values.sum().clamp_min(1e-300)).tolist()
    ranked = values.argsort(stable=True).tolist()
    return in_order(layer, ranked, {expert: shares[expert] for expert in ranked})


def in_order(layer: Layer, ranked: Sequence[int], costs: Mapping[int, float]) -> Schedule:
    """Experts go in this order, where a router has groups one of each at a time; down to what the layer works with."""
    num_groups, _ = layer.groups
    size = layer.num_experts // num_groups
    queues = [[expert for expert in ranked if expert // size == group] for group in range(num_groups)]
    rounds = [tuple(together) for together in zip(*queues, strict=True)]
    moves = [Move(sum(costs[expert] for expert in together), gone=together) for together in rounds]
    return Schedule(layer.num_experts, num_groups, tuple(moves[: num_moves_at_most(layer)]))


def num_moves_at_most(layer: Layer) -> int:
    """Moves until a layer has the fewest experts that it works with."""
    num_groups, _ = layer.groups
    return (layer.num_experts - least_experts(layer)) // num_groups


def cut(layers: Iterable[Layer], schedules: Mapping[int, Schedule], keep: float, budget: Budget) -> dict[int, int]:
    """Layer → how many of its moves are taken so that this share of the experts is left.

    budget: "layer" leaves the share in every layer, "global" in the model, each time where the next move costs least.
    Raises `ConfigError` where the routers' top-k or groups need more, or nothing would go.
    """
    need_number("keep", keep, above=0, up_to=1)
    need_choice("budget", budget, BUDGETS)
    known = list(layers)
    if budget == "layer":
        taken = {layer.number: _moves_of(layer, schedules[layer.number], keep) for layer in known}
    else:
        total = sum(layer.num_experts for layer in known)
        taken = _cheapest(known, schedules, total - round(keep * total), keep)
    if not any(taken.values()):
        raise ConfigError(f"keep = {keep:g} leaves every expert where it is; keep less")
    return taken


def check_share(layers: Iterable[Layer], keep: float, budget: Budget) -> None:
    """Raise what `cut` would, before anything is measured."""
    known = list(layers)
    free = {
        layer.number: in_order(layer, range(layer.num_experts), dict.fromkeys(range(layer.num_experts), 0.0))
        for layer in known
    }
    cut(known, free, keep, budget)


def _moves_of(layer: Layer, schedule: Schedule, keep: float) -> int:
    left = max(round(keep * layer.num_experts / schedule.size), 1) * schedule.size
    least = least_experts(layer)
    if left < least:
        lower = ", or lower top-k first (set_top_k; --top-k)"
        groups = f" in {schedule.size} groups of two or more" if schedule.size > 1 else ""
        raise ConfigError(
            f"keep = {keep:g} leaves {left} of the {layer.num_experts} experts of layer {layer.number}, whose tokens take "
            f"{layer.top_k}{groups}: keep {least / layer.num_experts:g} or more{'' if groups else lower}"
        )
    return min((layer.num_experts - left) // schedule.size, len(schedule.moves))


def _cheapest(layers: Sequence[Layer], schedules: Mapping[int, Schedule], wanted: int, keep: float) -> dict[int, int]:
    taken = {layer.number: 0 for layer in layers}
    queue = [(schedule.moves[0].cost, number) for number, schedule in schedules.items() if schedule.moves]
    heapq.heapify(queue)
    less = 0
    while less < wanted and queue:
        _, number = heapq.heappop(queue)
        schedule = schedules[number]
        taken[number] += 1
        less += schedule.size
        if taken[number] < len(schedule.moves):
            heapq.heappush(queue, (schedule.moves[taken[number]].cost, number))
    if less < wanted:
        fewest, there = sum(map(least_experts, layers)), sum(layer.num_experts for layer in layers)
        raise ConfigError(
            f"keep = {keep:g}: with the routers' top-k and groups {fewest} of {there} experts must stay; "
            "keep more, or lower top-k first (set_top_k; --top-k)"
        )
    return taken
