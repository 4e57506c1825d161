"""What a learned router computes: logits of topics from a text's vector and words, and how like its topics the text is.

NumPy alone, so that a question costs no start of a larger machine; the weights are found in `fitting`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from interconnected_ai.text import Ngrams, Vocabulary, count_ngrams, unit_rows
from interconnected_ai.types import Encode

_LEAST = 1e-6
NOBODY = -1  # in the place of an expert's number


class TextViews(NamedTuple):
    """Texts as a model reads them: (num_texts, dimension) vectors of length 1, and their terms, counted."""

    vectors: np.ndarray
    ngrams: tuple[Ngrams, ...]

    @classmethod
    def of(
        cls, texts: Sequence[str], encode: Encode, *, dimension: int | None = None, model_id: str = "encode"
    ) -> Self:
        """The texts' vectors and terms; raises `DataError` where `encode` gives anything else than vectors."""
        vectors = unit_rows(encode(list(texts)), len(texts), dimension, model_id)
        return cls(vectors, tuple(count_ngrams(texts)))


@dataclass(frozen=True, eq=False)
class TopicModel:
    """logits = scale(vector) · W + Σₜ xₜ · Vₜ + b: one column a topic, several topics an expert. Never changed.

    owners: (num_topics,) the number of each topic's expert, `NOBODY` for what is nobody's business. mean, deviation:
    (dimension,) of the vectors learnt from. weight: (dimension, num_topics), bias: (num_topics,). vocabulary: its terms' rows
    in `words`, (num_terms, num_topics). directions: (dimension, num_topics), of each topic's mean scaled vector, of length 1.
    """

    owners: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    vocabulary: Vocabulary
    words: np.ndarray
    directions: np.ndarray

    def logits(self, views: TextViews) -> np.ndarray:
        """(num_texts, num_topics)."""
        found: np.ndarray = self.scaled(views.vectors) @ self.weight + self.bias
        if len(self.vocabulary):
            start = 0
            for part in views.ngrams:
                self._add_words(found[start : start + len(part)], part)
                start += len(part)
        return found

    def _add_words(self, logits: np.ndarray, ngrams: Ngrams) -> None:
        terms, starts, weights = self.vocabulary.weighted(ngrams)
        stops = np.append(starts[1:], len(terms))
        for row, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            logits[row] += weights[start:stop] @ self.words[terms[start:stop]]

    def scaled(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors without what all have in common, every dimension as long as the others: about 1 long together."""
        out: np.ndarray = (vectors - self.mean) / self.deviation / np.float32(np.sqrt(vectors.shape[1]))
        return out

    def expert_logits(self, logits: np.ndarray, num_experts: int) -> np.ndarray:
        """(num_texts, num_experts): ln Σ exp of the logits of each expert's topics."""
        return np.stack([log_sum_exp(logits[:, self.owners == number]) for number in range(num_experts)], axis=1)

    def traits(self, views: TextViews, logits: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """(num_texts, len(TRAITS)): by what a text that is nobody's business differs from one that is somebody's.

        confidence: (num_texts,) the probability of the likeliest expert.
        """
        scaled = self.scaled(views.vectors)
        lengths = np.maximum(np.linalg.norm(scaled, axis=1), 1e-12)
        nearness = np.clip((scaled @ self.directions).max(axis=1) / lengths, 0.0, 1.0) ** 2
        everything = log_sum_exp(logits)
        of_somebody = self.owners != NOBODY
        nobody = (
            log_sum_exp(logits[:, ~of_somebody]) - everything if not of_somebody.all() else np.full(len(logits), -20.0)
        )
        known = known_shares(self.vocabulary, views.ngrams)
        columns = [
            np.log(np.maximum(confidence, _LEAST)),
            np.log(np.maximum(nearness, _LEAST)),
            logits[:, of_somebody].max(axis=1) - everything,
            everything,
            np.maximum(nobody, -20.0),
            known[:, 0],
            known[:, 1],
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything by name, for a file."""
        arrays = ("owners", "mean", "deviation", "weight", "bias", "words", "directions")
        return {
            **{name: getattr(self, name) for name in arrays},
            "terms": self.vocabulary.terms,
            "rarity": self.vocabulary.rarity,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """What `tensors` gave."""
        arrays: dict[str, Any] = {name: tensors[name] for name in cls.__annotations__ if name != "vocabulary"}
        return cls(**arrays, vocabulary=Vocabulary(tensors["terms"], tensors["rarity"]))

    def with_changes(self, **changes: Any) -> Self:
        """A copy with other parts."""
        return replace(self, **changes)


TRAITS = ("confidence", "nearness", "topic", "energy", "nobody", "known words", "known characters")


def known_shares(vocabulary: Vocabulary, ngrams: Sequence[Ngrams]) -> np.ndarray:
    """(num_texts, 2): how many of a text's words, and of its runs of characters, the vocabulary knows; 0 of none."""
    parts = [np.zeros((0, 2))]
    for part in ngrams:
        known = np.isin(part.terms, vocabulary.terms, assume_unique=True)[part.columns]
        sums = np.concatenate([[0], np.cumsum(known)])
        found, all_of = np.diff(sums[part.ends]), np.diff(part.ends)
        shares = found / np.maximum(all_of, 1)
        parts.append(shares.reshape(-1, 2)[:, ::-1])
    return np.concatenate(parts)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """(num_rows,): ln Σ exp over the columns; -inf where there are none."""
    if not logits.shape[1]:
        return np.full(len(logits), -np.inf)
    highest = logits.max(axis=1)
    out: np.ndarray = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return out


def softmax(logits: np.ndarray) -> np.ndarray:
    """(num_rows, num_columns) probabilities."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return out
