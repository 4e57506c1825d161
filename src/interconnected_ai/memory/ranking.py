"""Scores from postings: BM25, what neighbours lend each other, and reciprocal rank fusion. Plain arithmetic on numbers."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

from interconnected_ai.memory.numbering import LENGTHS, session_of

K1, B = 1.2, 0.75  # the usual ones; FTS5 has the same
RRF_K = 60  # Cormack, Clarke & Buettcher 2009
_STRETCH_BITS = 3  # 8 messages
_STRETCH = 1 << _STRETCH_BITS
_MOST_PLACES = 48  # for each score, so that a list of places is shorter work than a dictionary
_FEWEST_SAMPLED = 256


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
        if not scores:
            scores.update([(entry, gains[entry & 255]) for entry in entries])
            continue
        for entry in entries:
            scores[entry] = known(entry, 0.0) + gains[entry & 255]
    return scores


def inverse_frequency(num_hits: int, num_entries: int) -> float:
    """ln(1 + (N - n + ½) / (n + ½)): rare terms tell more."""
    return math.log1p((max(num_entries, num_hits) - num_hits + 0.5) / (num_hits + 0.5))


def lend(
    scores: Mapping[int, float],
    share: float,
    reach: int,
    stretch: float,
    *,
    limit: int | None = None,
    also: Iterable[int] = (),
) -> dict[int, float]:
    """What `lend_to_neighbours` and then `lend_to_stretches` give, to the last bit, for thousands of hits at once.

    limit: so many of the best are wanted, and of `also` those that there are; others may be left out. None: everything.
    """
    if not scores or share <= 0.0 or min(scores.values()) <= 0.0:
        return lend_to_stretches(lend_to_neighbours(scores, share, reach), scores, stretch)
    lent: dict[int, float] = {}
    for part, low, high in _by_session(scores):
        if high - low < _MOST_PLACES * len(part):
            found = _lend_in_list(part, low, high, share, reach, stretch)
            lent.update(found.everything() if limit is None else found.best(limit, also))
        else:
            lent.update(lend_to_stretches(lend_to_neighbours(part, share, reach), part, stretch))
    return lent


def _by_session(scores: Mapping[int, float]) -> Iterator[tuple[Mapping[int, float], int, int]]:
    """The scores of each session in their order, its first and its last place: places of two lie far apart."""
    low, high = min(scores), max(scores)
    if session_of(low) == session_of(high):
        yield scores, low, high
        return
    parts: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for place, score in scores.items():
        parts[session_of(place)][place] = score
    for part in parts.values():
        yield part, min(part), max(part)


@dataclass(frozen=True, slots=True)
class _Lent:
    """Scores of places from `begin` on: what each has and was lent by those beside it, and what its stretch adds to that.

    A place that has and was lent nothing is not there, whatever its stretch has.
    """

    begin: int
    by_neighbours: list[float]
    by_stretch: list[float]

    def everything(self) -> Iterable[tuple[int, float]]:
        """(place, score) of all that are there."""
        return self._from(0.0)

    def best(self, limit: int, also: Iterable[int]) -> Iterable[tuple[int, float]]:
        """The same of the best `limit` and of some more, and of those of `also` that are there."""
        step = _step(len(self.by_neighbours), limit)
        if step < 2:
            return self.everything()
        floor = _floor([self._total(place) for place in range(0, len(self.by_neighbours), step)], step, limit)
        enough = self._from(floor)
        if len(enough) < limit:
            return enough if floor <= 0.0 else self.everything()
        places = [place - self.begin for place in also]
        there = [place for place in places if 0 <= place < len(self.by_neighbours) and self.by_neighbours[place]]
        return [*enough, *((self.begin + place, self._total(place)) for place in there)]

    def _from(self, floor: float) -> list[tuple[int, float]]:
        """(place, score) of those that are there with that score or more."""
        lent, gains, begin = self.by_neighbours, self.by_stretch, self.begin
        return [
            (begin + place, score)
            for place in compress(range(len(lent)), lent)
            if (score := lent[place] + gains[place >> _STRETCH_BITS]) >= floor
        ]

    def _total(self, place: int) -> float:
        return self.by_neighbours[place] + self.by_stretch[place >> _STRETCH_BITS]


def _lend_in_list(scores: Mapping[int, float], low: int, high: int, share: float, reach: int, stretch: float) -> _Lent:
    """All that has or was lent something. low, high: the first and the last place that has a score.

    Everything is added up in the order of `lend_to_neighbours` and `lend_to_stretches`: sums are the same to the last bit.
    """
    first = ((low - reach) >> _STRETCH_BITS) - 1  # stretch; one more on either side, which is lent to
    last = ((high + reach) >> _STRETCH_BITS) + 1
    begin = first << _STRETCH_BITS
    lent = [0.0] * ((last - first + 1) << _STRETCH_BITS)
    places = [place - begin for place in scores]
    for place, score in zip(places, scores.values(), strict=True):
        lent[place] = score
    for distance in range(1, reach + 1):
        part = share**distance
        for place, score in zip(places, scores.values(), strict=True):
            gain = part * score
            lent[place - distance] += gain
            lent[place + distance] += gain
    part = stretch / (3 * _STRETCH)
    gains = [0.0] * (last - first + 1)
    for place, score in zip(places, scores.values(), strict=True):
        about, gain = place >> _STRETCH_BITS, part * score
        gains[about - 1] += gain
        gains[about] += gain
        gains[about + 1] += gain
    return _Lent(begin, lent, gains)


def lend_to_neighbours(scores: Mapping[int, float], share: float, reach: int = 1) -> dict[int, float]:
    """Every place's score plus share^distance of those up to `reach` places away.

    An answer often stands beside the words that were asked for. BM25 adds up over terms, so adding the neighbours' scores
    does for each question what indexing a message together with its neighbours does once and for all, at no bytes.
    """
    lent = dict(scores)
    known = lent.get
    for distance in range(1, reach + 1):
        part = share**distance
        for place, score in scores.items():
            gain = part * score
            lent[place - distance] = known(place - distance, 0.0) + gain
            lent[place + distance] = known(place + distance, 0.0) + gain
    return lent


def lend_to_stretches(lent: Mapping[int, float], scores: Mapping[int, float], share: float) -> dict[int, float]:
    """`lent` plus share times the mean score of the 24 places about each: three stretches of 8, its own in the middle.

    Most messages of a long history that share a word with a question do so by chance; where its subject was spoken of, many
    that do stand together.
    """
    part = share / (3 << _STRETCH_BITS)
    gains: dict[int, float] = {}
    found = gains.get
    for place, score in scores.items():
        stretch, gain = place >> _STRETCH_BITS, part * score
        gains[stretch - 1] = found(stretch - 1, 0.0) + gain
        gains[stretch] = found(stretch, 0.0) + gain
        gains[stretch + 1] = found(stretch + 1, 0.0) + gain
    return {place: score + found(place >> _STRETCH_BITS, 0.0) for place, score in lent.items()}


def best_first(scores: Mapping[int, float], limit: int | None = None) -> list[int]:
    """Keys by score, the best first, of equals the larger key."""
    ranked = sorted(scores if limit is None else _enough(scores, limit), reverse=True)
    ranked.sort(key=scores.__getitem__, reverse=True)  # of equals the order stays
    return ranked if limit is None else ranked[: max(0, limit)]


def _enough(scores: Mapping[int, float], limit: int) -> Iterable[int]:
    """Keys among which the best `limit` are. Of many, most are left out by a score that a sample of them says."""
    step = _step(len(scores), limit)
    if step < 2:
        return scores
    values = list(scores.values())
    floor = _floor(values[::step], step, limit)
    enough = list(compress(scores, map(floor.__le__, values)))
    return enough if len(enough) >= limit else scores


def _step(size: int, limit: int) -> int:
    """Each how manyth of so many values is a sample of them that says which are not among the best; 0 where none would."""
    return size // _FEWEST_SAMPLED if 2 * limit <= size else 0


def _floor(sample: Iterable[float], step: int, limit: int) -> float:
    """A value that the best `limit`, and not many more, are likely to reach, by each `step`th of all."""
    ranked = sorted(sample, reverse=True)
    return ranked[min(len(ranked) - 1, limit // step + len(ranked) // 32)]


def fuse(legs: Iterable[tuple[float, Sequence[int]]], k: int = RRF_K) -> dict[int, float]:
    """Σ over legs: weight / (k + rank), for everything that a leg found; each leg is (weight, keys best first)."""
    fused: dict[int, float] = {}
    for weight, keys in legs:
        gains = [weight / (k + rank) for rank in range(1, len(keys) + 1)]
        if fused.keys().isdisjoint(keys):  # as users' and assistants' messages are
            fused.update(zip(keys, gains, strict=True))
            continue
        for key, gain in zip(keys, gains, strict=True):
            fused[key] = fused.get(key, 0.0) + gain
    return fused
