"""The low-rank matrices of an adapter, by the names of the modules of the base that they change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LowRank:
    """Δ(x) = scale · B · A · x of one linear layer (Hu et al. 2021). a: (rank, d_in). b: (d_out, rank)."""

    a: Tensor
    b: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.a.shape[0]

    @property
    def num_bytes(self) -> int:
        """Bytes of both matrices."""
        return self.a.nbytes + self.b.nbytes

    def delta(self) -> Tensor:
        """(d_out, d_in) in float32: the matrix that is added to the layer's weight."""
        return self.b.float() @ self.a.float() * self.scale


@dataclass(frozen=True)
class AdapterWeights:
    """An adapter's matrices: module name, as the Hugging Face model has it (`model.layers.0.self_attn.q_proj`) → `LowRank`.

    Nobody changes the tensors, so any number of threads may compute with them.
    """

    modules: Mapping[str, LowRank]

    @property
    def num_bytes(self) -> int:
        """Bytes of all matrices."""
        return sum(part.num_bytes for part in self.modules.values())

    @property
    def num_params(self) -> int:
        """Numbers in all matrices."""
        return sum(part.a.numel() + part.b.numel() for part in self.modules.values())

    @property
    def rank(self) -> int:
        """The largest rank of a module; 0 without modules."""
        return max((part.rank for part in self.modules.values()), default=0)

    def named(self) -> Iterator[tuple[str, LowRank]]:
        """Modules in the order of their names."""
        for name in sorted(self.modules):
            yield name, self.modules[name]

    def prepared(self, device: torch.device, dtype: torch.dtype) -> "AdapterWeights":
        """Ready to compute with: there, in this type, the scale in B, each matrix in memory of its own.

        Both stand transposed in memory, as the products of many adapters at once read them.
        """
        return AdapterWeights(
            {
                name: LowRank(
                    part.a.to(device, dtype, copy=True).t().contiguous().t(),
                    (part.b.to(device, torch.float32) * part.scale).to(dtype).t().contiguous().t(),
                    1.0,
                )
                for name, part in self.modules.items()
            }
        )
