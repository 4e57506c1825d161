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
    the matrices of all adapters stand in one tensor, so two batched products serve all rows and read every matrix once: a step
    makes as many calls for eight adapters as for one. Those stacks are copies, made at the first step and gone with the
    generation, smaller ranks filled up with zeros; where all rows have one adapter nothing is copied.

    Threads: one at a time; the weights may be shared by any number of them.
    """

    def __init__(self, adapters: Sequence[AdapterWeights | None]) -> None:
        distinct = {id(weights): weights for weights in adapters if weights is not None}
        places = {key: place for place, key in enumerate(distinct)}
        self._groups = tuple(distinct.values())
        self._group_of_row = [None if weights is None else places[id(weights)] for weights in adapters]
        self._is_uniform = len(self._groups) == 1 and None not in self._group_of_row
        self._stacked: dict[str, _Stack | None] = {}
        self._places = _Places.of(self._group_of_row, len(self._groups))

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
        if (hidden.ndim == 2 or hidden.shape[1] == 1) and not self._places.is_wasteful:
            return self._add_to_all(name, hidden, out)
        return self._add_by_group(name, hidden, out)

    def select(self, rows: Sequence[int]) -> None:
        """Keep the adapters of these rows, in this order; a row may come several times or not at all."""
        if self._is_uniform:
            return
        self._group_of_row = [self._group_of_row[row] for row in rows]
        left = sorted({group for group in self._group_of_row if group is not None})
        if 2 * len(left) <= len(self._groups) or len(left) == 1:  # else dropping the others costs more than it saves
            self._keep(left)
        self._places = _Places.of(self._group_of_row, len(self._groups))

    def of_row(self, row: int, name: str) -> tuple[Tensor, Tensor] | None:
        """What a row adds to the module `name`; None where its adapter has nothing there."""
        group = 0 if self._is_uniform else self._group_of_row[row]
        part = None if group is None else self._groups[group].modules.get(name)
        return None if part is None else (part.a, part.b)

    def _keep(self, groups: list[int]) -> None:
        places = {group: place for place, group in enumerate(groups)}
        self._groups = tuple(self._groups[group] for group in groups)
        self._group_of_row = [None if group is None else places[group] for group in self._group_of_row]
        self._is_uniform = len(self._groups) == 1 and None not in self._group_of_row
        self._stacked.clear()

    def _add_to_all(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        """One token a row: (batch, d_in) through the matrices of all adapters, each row through its own."""
        if name not in self._stacked:
            self._stacked[name] = _Stack.of(name, self._groups)
        stack = self._stacked[name]
        if stack is not None:
            self._places.add(_flat(hidden), _flat(out), stack)
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


@dataclass(frozen=True)
class _Stack:
    """The matrices of one module, all adapters': a (adapters, d_in, rank), b (adapters, rank, d_out), rank the largest."""

    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, name: str, groups: Sequence[AdapterWeights]) -> "_Stack | None":
        found = [weights.modules.get(name) for weights in groups]
        known = [part for part in found if part is not None]
        if not known:
            return None
        rank, first = max(part.rank for part in known), known[0]
        a = first.a.new_zeros(len(groups), first.a.shape[1], rank)
        b = first.b.new_zeros(len(groups), rank, first.b.shape[0])
        for place, part in enumerate(found):
            if part is not None:
                a[place, :, : part.rank] = part.a.t()
                b[place, : part.rank] = part.b.t()
        return cls(a, b)


@dataclass(frozen=True)
class _Places:
    """Where rows stand in the batched product, (adapters, rows of one, d): the adapters that have fewer rows are filled up.

    index: None where rows stand in it as they are; else (adapters · rows of one,) the row that each place reads. places, rows:
    the places that count, and the rows that they are for.
    """

    num_groups: int
    index: Tensor | None
    places: Tensor
    rows: Tensor
    is_wasteful: bool = False  # most places would be filled up: adapters are better taken one after the other

    @classmethod
    def of(cls, group_of_row: Sequence[int | None], num_groups: int) -> "_Places":
        of_group: list[list[int]] = [[] for _ in range(num_groups)]
        for row, group in enumerate(group_of_row):
            if group is not None:
                of_group[group].append(row)
        most = max((len(rows) for rows in of_group), default=0)
        listed = [row for rows in of_group for row in (rows + [0] * most)[:most]]
        places = [group * most + n for group, rows in enumerate(of_group) for n in range(len(rows))]
        is_plain = listed == list(range(len(group_of_row))) and len(places) == len(listed)
        rows = [row for rows in of_group for row in rows]
        return cls(
            num_groups,
            None if is_plain else torch.tensor(listed),
            torch.tensor(places),
            torch.tensor(rows),
            len(listed) > 2 * len(group_of_row) + 8,
        )

    def add(self, hidden: Tensor, out: Tensor, stack: _Stack) -> None:
        """hidden: (batch, d_in). out: (batch, d_out), changed in place."""
        if self.index is None:
            shape = (self.num_groups, -1)
            inner = torch.bmm(hidden.unflatten(0, shape), stack.a)
            out.unflatten(0, shape).baddbmm_(inner, stack.b)
            return
        read = hidden[self.index.to(hidden.device)].unflatten(0, (self.num_groups, -1))
        given = torch.bmm(torch.bmm(read, stack.a), stack.b).flatten(0, 1)
        out.index_add_(0, self.rows.to(out.device), given[self.places.to(out.device)])


def _added(hidden: Tensor, out: Tensor, part: LowRank) -> Tensor:
    """All rows of one adapter; `out` is changed in place."""
    if hidden.ndim == 3 and hidden.shape[1] > 1:
        return out.add_(F.linear(F.linear(hidden, part.a), part.b))
    _flat(out).addmm_(torch.mm(_flat(hidden), part.a.t()), part.b.t())
    return out


def _flat(tensor: Tensor) -> Tensor:
    """(batch, 1, d) → (batch, d), the same memory."""
    return tensor if tensor.ndim == 2 else tensor[:, 0]
