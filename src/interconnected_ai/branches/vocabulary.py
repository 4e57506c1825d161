"""The terms of texts that a branch knows, ready for its wide part."""

from collections.abc import Iterable

import torch

from interconnected_ai.nn import Bags
from interconnected_ai.text import Ngrams, Vocabulary


def bags_of(vocabulary: Vocabulary, ngrams: Iterable[Ngrams]) -> Bags:
    """What of counted texts the vocabulary knows. Any number of threads may ask at once."""
    return Bags.joined([Bags(*map(torch.from_numpy, vocabulary.weighted(part))) for part in ngrams])
