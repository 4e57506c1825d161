"""Rows for a router out of texts: an expert meant for a domain is pointed at by that domain's hidden states."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.analysis.texts import batches, token_rows
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.routing.context import current
from interconnected_ai.surgery.routing.token_routing import TokenRouting


class _Means:
    """Running means over real tokens of what a router sees, of its logits and of the k-th best of them."""

    def __init__(self, routing: TokenRouting) -> None:
        self._routing = routing
        self.hidden: Tensor | None = None
        self.logits: Tensor | None = None
        self.threshold = 0.0
        self.tokens = 0

    def add(self, router: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        hidden = args[0].detach().reshape(-1, args[0].shape[-1])
        hidden = hidden if self._routing.prepare is None else self._routing.prepare(router, hidden)
        logits, _, indices = self._routing.unpacked(router, output)
        forward = current()
        real = None if forward is None else forward.real_tokens()
        worst = logits.detach().topk(indices.shape[1], dim=-1).values[:, -1]
        logits = logits.detach()
        if real is not None:
            hidden, worst, logits = hidden[real], worst[real], logits[real]
        total, scores = hidden.double().sum(dim=0), logits.double().sum(dim=0)
        self.hidden = total if self.hidden is None else self.hidden + total
        self.logits = scores if self.logits is None else self.logits + scores
        self.threshold += worst.double().sum().item()
        self.tokens += len(hidden)

    def mean(self) -> Tensor:
        """The mean hidden state."""
        assert self.hidden is not None, "the router has run"
        return self.hidden / self.tokens

    def favourite(self) -> int:
        """The expert with the largest mean logit."""
        assert self.logits is not None, "the router has run"
        return int(self.logits.argmax())


@torch.no_grad()
def hidden_means(moe: MoE, texts: Sequence[str], *, max_tokens: int = 128, batch_size: int = 8) -> dict[int, _Means]:
    """What each layer's router sees of these texts, on average; padding is left out."""
    moe.follow()
    found = {layer.number: _Means(moe.family.routing) for layer in moe.layers}
    with ExitStack() as put, evaluating(moe.model):
        for layer in moe.layers:
            put.callback(layer.router.register_forward_hook(found[layer.number].add).remove)
        for batch in batches(moe, token_rows(moe, texts, max_tokens), batch_size):
            moe.model(batch.ids, attention_mask=batch.mask, use_cache=False)
    return found


def rows_for(moe: MoE, texts: Sequence[str], against: Sequence[str] = ()) -> dict[int, Tensor]:
    """A router row for each layer that these texts prefer: layer → (1, d_model), for `MoE.insert`.

    The direction is the texts' mean hidden state, less that of `against`; its length is such that a mean token of the
    texts just makes the choice (its logit is the mean k-th best). Where that cannot be, it is the row of
    the texts' favourite expert.
    """
    inside = hidden_means(moe, texts)
    outside = hidden_means(moe, against) if against else {}
    rows = {}
    for layer in moe.layers:
        mean = inside[layer.number].mean()
        direction = mean - outside[layer.number].mean() if against else mean
        reach = float(direction @ mean)
        threshold = inside[layer.number].threshold / inside[layer.number].tokens
        weight = layer.matrix.detach()
        if reach <= 1e-12 or threshold <= 0:
            rows[layer.number] = weight[inside[layer.number].favourite()].unsqueeze(0).clone()
        else:
            # no longer than the layer's rows are, or it would outweigh them
            longest = float(weight.float().norm(dim=1).mean() / direction.norm())
            rows[layer.number] = (direction * min(threshold / reach, longest)).unsqueeze(0).to(weight)
    return rows
