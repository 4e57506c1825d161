"""A base with one adapter as a `LanguageModel`: what measuring needs, without a second copy of the base."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.experts.adapters.rows import GroupedAdapters
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.causal.generic_decoder import AdapterHooks
from interconnected_ai.experts.causal_lm import CausalLM, CausalShape, ScaledHead


class AdaptedLM:
    """The `LanguageModel` of a base and an adapter. hooks: of the base's network.

    Threads: any number of them may compute at once, also beside others with other adapters over the same base.
    """

    def __init__(self, base: CausalLM, hooks: AdapterHooks, weights: AdapterWeights) -> None:
        self._base, self._hooks, self._weights = base, hooks, weights
        self._head = _head_with(base, weights)

    @property
    def config(self) -> CausalShape:
        """The base's sizes."""
        return self._base.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._base.device

    @property
    def head(self) -> nn.Module:
        """(…, d_model) → (…, vocab_size) logits."""
        return self._head

    def hidden(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, seq) token ids → (batch, seq, d_model), as `CausalLM.hidden` says."""
        with self._hooks.adding(GroupedAdapters.everywhere(self._weights)):
            return self._base.hidden(input_ids, mask)


def _head_with(base: CausalLM, weights: AdapterWeights) -> nn.Module:
    """The base's head, with what the adapter adds to it where it adapts the head."""
    output: nn.Module = base.network.get_output_embeddings()
    name = next((name for name, module in base.network.named_modules() if module is output), None)
    part = None if name is None else weights.modules.get(name)
    if part is None:
        return base.head
    adapted, head = _AdaptedHead(output, part.a, part.b), base.head
    return ScaledHead(adapted, head.factor, head.cap) if isinstance(head, ScaledHead) else adapted


class _AdaptedHead(nn.Module):
    """W · h + Δ(h)."""

    def __init__(self, linear: nn.Module, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.linear, self.a, self.b = linear, a, b

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → (…, vocab_size)."""
        added = F.linear(F.linear(hidden, self.a), self.b)
        logits: Tensor = self.linear(hidden)
        return logits + added
