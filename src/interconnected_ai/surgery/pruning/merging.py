"""Which experts of a layer do nearly the same, so that one may stand for several.

HC-SMoE (Chen et al. 2024) joins experts bottom up by the distance of their outputs, with average linkage; the members of a
cluster become the mean of their weights, each by how often it is used (M-SMoE, Li et al. 2024).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interconnected_ai.extras import require
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.pruning.measuring import Seen, contribution
from interconnected_ai.surgery.pruning.schedules import Move, Schedule, num_moves_at_most

_CHUNK_BYTES = 64 << 20


@torch.no_grad()
def by_similarity(layer: Layer, seen: Seen) -> Schedule:
    """Each time the two clusters join that are nearest in what they make of a sample of tokens; it costs their distance over
    the size of outputs. Where the router chooses among groups, clusters join within them, as many in each.
    """
    hierarchy = require("scipy.cluster.hierarchy", "surgery", "merging experts by similarity")
    distances = output_distances(layer, seen.hidden)
    num_groups, _ = layer.groups
    size = layer.num_experts // num_groups
    joins = []
    for group in range(num_groups):
        members = list(range(group * size, (group + 1) * size))
        near = distances[members][:, members]
        upper = torch.triu_indices(size, size, 1)
        tree = hierarchy.linkage(near[upper[0], upper[1]].numpy(), method="average") if size > 1 else []
        joins.append(_joins(tree, members))
    moves = [
        Move(sum(cost for _, cost in together), joined=tuple(pair for pair, _ in together))
        for together in zip(*joins, strict=True)
    ]
    return Schedule(layer.num_experts, num_groups, tuple(moves[: num_moves_at_most(layer)]))


def output_distances(layer: Layer, hidden: Tensor) -> Tensor:
    """(experts, experts) float64: |fᵢ(x) - fⱼ(x)| over all tokens, relative to the mean size of outputs."""
    num_experts = layer.num_experts
    products = torch.zeros(num_experts, num_experts, dtype=torch.float64)
    step = max(1, _CHUNK_BYTES // (4 * num_experts * layer.d_model))
    for start in range(0, len(hidden), step):
        some = hidden[start : start + step]
        ones = torch.ones(len(some), dtype=some.dtype, device=some.device)
        made = torch.stack([contribution(layer, e, some, ones).float().flatten() for e in range(num_experts)])
        products += (made @ made.T).double().cpu()
    sizes = products.diagonal()
    squares = (sizes.unsqueeze(0) + sizes.unsqueeze(1) - 2 * products).clamp_min(0)
    squares.fill_diagonal_(0)
    return (squares / sizes.mean().clamp_min(1e-300)).sqrt()


def shares_of(experts: Sequence[int], chosen: Tensor) -> list[float]:
    """How much each of a cluster counts: by how often it was chosen, and never nothing."""
    counts = chosen[list(experts)].double() + 1
    shares = (counts / counts.sum()).tolist()
    return [*shares[:-1], 1 - sum(shares[:-1])]


def _joins(tree: Sequence[Sequence[float]], members: Sequence[int]) -> list[tuple[tuple[int, int], float]]:
    """The rows of a linkage as ((expert, into), distance), clusters named by their smallest expert."""
    names, found = list(members), []
    for row in tree:
        into, expert = sorted((names[int(row[0])], names[int(row[1])]))
        names.append(into)
        found.append(((expert, into), float(row[2])))
    return found
