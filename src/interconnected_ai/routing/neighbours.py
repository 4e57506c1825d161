"""Which of many texts are most like a text: cosines of vectors and of words side by side, all of them looked at.

A few ten thousand examples are read in milliseconds; an approximate index would save nothing and lose some.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from interconnected_ai.routing.topic_model import TextViews
from interconnected_ai.text import Vocabulary

_MOST_TERMS = 100_000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Texts to be near to. Never changed: threads may share it.

    vectors: (dimension, num_texts), without what all have in common, of length 1. terms of the vocabulary → where they stand:
    `rows[starts[t] : starts[t + 1]]`, with `weights`; a text's are of length 1 over words and characters together.
    """

    mean: np.ndarray
    deviation: np.ndarray
    vectors: np.ndarray
    vocabulary: Vocabulary
    starts: np.ndarray
    rows: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], views: TextViews) -> Self:
        """The texts, with their vectors and words as they were read."""
        mean = views.vectors.mean(axis=0)
        deviation = np.maximum(views.vectors.std(axis=0), 1e-3 * float(views.vectors.std()) + 1e-6)
        vocabulary = Vocabulary.of(texts, _MOST_TERMS)
        terms, starts, weights = _terms_of(vocabulary, views)
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), np.diff(np.append(starts, len(terms))))
        order = np.argsort(terms, kind="stable")
        counts = np.bincount(terms, minlength=len(vocabulary)) if len(vocabulary) else np.zeros(0, np.int64)
        made = cls(
            mean=mean,
            deviation=deviation.astype(np.float32),
            vectors=np.zeros((0, 0), np.float32),
            vocabulary=vocabulary,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows=owners[order],
            weights=weights[order],
        )
        return cls(**{**vars(made), "vectors": np.ascontiguousarray(made.scaled(views.vectors).T)})

    def __len__(self) -> int:
        return int(self.vectors.shape[1])

    def scaled(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of length 1 without what all texts have in common, every dimension as long as the others."""
        moved = (vectors - self.mean) / self.deviation
        out: np.ndarray = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        return out

    def by_meaning(self, views: TextViews) -> np.ndarray:
        """(num_asked, num_texts) cosines of vectors."""
        out: np.ndarray = self.scaled(views.vectors) @ self.vectors
        return out

    def by_words(self, views: TextViews) -> np.ndarray:
        """(num_asked, num_texts) cosines of TF-IDF terms."""
        num_asked = len(views.vectors)
        out = np.zeros((num_asked, len(self)), np.float32)
        if not len(self.vocabulary):
            return out
        terms, starts, weights = _terms_of(self.vocabulary, views)
        stops = np.append(starts[1:], len(terms))
        for number, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            here = terms[start:stop]
            begins, lengths = self.starts[here], self.starts[here + 1] - self.starts[here]
            places = np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(int(lengths.sum()))
            shares = np.repeat(weights[start:stop], lengths) * self.weights[places]
            out[number] = np.bincount(self.rows[places], shares, minlength=len(self))
        return out

    def similarities(self, views: TextViews, words: float) -> np.ndarray:
        """(num_asked, num_texts) from -1 to 1: (cosine of vectors + words · cosine of terms) / (1 + words)."""
        found = self.by_meaning(views)
        return found if not words else (found + words * self.by_words(views)) / (1.0 + words)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything by name, for a file."""
        return {
            **{name: each for name, each in vars(self).items() if name != "vocabulary"},
            "terms": self.vocabulary.terms,
            "rarity": self.vocabulary.rarity,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> Self:
        """What `tensors` gave."""
        names = ("mean", "deviation", "vectors", "starts", "rows", "weights")
        return cls(
            **{name: tensors[name] for name in names}, vocabulary=Vocabulary(tensors["terms"], tensors["rarity"])
        )


def _terms_of(vocabulary: Vocabulary, views: TextViews) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(terms, where each text's begin, weights) of all texts; a text's weights are of length 1 together."""
    if not len(vocabulary):
        return np.zeros(0, np.int32), np.zeros(len(views.vectors), np.int64), np.zeros(0, np.float32)
    parts = [vocabulary.weighted(part) for part in views.ngrams]
    shifts = np.cumsum([0, *(len(part.terms) for part in parts)])
    starts = np.concatenate([part.starts.astype(np.int64) + shift for part, shift in zip(parts, shifts, strict=False)])
    terms = np.concatenate([part.terms for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    lengths = np.diff(np.append(starts, len(terms)))
    filled = np.flatnonzero(lengths)
    if len(filled):
        norms = np.sqrt(np.add.reduceat(np.square(weights), starts[filled]))
        weights = weights / np.repeat(norms, lengths[filled]).astype(np.float32)
    return terms, starts, weights
