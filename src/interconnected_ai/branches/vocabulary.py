"""The terms of texts that a branch knows, ready for its wide part: as bags, or of a few texts as a table for many branches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

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


@dataclass(frozen=True, eq=False)
class TermTable:
    """How often each distinct term stands in each text, which is the same for all branches: one product with a branch's weights
    of these terms is less work than going through its own list of what stands in which text.

    frequencies: (2 · num_texts, num_terms) float32, of the texts' characters and then of their words, 1 + ln of a count, 0 for
    what is not there; squares: theirs. Any number of threads may read at once.
    """

    frequencies: Tensor
    squares: Tensor

    @classmethod
    def of(cls, counted: Sequence[Ngrams]) -> Self | None:
        """None where there are no terms, or where nearly all of the table would be zeros: many texts of their own words."""
        if len(counted) != 1:
            return None
        (ngrams,) = counted
        rows, num_terms = 2 * len(ngrams), len(ngrams.terms)
        if not 0 < rows * num_terms <= min(_MOST_CELLS, _SPARSEST * len(ngrams.columns)):
            return None
        frequencies = np.zeros((len(ngrams), 2, num_terms), dtype=np.float32)
        places = np.repeat(np.arange(rows), np.diff(ngrams.ends))
        frequencies.reshape(rows, num_terms)[places, ngrams.columns] = ngrams.frequencies
        table = torch.from_numpy(frequencies.swapaxes(0, 1).reshape(rows, num_terms))
        return cls(table, table.square())


_MOST_CELLS = 1 << 22  # 16 MB
_SPARSEST = 32  # a cell is multiplied in so much less time than an entry of a bag is weighed, scaled and summed up
