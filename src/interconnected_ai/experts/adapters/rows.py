"""What adapters add to the rows of one generation, each row by its own: few products, however many adapters there are.

The base's product is the decoder's and the same for all rows. How it is made, see `GroupedAdapters`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank


class GroupedAdapters:
    """The `RowAdapters` of one generation: out + x · Aᵀ · Bᵀ, with A and B of each row's own adapter.

    adapters: one a row, as `AdapterWeights.prepared` gives them; None leaves a row to the base.

    Several tokens a row: a group of rows of one adapter after the other, each with its own two products. One token a row:
    the matrices of all adapters stand one below the other, so two products serve all rows, and what a row has from others is
    set to zero between them: a step costs the same calls for eight adapters as for one. Those stacks are copies, made at the
    first step and gone with the generation; where all rows have one adapter nothing is copied.

    Threads: one at a time; the weights may be shared by any number of them.
    """

    def __init__(self, adapters: Sequence[AdapterWeights | None]) -> None:
        distinct = {id(weights): weights for weights in adapters if weights is not None}
        places = {key: place for place, key in enumerate(distinct)}
        self._groups = tuple(distinct.values())
        self._group_of_row = [None if weights is None else places[id(weights)] for weights in adapters]
        self._is_uniform = len(self._groups) == 1 and None not in self._group_of_row
        self._stacked: dict[str, _Stack | None] = {}
        self._masks: dict[tuple[tuple[int, int], ...], Tensor] = {}

    @classmethod
    def everywhere(cls, weights: AdapterWeights) -> "GroupedAdapters":
        """One adapter for however many rows there are."""
        return cls([weights])

    def add(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        """out + Δ(hidden) for the module `name`; `out` is changed in place.

        hidden: (batch, seq, d_in), or (batch, d_in) for one token a row. out: the same with d_out, contiguous in it alone.
        """
        if not self._groups:
            return out
        if self._is_uniform:
            part = self._groups[0].modules.get(name)
            return out if part is None else _added(hidden, out, part)
        if hidden.ndim == 2 or hidden.shape[1] == 1:
            return self._add_to_all(name, hidden, out)
        return self._add_by_group(name, hidden, out)

    def select(self, rows: Sequence[int]) -> None:
        """Keep the adapters of these rows, in this order; a row may come several times or not at all."""
        if self._is_uniform:
            return
        self._group_of_row = [self._group_of_row[row] for row in rows]
        self._masks.clear()
        left = sorted({group for group in self._group_of_row if group is not None})
        if 2 * len(left) <= len(self._groups) or len(left) == 1:  # else dropping the others costs more than it saves
            self._keep(left)

    def _keep(self, groups: list[int]) -> None:
        places = {group: place for place, group in enumerate(groups)}
        self._groups = tuple(self._groups[group] for group in groups)
        self._group_of_row = [None if group is None else places[group] for group in self._group_of_row]
        self._is_uniform = len(self._groups) == 1 and None not in self._group_of_row
        self._stacked.clear()

    def _add_to_all(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        """One token a row: (batch, d_in) through the matrices of all adapters, each row's own kept."""
        if name not in self._stacked:
            self._stacked[name] = _Stack.of(name, self._groups)
        stack = self._stacked[name]
        if stack is None:
            return out
        inner = torch.mm(_flat(hidden), stack.a_t)  # (batch, ranks of all)
        inner.mul_(self._mask(stack, inner))
        _flat(out).addmm_(inner, stack.b_t)
        return out

    def _add_by_group(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        for group, weights in enumerate(self._groups):
            part = weights.modules.get(name)
            rows = [row for row, own in enumerate(self._group_of_row) if own == group]
            if part is None or not rows:
                continue
            first, num = rows[0], len(rows)
            if rows == list(range(first, first + num)):
                _added(hidden.narrow(0, first, num), out.narrow(0, first, num), part)
            else:
                index = torch.tensor(rows, device=hidden.device)
                out.index_add_(0, index, F.linear(F.linear(hidden[index], part.a), part.b))
        return out

    def _mask(self, stack: "_Stack", like: Tensor) -> Tensor:
        """(batch, ranks of all): 1 where the column is of the row's own adapter."""
        if (mask := self._masks.get(stack.layout)) is None:
            owners = torch.tensor([group for group, rank in stack.layout for _ in range(rank)])
            rows = torch.tensor([-1 if group is None else group for group in self._group_of_row])
            mask = self._masks[stack.layout] = (rows[:, None] == owners).to(like.device, like.dtype)
        return mask


@dataclass(frozen=True)
class _Stack:
    """The matrices of one module, all adapters' one below the other. a_t: (d_in, ranks of all). b_t: (ranks of all, d_out).

    layout: (adapter, rank) in the order of the columns.
    """

    a_t: Tensor
    b_t: Tensor
    layout: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, name: str, groups: Sequence[AdapterWeights]) -> "_Stack | None":
        found = [(place, weights.modules[name]) for place, weights in enumerate(groups) if name in weights.modules]
        if not found:
            return None
        parts = [part for _, part in found]
        if len(parts) == 1:
            a_t, b_t = parts[0].a.t(), parts[0].b.t()
        else:
            a_t, b_t = torch.cat([part.a for part in parts]).t(), torch.cat([part.b.t() for part in parts])
        return cls(a_t, b_t, tuple((place, part.rank) for place, part in found))


def _added(hidden: Tensor, out: Tensor, part: LowRank) -> Tensor:
    """All rows of one adapter; `out` is changed in place."""
    if hidden.ndim == 3 and hidden.shape[1] > 1:
        return out.add_(F.linear(F.linear(hidden, part.a), part.b))
    _flat(out).addmm_(torch.mm(_flat(hidden), part.a.t()), part.b.t())
    return out


def _flat(tensor: Tensor) -> Tensor:
    """(batch, 1, d) → (batch, d), the same memory."""
    return tensor if tensor.ndim == 2 else tensor[:, 0]
