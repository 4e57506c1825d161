"""What a language model has to beat: counting words, counting triples of them, and a compressor that saw the same text."""

import lzma
import math
from collections.abc import Sequence

import numpy as np

DISCOUNT = 0.75


class Trigrams:
    """Interpolated Kneser-Ney over token triples (Chen & Goodman 1999, section 4.1.6), with one discount.

    p(w | u v) = (c(uvw) − D)⁺ / c(uv) + D · N(uv•) / c(uv) · p(w | v), and below the triples, counts of what a token
    was seen after take the place of counts. At the bottom every token of the vocabulary has its share.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        ids = tokens.astype(np.int64)
        triples = _Counts.of(self._joined(ids[:-2], ids[1:-1], ids[2:]))
        pairs = _Counts.of(triples.keys % vocab_size**2)  # distinct first tokens for each pair
        singles = _Counts.of(pairs.keys % vocab_size)  # and for each token
        self._triples, self._pairs, self._singles = triples, pairs, singles
        self._after_pair = _Continuations.of(triples, vocab_size)
        self._after_token = _Continuations.of(pairs, vocab_size)
        self._num_pairs = len(pairs.keys)

    def _joined(self, *ids: np.ndarray) -> np.ndarray:
        out = ids[0]
        for more in ids[1:]:
            out = out * self.vocab_size + more
        return out

    def nats(self, tokens: np.ndarray) -> float:
        """−Σ ln p of all tokens but the first; where there is one token of context, from pairs alone."""
        ids = tokens.astype(np.int64)
        first, rest = self._from_pairs(ids[:1], ids[1:2]), self._from_triples(ids[:-2], ids[1:-1], ids[2:])
        return float(-np.log(first).sum() - np.log(rest).sum())

    def _from_triples(self, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._interpolated(
            self._triples[self._joined(u, v, w)], self._after_pair, self._joined(u, v), self._from_pairs(v, w)
        )

    def _from_pairs(self, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._interpolated(self._pairs[self._joined(v, w)], self._after_token, v, self._from_none(w))

    def _from_none(self, w: np.ndarray) -> np.ndarray:
        seen = np.maximum(self._singles[w] - DISCOUNT, 0.0) / self._num_pairs
        kept_back = DISCOUNT * len(self._singles.keys) / self._num_pairs
        return seen + kept_back / self.vocab_size

    @staticmethod
    def _interpolated(count: np.ndarray, after: "_Continuations", context: np.ndarray, lower: np.ndarray) -> np.ndarray:
        total, distinct = after.total[context], after.distinct[context]
        known = total > 0
        safe = np.where(known, total, 1)
        higher = np.maximum(count - DISCOUNT, 0.0) / safe + DISCOUNT * distinct / safe * lower
        return np.where(known, higher, lower)


class Unigrams:
    """Every token by its own frequency; half a count more for each of the vocabulary."""

    def __init__(self, tokens: np.ndarray, vocab_size: int) -> None:
        counts = np.bincount(tokens, minlength=vocab_size) + 0.5
        self._nats = -np.log(counts / counts.sum())

    def nats(self, tokens: np.ndarray) -> float:
        """−Σ ln p of all tokens but the first, which is the start token."""
        return float(self._nats[tokens[1:]].sum())


def xz_bits_per_byte(learnt: Sequence[str], held_out: Sequence[str]) -> float:
    """What xz adds for the held-out text when it has compressed the other before, in bits for each of its bytes."""
    before, after = ("\n".join(texts).encode() for texts in (learnt, held_out))
    added = _compressed(before + b"\n" + after) - _compressed(before)
    return 8 * added / len(after)


def bits(nats: float) -> float:
    """nats / ln 2"""
    return nats / math.log(2)


def _compressed(content: bytes) -> int:
    return len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


class _Counts:
    """How often each number was seen; zero for those that were not."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray) -> None:
        self.keys, self.counts = keys, counts

    @classmethod
    def of(cls, numbers: np.ndarray) -> "_Counts":
        return cls(*np.unique(numbers, return_counts=True))

    def __getitem__(self, wanted: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return np.zeros(len(wanted), dtype=np.int64)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.counts[places], 0)


class _Continuations:
    """For each context: how often it was continued, and in how many ways."""

    def __init__(self, total: _Counts, distinct: _Counts) -> None:
        self.total, self.distinct = total, distinct

    @classmethod
    def of(cls, longer: _Counts, vocab_size: int) -> "_Continuations":
        contexts, places = np.unique(longer.keys // vocab_size, return_inverse=True)
        total = np.bincount(places, weights=longer.counts, minlength=len(contexts)).astype(np.int64)
        return cls(_Counts(contexts, total), _Counts(contexts, np.bincount(places, minlength=len(contexts))))
