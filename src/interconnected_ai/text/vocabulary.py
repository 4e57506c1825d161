"""The terms that some texts teach, and how much each says: TF-IDF. What learns from them is left to others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from interconnected_ai.config import MANY_ROWS
from interconnected_ai.text.ngrams import Ngrams, count_ngrams

_MOST_SEEN = 2**23  # distinct terms that are counted while rows are read: 128 MB


class WeightedTerms(NamedTuple):
    """The known terms of some texts.

    terms: (num_entries,) int32, places in the vocabulary; starts: (num_texts,) int32, where each text's begin; weights:
    (num_entries,) float32, of length 1 over a text's words, and over its characters.
    """

    terms: np.ndarray
    starts: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms by their hash, rising: (num_terms,) int64; and (num_terms,) float32, how rare each is. Never changed.

    rarity = ln((1 + n) / (1 + rows with the term)) + 1, with n the rows learnt from (scikit-learn's `smooth_idf`).
    """

    terms: np.ndarray
    rarity: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], most: int) -> "Vocabulary":
        """The terms of these rows, a function of them alone: of more than 1,000 rows those that stand in two or more; of more
        than `most` those in most rows, half of them words where there are as many.
        """
        terms, rows = _rows_with(count_ngrams(texts))
        if len(texts) > MANY_ROWS:
            terms, rows = terms[rows > 1], rows[rows > 1]
        if len(terms) > most:
            kept = _commonest(terms, rows, most)
            terms, rows = terms[kept], rows[kept]
        return cls(terms, (np.log((1.0 + len(texts)) / (1.0 + rows)) + 1.0).astype(np.float32))

    @classmethod
    def unread(cls, num_terms: int) -> "Vocabulary":
        """One whose terms are still to be read from somewhere: it knows no term of any text."""
        terms = np.iinfo(np.int64).max - np.arange(num_terms, dtype=np.int64)[::-1]
        return cls(terms, np.zeros(num_terms, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.terms)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Vocabulary":
        return self

    def places_of(self, terms: np.ndarray) -> np.ndarray:
        """terms: rising → (num_terms,) int32, where each stands here; -1 for what is not known."""
        places = np.searchsorted(self.terms, terms)
        np.minimum(places, len(self.terms) - 1, out=places)
        places[self.terms.take(places) != terms] = -1
        return places.astype(np.int32)

    def weighted(self, ngrams: Ngrams, places: np.ndarray | None = None) -> WeightedTerms:
        """What of counted texts is known here. places: `places_of(ngrams.terms)`, where that is known already."""
        found = (self.places_of(ngrams.terms) if places is None else places).take(ngrams.columns)
        entries = np.flatnonzero(found >= 0)
        terms, ends = found.take(entries), np.searchsorted(entries, ngrams.ends)
        weights = ngrams.frequencies.take(entries) * self.rarity.take(terms)
        lengths = np.diff(ends)
        filled = np.flatnonzero(lengths)
        if len(filled):  # `reduceat` would give an empty stretch the number that follows it
            norms = np.sqrt(np.add.reduceat(np.square(weights), ends[:-1][filled]))
            weights /= np.repeat(norms, lengths[filled])
        return WeightedTerms(terms, ends[:-1:2].astype(np.int32), weights)


def _rows_with(counted: Iterable[Ngrams]) -> tuple[np.ndarray, np.ndarray]:
    """Terms, rising, and in how many rows each stands. Beyond some millions the rarest are forgotten on the way."""
    terms, rows = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for part in counted:
        here = np.bincount(part.columns, minlength=len(part.terms))
        together, places = np.unique(np.concatenate([terms, part.terms]), return_inverse=True)
        rows = np.bincount(places, weights=np.concatenate([rows, here]), minlength=len(together)).astype(np.int64)
        terms, fewest = together, 1
        while len(terms) > _MOST_SEEN:
            terms, rows, fewest = terms[rows > fewest], rows[rows > fewest], fewest + 1
    return terms, rows


def _commonest(terms: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Places, rising, of the terms in most rows; among equals the lower hash."""
    order = np.argsort(-rows, kind="stable")
    words, characters = order[terms[order] >= 0], order[terms[order] < 0]
    num_words = max(min(len(words), most // 2), most - len(characters))
    return np.sort(np.concatenate([words[:num_words], characters[: most - num_words]]))
