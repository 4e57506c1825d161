"""`LanguageModel`: what measuring and training need of a model on PyTorch, whoever wrote it."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class LanguageShape(Protocol):
    """A model's sizes as its users need them."""

    @property
    def vocab_size(self) -> int:
        """Logits per token."""

    @property
    def max_seq_len(self) -> int:
        """The window: so many tokens are read together at most."""


@runtime_checkable
class LanguageModel(Protocol):
    """Token ids to what a head reads, and the head: `ExpertModel` and `CausalLM` are such.

    Threads: in evaluation mode any number of them may compute at once.
    """

    @property
    def config(self) -> LanguageShape:
        """Its sizes."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def head(self) -> nn.Module:
        """(…, d_model) → (…, vocab_size) logits. A `nn.Linear` without bias where nothing else stands between."""

    def hidden(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, seq) token ids → (batch, seq, d_model), each position seeing itself and what came before.

        mask: (batch, seq), true where a token is real; padding is not looked at.
        """
