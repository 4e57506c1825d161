"""What branches answer by: of each text its pooled vector and, where a branch asks for them, its terms."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.branches.vocabulary import TermTable, bags_of
from interconnected_ai.nn import Bags
from interconnected_ai.text import Lexicon, LookedUp, Ngrams, Vocabulary, count_ngrams


class TextFeatures:
    """pooled: (num_texts, d_model), of the trunk. ngrams: the terms, counted when first asked for, once for all branches.

    `features[rows]` are those of some texts. lexicon: where many branches ask, one that knows their vocabularies. Several
    threads may read at once.
    """

    def __init__(self, pooled: Tensor, texts: Sequence[str], *, lexicon: Lexicon | None = None) -> None:
        self.pooled, self.texts, self._lexicon = pooled, tuple(texts), lexicon

    @cached_property
    def ngrams(self) -> tuple[Ngrams, ...]:
        """The terms, some thousand texts in each part."""
        return tuple(count_ngrams(self.texts))

    def bags(self, vocabulary: Vocabulary) -> Bags:
        """The terms that a vocabulary knows."""
        return bags_of(vocabulary, self.ngrams, self._looked_up)

    @cached_property
    def table(self) -> TermTable | None:
        """The terms as a table, where that takes less time than `bags` do; a function of the texts alone."""
        return TermTable.of(self.ngrams)

    def places_in(self, vocabulary: Vocabulary) -> np.ndarray:
        """(num_terms,) where the table's terms stand in a vocabulary; -1 for what it does not know."""
        (part,) = self.ngrams
        return vocabulary.places_of(part.terms) if self._looked_up is None else self._looked_up[0].places_in(vocabulary)

    @cached_property
    def _looked_up(self) -> tuple[LookedUp, ...] | None:
        return None if self._lexicon is None else tuple(self._lexicon.look_up(part.terms) for part in self.ngrams)

    def with_lexicon(self, lexicon: Lexicon | None) -> "TextFeatures":
        """The same, for many branches whose vocabularies the lexicon knows."""
        if lexicon is None:
            return self
        made = TextFeatures(self.pooled, self.texts, lexicon=lexicon)
        made.__dict__["ngrams"] = self.ngrams
        return made

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> "TextFeatures":
        """rows: numbers of texts, or a mask (num_texts,)."""
        numbers = torch.as_tensor(rows)
        numbers = numbers.nonzero().flatten() if numbers.dtype == torch.bool else numbers.long()
        return TextFeatures(self.pooled[numbers.to(self.pooled.device)], [self.texts[row] for row in numbers.tolist()])

    def joined(self, others: "TextFeatures") -> "TextFeatures":
        """These texts, and then the others. Terms that are counted already are not counted again."""
        both = TextFeatures(torch.cat([self.pooled, others.pooled]), [*self.texts, *others.texts])
        if "ngrams" in self.__dict__:
            both.__dict__["ngrams"] = (*self.ngrams, *others.ngrams)
        return both
