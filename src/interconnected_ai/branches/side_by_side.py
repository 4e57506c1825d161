"""What many branches say of the same texts, in a few products for all of them: a small product takes longer to call than to
compute, and who calls keeps other threads of Python waiting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.vocabulary import TermTable
from interconnected_ai.branches.wide import WidePart
from interconnected_ai.nn import LoRA

_MOST_NUMBERS = (
    1 << 20
)  # of branches and of what is computed of them, taken at once: 4 MB, which stay in a processor's cache
_SHORTEST = 1e-12  # of what a text says: nothing, where no term of it is known


class Answering(Protocol):
    """What of a branch answers."""

    adapter: LoRA
    head: nn.Linear
    wide: WidePart | None


def logits_of(branches: Sequence[Answering], features: TextFeatures) -> list[Tensor]:
    """For each branch its (num_texts, num_classes) logits, as `Branch.forward` has them in evaluation, up to rounding.

    What a branch says does not depend on which others are asked, to the last bit: each of its matrices is a factor of its own.
    Without gradients; any number of threads may ask at once.
    """
    factors = [_Factors.of(branch) for branch in branches]
    found: dict[int, Tensor] = {}
    for numbers in _alike(factors, features):
        found.update(zip(numbers, _said([factors[number] for number in numbers], features).unbind(0), strict=True))
    return [found[number] for number in range(len(branches))]


@dataclass(frozen=True, eq=False, slots=True)
class _Factors:
    """A branch's matrices. Asking modules for them is what takes longest with hundreds of branches: each is asked once."""

    lora_a: Tensor
    lora_b: Tensor
    scale: float
    head: Tensor
    bias: Tensor
    wide: WidePart | None
    words: Tensor | None

    @classmethod
    def of(cls, branch: Answering) -> "_Factors":
        adapter, head, wide = branch.adapter, branch.head, branch.wide
        words = None if wide is None else wide.weight.detach()
        return cls(adapter.lora_a, adapter.lora_b, adapter.scale, head.weight, head.bias, wide, words)

    @property
    def kind(self) -> tuple[object, ...]:
        """The same for branches whose matrices have the same shapes."""
        return self.head.shape, self.head.dtype, self.head.device, self.lora_a.shape, self.scale, self.wide is None


def _alike(factors: Sequence[_Factors], features: TextFeatures) -> Iterator[list[int]]:
    """Numbers of branches of one kind, some at a time where that changes no bit of what each says.

    One at a time on a GPU, which multiplies many otherwise than one, and where this thread computes with others of
    PyTorch's: they share a product by itself otherwise than they share out several.
    """
    together = torch.get_num_threads() == 1
    kinds: dict[tuple[object, ...], list[int]] = {}
    for number, own in enumerate(factors):
        kinds.setdefault(own.kind, []).append(number)
    for numbers in kinds.values():
        first = factors[numbers[0]]
        size = (
            max(1, _MOST_NUMBERS // _num_numbers(first, features))
            if together and first.head.device.type == "cpu"
            else 1
        )
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]


def _num_numbers(one: _Factors, features: TextFeatures) -> int:
    """Of its matrices, of what comes of them for these texts, and of the terms that these have."""
    num_classes, d_model = one.head.shape
    table = None if one.wide is None else features.table
    num_terms = 0 if table is None else table.frequencies.shape[1] + 2 * len(features)
    return 2 * one.lora_a.numel() + (num_classes + len(features)) * d_model + num_classes * num_terms


def _said(factors: Sequence[_Factors], features: TextFeatures) -> Tensor:
    """(branches, num_texts, num_classes) logits of branches of one kind."""
    logits = _meant(factors, features)
    if factors[0].wide is None:
        return logits
    table = features.table if logits.device.type == "cpu" else None
    if table is not None:
        return logits + _heard_in(table, factors, features).to(logits.dtype)
    wide = [own.wide for own in factors if own.wide is not None]
    bags = [features.bags(part.vocabulary).to(logits.device) for part in wide]
    return logits + torch.stack([part.forward(each) for part, each in zip(wide, bags, strict=True)])


def _meant(factors: Sequence[_Factors], features: TextFeatures) -> Tensor:
    """(branches, num_texts, num_classes): W · (x + Δ(x)) + b of the pooled vectors x."""
    pooled = features.pooled.to(factors[0].head.dtype).expand(len(factors), -1, -1)
    lora_a = torch.stack([own.lora_a for own in factors])  # (branches, rank, d_model)
    lora_b = torch.stack([own.lora_b for own in factors])  # (branches, d_model, rank)
    heads = torch.stack([own.head for own in factors])  # (branches, num_classes, d_model)
    low = torch.bmm(pooled, lora_a.transpose(1, 2))
    moved = torch.baddbmm(pooled, low, lora_b.transpose(1, 2), alpha=factors[0].scale)
    return torch.bmm(moved, heads.transpose(1, 2)) + torch.stack([own.bias for own in factors]).unsqueeze(1)


def _heard_in(table: TermTable, factors: Sequence[_Factors], features: TextFeatures) -> Tensor:
    """(branches, num_texts, num_classes): scale · Σₜ xₜ · Wₜ of each wide part, see `WidePart`.

    x is made of length 1 at the end, where it is one number a text, and not for each term.
    """
    num_terms = table.frequencies.shape[1]
    wide = [own.wide for own in factors if own.wide is not None]
    own_words = [own.words for own in factors if own.words is not None]
    places = np.stack([features.places_in(part.vocabulary) for part in wide])  # (branches, num_terms)
    rarity = np.empty(places.shape, dtype=np.float32)
    for part, row, out in zip(wide, places, rarity, strict=True):
        part.vocabulary.rarity.take(row, mode="clip", out=out)
    rare = torch.from_numpy(rarity * (places >= 0)).unsqueeze(1)  # (branches, 1, num_terms), 0 for what is not known
    rows = torch.from_numpy(np.maximum(places, 0))
    weights = own_words[0].new_empty(len(wide), num_terms, own_words[0].shape[1])
    for own, row, out in zip(own_words, rows, weights, strict=True):
        torch.index_select(own, 0, row, out=out)
    weights = weights.float().mul_(rare.transpose(1, 2))
    frequencies = table.frequencies.t().expand(len(wide), -1, -1)  # (branches, num_terms, 2 · num_texts)
    squares = table.squares.t().expand(len(wide), -1, -1)
    lengths = torch.bmm(rare.square(), squares).sqrt_().clamp_(min=_SHORTEST)  # (branches, 1, 2 · num_texts)
    scales = torch.stack([part.scale for part in wide]).view(-1, 1, 1)
    said = torch.bmm(weights.transpose(1, 2), frequencies).mul_(
        scales / lengths
    )  # (branches, num_classes, 2 · num_texts)
    characters, words = said.chunk(2, dim=-1)
    return (characters + words).transpose(1, 2)
