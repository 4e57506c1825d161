"""The wide part of a branch: a sparse linear map from the terms of a text to logits (Cheng et al. 2016, wide & deep)."""

import hashlib

import torch
from torch import Tensor, nn

from interconnected_ai.nn import Bags
from interconnected_ai.text import Vocabulary

_SUM = 0  # of `torch.embedding_bag`'s modes


class WidePart(nn.Module):
    """logits = scale · Σₜ xₜ · Wₜ over the terms t of a text, x its TF-IDF weights; W is zero before training.

    vocabulary: the terms that it knows; it travels with the module but is no tensor of its state. scale: how large a text's
    words are beside its pooled vector. Any number of threads may compute with it at once.
    """

    def __init__(self, vocabulary: Vocabulary, num_classes: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.weight = nn.Parameter(torch.zeros(len(vocabulary), num_classes))
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))

    def forward(self, bags: Bags) -> Tensor:
        """Bags of (num_texts) → (num_texts, num_classes)."""
        weights = (bags.weights * self.scale).to(self.weight.dtype)
        # What `functional.embedding_bag` comes to: its looks at the arguments take as long as a few texts' sums.
        summed: Tensor = torch.embedding_bag(self.weight, bags.terms, bags.starts, False, _SUM, False, weights)[0]
        return summed

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that it answers by: terms, rarities, weights and scale."""
        found = hashlib.sha256(self.vocabulary.terms.tobytes())
        found.update(self.vocabulary.rarity.tobytes())
        for tensor in (self.weight, self.scale):
            found.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return found.digest()
