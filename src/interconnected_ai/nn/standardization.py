"""Centre and scale vectors by statistics that are taken once, from the rows that a model learns from."""

import torch
from torch import Tensor, nn

_FLAT = 1e-6  # a dimension that varies by less than this share of the typical one carries nothing but rounding


class Standardization(nn.Module):
    """(x - mean) · scale in every dimension. It hands vectors on as they are until `take` gives it statistics.

    mean, scale: (d_model,) buffers, which are saved with a model and never learn. Threads may compute with it at once, not
    while one calls `take`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("scale", torch.ones(d_model))

    def forward(self, vectors: Tensor) -> Tensor:
        """(…, d_model) → the same."""
        return (vectors - self.mean) * self.scale

    @torch.no_grad()
    def take(self, vectors: Tensor) -> None:
        """Mean and 1 / standard deviation of these (num_rows, d_model) vectors, computed in float64.

        A dimension that does not vary, as all do in a single row, is centred and keeps its scale.
        """
        deviation, mean = torch.std_mean(vectors.double().cpu(), dim=0, correction=0)
        varies = deviation > _FLAT * deviation.square().mean().sqrt()
        scale = torch.where(varies, deviation, torch.ones_like(deviation)).reciprocal()
        self.mean.copy_(mean)
        self.scale.copy_(scale)
