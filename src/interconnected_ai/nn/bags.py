"""Sparse rows as `embedding_bag` takes them: the terms of texts with their weights, and products with tables of weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_COLUMNS = 256  # rows whose terms stand in a dense table at once


class Bags(NamedTuple):
    """The known terms of some texts, as `torch.nn.functional.embedding_bag` takes them.

    terms: (num_entries,) int32, places in the vocabulary; starts: (num_texts,) int32, where each text's begin; weights:
    (num_entries,) float32, of length 1 over a text's words, and over its characters.
    """

    terms: Tensor
    starts: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Bags":
        """The same on another device."""
        if self.terms.device == device:
            return self
        return Bags(*(tensor.to(device) for tensor in self))

    def take(self, rows: Tensor) -> "Bags":
        """The bags of these texts (numbers, any order) alone."""
        ends = torch.cat([self.starts[1:], self.starts.new_tensor([len(self.terms)])])
        starts, lengths = self.starts[rows].long(), (ends - self.starts)[rows].long()
        stops = lengths.cumsum(0)
        places = torch.arange(int(lengths.sum()), device=starts.device)
        places += torch.repeat_interleave(starts - (stops - lengths), lengths)
        return Bags(self.terms[places], (stops - lengths).int(), self.weights[places])

    def transposed(self, num_terms: int) -> "Bags":
        """The same matrix by its columns: for each of the vocabulary's terms the texts that it stands in."""
        stops = torch.cat([self.starts[1:], self.starts.new_tensor([len(self.terms)])])
        texts = torch.repeat_interleave(
            torch.arange(len(stops), dtype=torch.int32, device=stops.device), (stops - self.starts).long()
        )
        order = self.terms.argsort(stable=True)
        counts = torch.bincount(self.terms, minlength=num_terms)
        return Bags(texts[order], (counts.cumsum(0) - counts).int(), self.weights[order])

    @classmethod
    def joined(cls, parts: Sequence["Bags"]) -> "Bags":
        """The texts of all parts, one part after the other."""
        if not parts:
            return cls(torch.zeros(0, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0))
        if len(parts) == 1:
            return parts[0]
        shifts = np.cumsum([0, *(len(part.terms) for part in parts)]).tolist()
        return cls(
            torch.cat([part.terms for part in parts]),
            torch.cat([part.starts + shift for part, shift in zip(parts, shifts, strict=False)]),
            torch.cat([part.weights for part in parts]),
        )


class BagProduct(torch.autograd.Function):
    """Bags times a table, and the table's gradient by the bags' transpose: no sorting in each backward pass."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: Bags, transposed: Bags) -> Tensor:
        """`times(bags, table)`."""
        ctx.transposed = transposed
        return times(bags, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The table's gradient."""
        return times(ctx.transposed, gradients[0].contiguous()), None, None


def times(bags: Bags, table: Tensor) -> Tensor:
    """(num_texts, width): each bag's weighted sum of the rows of a (num_terms, width) table."""
    return F.embedding_bag(bags.terms, table, bags.starts, mode="sum", per_sample_weights=bags.weights)


def products_of(bags: Bags, num_terms: int) -> Tensor:
    """(num_texts, num_texts): what every two texts have in common, Σₜ xₜ · yₜ."""
    parts = []
    for rows in torch.arange(len(bags.starts), device=bags.starts.device).split(_COLUMNS):
        some = bags.take(rows)
        owner = torch.repeat_interleave(
            torch.arange(len(rows), device=rows.device),
            torch.diff(some.starts.long(), append=some.starts.new_tensor([len(some.terms)]).long()),
        )
        table = some.weights.new_zeros(num_terms, len(rows))
        table[some.terms.long(), owner] = some.weights
        parts.append(times(bags, table))
    return torch.cat(parts, dim=1)
