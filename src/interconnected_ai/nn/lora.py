"""Low-rank adapters (Hu et al. 2021): a module of their own, or wrapped around a linear layer; merge and unmerge."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn.dropout import Dropout
from interconnected_ai.nn.linear import linear

M = TypeVar("M", bound=nn.Module)


class LoRA(nn.Module):
    """Δ(x) = (alpha / rank) · B · A · x, with B = 0 at the start, so a new adapter changes nothing.

    `LoRA(768, 768, rank=8)` has 12,288 parameters.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        rank: int,
        *,
        alpha: float | None = None,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank={rank}: a low-rank adapter needs a rank of 1 or more")
        self.scale = (2 * rank if alpha is None else alpha) / rank
        self.lora_a = nn.Parameter(torch.empty(rank, d_in))
        self.lora_b = nn.Parameter(torch.zeros(d_out, rank))
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.lora_a, std=d_in**-0.5, generator=generator)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_in) → (…, d_out)."""
        return F.linear(F.linear(self.dropout(hidden), self.lora_a), self.lora_b) * self.scale

    def delta_weight(self) -> Tensor:
        """(d_out, d_in): the matrix that this adapter adds to a linear layer's weight."""
        return self.lora_b @ self.lora_a * self.scale


class LoRALinear(nn.Module):
    """A frozen linear layer plus its adapter: W · x + b + Δ(x).

    folds: in evaluation, where no gradients are asked for, compute (W + Δ) · x + b with a weight of its own that is kept, one
    product instead of three, for as many bytes again as W has. It is made anew after training and after weights are loaded or
    moved. Not for weights that are spread over processes, nor where `.data` of a weight is written between two evaluations.
    Any number of threads may evaluate at once.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        *,
        alpha: float | None = None,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora = LoRA(base.in_features, base.out_features, rank, alpha=alpha, dropout=dropout, generator=generator)
        self.folds = False
        self._folded: tuple[tuple[Any, ...], Tensor] | None = None
        self._unmerged: Tensor | None = None
        self.register_state_dict_pre_hook(_refuse_merged)

    @property
    def weight(self) -> Tensor:
        """(d_out, d_in): the frozen layer's, as models that look at a layer's dtype or device want (T5 does)."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """(d_out,): the frozen layer's."""
        return self.base.bias

    @property
    def merged(self) -> bool:
        """Whether Δ is folded into the base weight."""
        return self._unmerged is not None

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_in) → (…, d_out)."""
        if self.merged:
            out: Tensor = self.base(hidden)
        elif self.folds and not self.training and not torch.is_grad_enabled():
            out = linear(hidden, self._folded_weight(), self.base.bias)
        else:
            out = self.base(hidden) + self.lora(hidden)
        return out

    def train(self, mode: bool = True) -> Self:
        """As every module's; what was folded is given back when training begins."""
        if mode:
            self._folded = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._folded = None
        super()._apply(fn, recurse)
        return self

    def _folded_weight(self) -> Tensor:
        """(d_out, d_in): W + Δ, computed when it is first asked for."""
        weights = (self.base.weight, self.lora.lora_a, self.lora.lora_b)
        state = tuple((id(w), w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights)
        kept = self._folded
        if kept is None or kept[0] != state:
            kept = self._folded = state, self.base.weight + self.lora.delta_weight()
        return kept[1]

    def merge(self) -> None:
        """Fold Δ into the base weight: one matrix product instead of three. The original weight is kept aside."""
        if self._unmerged is None:
            self._folded = None
            self._unmerged = self.base.weight.data
            self.base.weight.data = self._unmerged + self.lora.delta_weight().detach()

    def unmerge(self) -> None:
        """Put the original base weight back, to the last bit."""
        if self._unmerged is not None:
            self.base.weight.data = self._unmerged
            self._unmerged = None


def add_lora(
    model: nn.Module,
    rank: int,
    *,
    targets: Callable[[str, nn.Linear], bool] = lambda name, linear: True,
    alpha: float | None = None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Wrap the linear layers that `targets(name, linear)` picks in `LoRALinear`, in place; returns their names."""
    chosen = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and targets(name, m)]
    for name in chosen:
        parent, _, attribute = name.rpartition(".")
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        wrapped = LoRALinear(base, rank, alpha=alpha, dropout=dropout, generator=generator)
        setattr(model.get_submodule(parent), attribute, wrapped)
    return chosen


def without_lora(model: M) -> M:
    """Another model with the same parameters and buffers in memory, and without the adapters inside `model`.

    While adapters are merged this is no copy of what the weights were: raises `RuntimeError`. Other threads may compute.
    """
    wrapped = {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}
    if merged := [name for name, m in wrapped.items() if m.merged]:
        raise RuntimeError(f"{merged[0]} is merged; call unmerge_lora(model) before copying it")
    shared = [*model.parameters(), *model.buffers(), *(m._folded for m in wrapped.values())]
    twin = copy.deepcopy(model, {id(thing): thing for thing in shared})
    for name in wrapped:
        parent, _, attribute = name.rpartition(".")
        setattr(twin.get_submodule(parent), attribute, twin.get_submodule(name).base)
    return twin


def merge_lora(model: nn.Module) -> None:
    """Merge every `LoRALinear` inside `model`."""
    for wrapped in _wrapped(model):
        wrapped.merge()


def unmerge_lora(model: nn.Module) -> None:
    """Unmerge every `LoRALinear` inside `model`."""
    for wrapped in _wrapped(model):
        wrapped.unmerge()


def _refuse_merged(module: nn.Module, prefix: str, keep_vars: bool) -> None:
    """A state taken while merged would hold Δ twice, in the weight and in the adapter."""
    if isinstance(module, LoRALinear) and module.merged:
        raise RuntimeError(f"{prefix.rstrip('.') or 'this layer'} is merged; call unmerge_lora(model) before saving it")


def _wrapped(model: nn.Module) -> Iterator[LoRALinear]:
    return (m for m in model.modules() if isinstance(m, LoRALinear))
