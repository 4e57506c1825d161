"""The terms of texts that a branch knows, ready for its wide part."""

from collections.abc import Iterable

import torch

from interconnected_ai.nn import Bags
from interconnected_ai.text import LookedUp, Ngrams, Vocabulary


def bags_of(vocabulary: Vocabulary, ngrams: Iterable[Ngrams], looked_up: Iterable[LookedUp] | None = None) -> Bags:
    """What of counted texts the vocabulary knows. Any number of threads may ask at once.

    looked_up: the terms of each part in a lexicon that knows the vocabulary, or does not.
    """
    if looked_up is None:
        weighted = [vocabulary.weighted(part) for part in ngrams]
    else:
        pairs = zip(ngrams, looked_up, strict=True)
        weighted = [vocabulary.weighted(part, looked.places_in(vocabulary)) for part, looked in pairs]
    return Bags.joined([Bags(*map(torch.from_numpy, each)) for each in weighted])
