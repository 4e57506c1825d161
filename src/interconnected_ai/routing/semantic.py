"""A router that knows experts by their cards: what they are for, and requests like the one that is asked.

A tuned nearest-neighbour router matches learned ones in public comparisons (Li 2025, "Rethinking predictive modeling for LLM
routing"), so how many neighbours count, how fast they fade and what words say beside meaning is chosen, not set.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from interconnected_ai.errors import ConfigError, DataError, IntegrityError
from interconnected_ai.routing.examples import Example, ExpertCard, inside, outside
from interconnected_ai.routing.learned import KEEP
from interconnected_ai.routing.neighbours import Neighbours
from interconnected_ai.routing.requests import EMPTY, is_empty, understood
from interconnected_ai.routing.router_folder import read_router, write_router
from interconnected_ai.routing.topic_model import TextViews
from interconnected_ai.text import count_ngrams, model_id_of, ngrams_signature
from interconnected_ai.types import Encode, Request, Route, ScoredExpert, Told

SEMANTIC = "semantic"
# The usual ones first: another is taken only where it is right more often.
NEIGHBOURS = (10, 30, 3, 100, 1)
FADING = (0.05, 0.1, 0.02, 0.2)  # a neighbour's vote falls to 1/e where it is so much less like the text
WORDS = (0.5, 0.25, 1.0, 0.0)  # beside meaning
_MOST_TRIED = 1_500  # examples that choose
_FEWEST_TRIED = 20
_ALIKE = 3  # of the nearest, by whose likeness a text is known: one may be odd, many are a crowd
_AT_ONCE = 64  # rows of similarities
_LOWEST = -1.0
_SHOWN = 60

Say = Callable[[str], None]


@dataclass(frozen=True)
class Nearness:
    """How neighbours decide. threshold: of how like the nearest is, from 0 (opposite) to 1 (the same)."""

    num_neighbours: int = 10
    fading: float = 0.05
    words: float = 0.5
    threshold: float = 0.0
    accuracy: float | None = None


class SemanticRouter:
    """The k nearest texts of all cards vote, each with exp((similarity - 1) / fading); an expert's score is its share.

    Descriptions count as one example each. It abstains where even the nearest text is unlike the request. Never changed after
    it is made: any number of threads may ask at once, as far as `encode` may be asked so.
    """

    def __init__(self, cards: Sequence[ExpertCard], neighbours: Neighbours, nearness: Nearness, encode: Encode) -> None:
        self.cards, self.nearness = tuple(cards), nearness
        self._neighbours, self._encode = neighbours, encode
        self._texts, self._owners = _texts_of(self.cards)
        if len(self._texts) != len(neighbours):
            raise DataError(f"{len(self._texts)} texts stand on the cards, and there are vectors of {len(neighbours)}")

    @classmethod
    def fit(
        cls,
        cards: Sequence[ExpertCard],
        encode: Encode,
        *,
        validation: Sequence[Example] = (),
        keep: float = KEEP,
        say: Say = lambda words: None,
    ) -> Self:
        """Know the cards; how neighbours decide is chosen on validation rows, or by leaving each of the cards' texts out.

        validation: requests with their expert, None for nobody's business; without them the threshold is that which `keep`
        of the cards' own examples are above. Raises `DataError` for fewer than two experts with texts, `ConfigError`
        for two cards of one expert.
        """
        names = [card.expert for card in cards]
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise ConfigError(f"two cards are of the expert {twice[0]!r}; make them one")
        texts, owners = _texts_of(cards)
        if len(set(owners.tolist())) < 2:
            raise DataError("routing is a choice between two experts or more; give each a description or examples")
        name = model_id_of(encode)
        views = TextViews.of(texts, encode, model_id=name)
        neighbours = Neighbours.of(texts, views)
        asked = [each for each in inside(validation) if each.expert in names]
        if len(asked) >= _FEWEST_TRIED:
            tried = _asked(asked, names, encode, views.vectors.shape[1])
        else:
            tried = _left_out(texts, views, owners)
        nearness, best = _chosen(neighbours, owners, len(names), tried, say)
        router = cls(cards, neighbours, nearness, encode)
        return router._with_threshold(best, validation, keep, say)

    def _with_threshold(self, likeness: np.ndarray, validation: Sequence[Example], keep: float, say: Say) -> Self:
        """likeness: (num_tried,) how like the nearest texts are to requests that are somebody's business."""
        from interconnected_ai.routing.fitting import threshold_of

        foreign = outside(validation)
        theirs = self.scores(foreign)[1] if foreign else None
        if not len(likeness):
            return self
        threshold = threshold_of(likeness, theirs, keep=keep)
        say(f"threshold {threshold:.3f}")
        return type(self)(self.cards, self._neighbours, replace(self.nearness, threshold=threshold), self._encode)

    @property
    def experts(self) -> tuple[str, ...]:
        """Those it chooses from, in the order of their cards."""
        return tuple(card.expert for card in self.cards)

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order; an empty one has none."""
        asked = [understood(request) for request in requests]
        full = [number for number, request in enumerate(asked) if not is_empty(request)]
        found = [Route((), EMPTY, SEMANTIC, abstains=True) for _ in asked]
        for start in range(0, len(full), _AT_ONCE):
            some = full[start : start + _AT_ONCE]
            similar = self._similarities([asked[number].text for number in some])
            votes = _votes(similar, self._owners, len(self.cards), self.nearness)
            for number, row, shares in zip(some, similar, votes, strict=True):
                found[number] = self._route(row, shares)
        return found

    def scores(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """((num_texts, num_experts) shares of the votes, (num_texts,) how like the nearest text is, from 0 to 1)."""
        parts = [self._similarities(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        shares = [_votes(part, self._owners, len(self.cards), self.nearness) for part in parts]
        nearest = [_likeness(part) for part in parts]
        return (
            np.concatenate([np.zeros((0, len(self.cards))), *shares]),
            np.concatenate([np.zeros(0), *nearest]),
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the router with its cards; `folder` is replaced whole or not at all. The encoder is named, not written."""
        cards = [{"expert": c.expert, "description": c.description, "examples": list(c.examples)} for c in self.cards]
        described = {"cards": cards, "nearness": asdict(self.nearness), "ngrams": ngrams_signature()}
        write_router(folder, SEMANTIC, described, self._neighbours.tensors(), self._encode)

    @classmethod
    def from_pretrained(cls, folder: str | Path, encode: Encode) -> Self:
        """The router in this folder; `encode` must be the encoder that it was made with.

        Raises `StorageError` for a folder that is none, altered or damaged, `EncoderError` for another encoder.
        """
        known, arrays = read_router(folder, SEMANTIC, encode)
        if known.get("ngrams") != ngrams_signature():
            raise IntegrityError(
                f"{folder} tells words apart by {known.get('ngrams')!r}, here it is {ngrams_signature()!r}; make it anew"
            )
        try:
            cards = [ExpertCard(c["expert"], c["description"], tuple(c["examples"])) for c in known["cards"]]
            return cls(cards, Neighbours.from_tensors(arrays), Nearness(**known["nearness"]), encode)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{folder} is no whole router: {error}; restore it from a copy") from error

    def _similarities(self, texts: Sequence[str]) -> np.ndarray:
        dimension = len(self._neighbours.mean)
        views = TextViews.of(texts, self._encode, dimension=dimension, model_id=model_id_of(self._encode))
        return self._neighbours.similarities(views, self.nearness.words)

    def _route(self, similar: np.ndarray, shares: np.ndarray) -> Route:
        order = np.argsort(-shares, kind="stable")
        experts = tuple(ScoredExpert(self.experts[number], float(shares[number])) for number in order)
        nearest = int(similar.argmax())
        like = float(_likeness(similar[None])[0])
        text = self._texts[nearest]
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        if like < self.nearness.threshold:
            threshold = self.nearness.threshold
            words = Told.of(
                "unlike_examples", f"unlike every example ({like:.2f}, {threshold:.2f} is needed); nearest {text!r}",
                like=like, needed=threshold, example=text,
            )  # fmt: skip
            return Route(experts, words, SEMANTIC, abstains=True)
        owner = self.experts[self._owners[nearest]]
        return Route(
            experts, Told.of("like_example", f"like {text!r} of {owner}", example=text, expert=owner), SEMANTIC
        )


def _texts_of(cards: Sequence[ExpertCard]) -> tuple[list[str], np.ndarray]:
    """All texts of the cards, and the number of each one's card."""
    texts: list[str] = []
    owners: list[int] = []
    for number, card in enumerate(cards):
        own = [text for text in (card.description, *card.examples) if text.strip()]
        texts += own
        owners += [number] * len(own)
    return texts, np.array(owners, dtype=np.int64)


def _votes(similar: np.ndarray, owners: np.ndarray, num_experts: int, nearness: Nearness) -> np.ndarray:
    """(num_asked, num_experts): each expert's share of the votes of the nearest."""
    count = min(nearness.num_neighbours, similar.shape[1])
    nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(similar, nearest, axis=1).astype(np.float64)
    votes = np.exp((values - values.max(axis=1, keepdims=True)) / nearness.fading)
    out = np.zeros((len(similar), num_experts))
    for row, (places, weights) in enumerate(zip(nearest, votes, strict=True)):
        out[row] = np.bincount(owners[places], weights, minlength=num_experts)
    shares: np.ndarray = out / out.sum(axis=1, keepdims=True)
    return shares


def _likeness(similar: np.ndarray) -> np.ndarray:
    """(num_asked,) how like the nearest few texts are on average, from 0 to 1."""
    count = min(_ALIKE, similar.shape[1])
    nearest = -np.partition(-similar, count - 1, axis=1)[:, :count]
    out: np.ndarray = ((nearest.mean(axis=1) + 1.0) / 2.0).astype(np.float64)
    return out


@dataclass(frozen=True, eq=False)
class _Tried:
    """Texts that choose how neighbours decide.

    owners: (num_tried,) the right cards; own: the place of each among the neighbours, where it must not find itself.
    """

    views: TextViews
    owners: np.ndarray
    own: np.ndarray | None = None


def _asked(examples: Sequence[Example], names: Sequence[str], encode: Encode, dimension: int) -> _Tried:
    """Some of the validation rows."""
    rows = np.random.default_rng(0).permutation(len(examples))[:_MOST_TRIED]
    examples = [examples[row] for row in rows]
    texts = [each.text for each in examples]
    views = TextViews.of(texts, encode, dimension=dimension, model_id=model_id_of(encode))
    return _Tried(views, np.array([names.index(str(each.expert)) for each in examples], dtype=np.int64))


def _left_out(texts: Sequence[str], views: TextViews, owners: np.ndarray) -> _Tried:
    """Some of the cards' own texts, each of which is left out while it is asked for."""
    rows = np.random.default_rng(0).permutation(len(owners))[:_MOST_TRIED]
    return _Tried(TextViews(views.vectors[rows], tuple(count_ngrams([texts[row] for row in rows]))), owners[rows], rows)


def _chosen(
    neighbours: Neighbours, owners: np.ndarray, num_experts: int, tried: _Tried, say: Say
) -> tuple[Nearness, np.ndarray]:
    """(how neighbours decide best, how like the nearest are of each text tried)."""
    if len(tried.owners) < _FEWEST_TRIED:
        return Nearness(num_neighbours=1), np.zeros(0)
    meaning, words = neighbours.by_meaning(tried.views), neighbours.by_words(tried.views)
    best, likeness = Nearness(), np.zeros(0)
    for share in WORDS:
        similar = (meaning + share * words) / (1.0 + share)
        if tried.own is not None:
            similar[np.arange(len(tried.own)), tried.own] = _LOWEST
        for way in (Nearness(count, fading, share) for count in NEIGHBOURS for fading in FADING):
            found = _votes(similar, owners, num_experts, way).argmax(axis=1)
            accuracy = float(np.mean(found == tried.owners))
            if best.accuracy is None or accuracy > best.accuracy:
                best, likeness = replace(way, accuracy=accuracy), _likeness(similar)
    say(f"{best.num_neighbours} neighbours, fading {best.fading}, words {best.words}: {best.accuracy:.2%} right")
    return best, likeness
