"""How near a text lies to what a branch has learnt from. A head is sure of its choice among its classes, whatever it is
asked; only the vector itself tells that a text is none of them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked


@checked
def class_directions(pooled: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """(num_classes, d_model): the direction of each class's mean vector, of length 1; zeros for a class without rows.

    pooled: (num_rows, d_model) of rows learnt from; targets: (num_rows,) their class numbers.
    """
    sums = pooled.new_zeros(num_classes, pooled.shape[-1]).index_add(0, targets, pooled)
    return F.normalize(sums, dim=-1)


def lengths_of(pooled: Tensor) -> Tensor:
    """(num_texts,) how long each vector is, never quite zero."""
    lengths: Tensor = torch.linalg.vector_norm(pooled, dim=-1).clamp(min=1e-12)
    return lengths


def familiarity(pooled: Tensor, directions: Tensor | None, lengths: Tensor | None = None) -> Tensor:
    """(num_texts,) cos² of each vector with the nearest class's direction: the share of it that this class explains, 0 to 1.

    Without directions (a branch that was never trained, or saved before they were kept) every text is familiar: ones.
    lengths: `lengths_of(pooled)`, where it is known already.
    """
    if directions is None:
        return pooled.new_ones(pooled.shape[0])
    along = (pooled @ directions.T).amax(dim=-1).clamp(min=0.0)
    lengths = lengths_of(pooled) if lengths is None else lengths
    share: Tensor = (along / lengths).square().clamp(max=1.0)
    return share


@checked
def rows_for_directions(targets: Tensor, num_classes: int) -> Tensor:
    """Numbers of the rows that class means are taken over: of each class evenly spaced ones, 2,048 or 32 a class in all."""
    most = max(2048 // num_classes, 32)
    chosen = []
    for number in range(num_classes):
        rows = (targets == number).nonzero()[:, 0]
        places = torch.linspace(0, max(0, len(rows) - 1), min(most, len(rows))).round().long()
        chosen.append(rows[places.to(rows.device)])
    return torch.cat(chosen)
