"""Scores from postings: BM25, what neighbours lend each other, and reciprocal rank fusion. Plain arithmetic on numbers."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest

from interconnected_ai.memory.numbering import LENGTHS

K1, B = 1.2, 0.75  # the usual ones; FTS5 has the same
RRF_K = 60  # Cormack, Clarke & Buettcher 2009
_STRETCH_BITS = 3  # 8 messages


def bm25(
    postings: Mapping[str, Sequence[int]],
    weights: Mapping[str, float],
    *,
    num_entries: int,
    mean_length: float,
    k1: float = K1,
    b: float = B,
) -> dict[int, float]:
    """Σ over terms: weight · ln(1 + (N - n + ½)/(n + ½)) · (k₁+1) / (1 + k₁·(1 - b + b·length/mean)), for every entry hit.

    postings: term → the entries that have it; an entry's last 8 bits are its length code (see `numbering`). This is BM25
    (Robertson & Zaragoza 2009, with Lucene's logarithm) of a term that stands once: what repeats in a message tells no more
    (LoCoMo and BEAM: within 0.3 points of counting), and an index without counts is half as large and read faster.
    """
    norms = [(k1 + 1) / (1 + k1 * (1 - b + b * length / max(mean_length, 1.0))) for length in LENGTHS]
    scores: dict[int, float] = {}
    known = scores.get
    for term, entries in postings.items():
        factor = weights[term] * inverse_frequency(len(entries), num_entries)
        gains = [factor * norm for norm in norms]
        for entry in entries:
            scores[entry] = known(entry, 0.0) + gains[entry & 255]
    return scores


def inverse_frequency(num_hits: int, num_entries: int) -> float:
    """ln(1 + (N - n + ½) / (n + ½)): rare terms tell more."""
    return math.log1p((max(num_entries, num_hits) - num_hits + 0.5) / (num_hits + 0.5))


def lend_to_neighbours(scores: Mapping[int, float], share: float, reach: int = 1) -> dict[int, float]:
    """Every place's score plus share^distance of those up to `reach` places away.

    An answer often stands beside the words that were asked for. BM25 adds up over terms, so adding the neighbours' scores
    does for each question what indexing a message together with its neighbours does once and for all, at no bytes.
    """
    lent: defaultdict[int, float] = defaultdict(float, scores)
    for distance in range(1, reach + 1):
        part = share**distance
        for place, score in scores.items():
            gain = part * score
            lent[place - distance] += gain
            lent[place + distance] += gain
    return lent


def lend_to_stretches(lent: Mapping[int, float], scores: Mapping[int, float], share: float) -> dict[int, float]:
    """`lent` plus share times the mean score of the 24 places about each: three stretches of 8, its own in the middle.

    Most messages of a long history that share a word with a question do so by chance; where its subject was spoken of, many
    that do stand together.
    """
    part = share / (3 << _STRETCH_BITS)
    gains: defaultdict[int, float] = defaultdict(float)
    for place, score in scores.items():
        stretch, gain = place >> _STRETCH_BITS, part * score
        gains[stretch - 1] += gain
        gains[stretch] += gain
        gains[stretch + 1] += gain
    found = gains.get
    return {place: score + found(place >> _STRETCH_BITS, 0.0) for place, score in lent.items()}


def best_first(scores: Mapping[int, float], limit: int | None = None) -> list[int]:
    """Keys by score, the best first; of equals the later one, since newer words are more often meant."""
    if limit is not None and limit < len(scores):
        return [key for _, key in nlargest(limit, zip(scores.values(), scores, strict=True))]
    return [key for _, key in sorted(zip(scores.values(), scores, strict=True), reverse=True)]


def fuse(legs: Iterable[tuple[float, Sequence[int]]], k: int = RRF_K) -> dict[int, float]:
    """Σ over legs: weight / (k + rank), for everything that a leg found; each leg is (weight, keys best first)."""
    fused: dict[int, float] = {}
    for weight, keys in legs:
        for rank, key in enumerate(keys, start=1):
            fused[key] = fused.get(key, 0.0) + weight / (k + rank)
    return fused
