"""A router that has learnt from labelled requests: topics by vectors and words, honest about how sure it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from interconnected_ai.config import MOST_WIDE_WEIGHTS
from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.routing.examples import Example, experts_in, held_out, inside, outside
from interconnected_ai.routing.requests import EMPTY, is_empty, understood
from interconnected_ai.routing.router_folder import read_router, write_router
from interconnected_ai.routing.scope import FEWEST_OUTSIDE, Scope
from interconnected_ai.routing.topic_model import NOBODY, TextViews, TopicModel, softmax
from interconnected_ai.text import Vocabulary, model_id_of, ngrams_signature
from interconnected_ai.types import Encode, Request, Route, ScoredExpert, Told

LEARNED = "learned"
KEEP = 0.965  # of the requests that are somebody's business, the share that is answered
SCALES = (0.5, 1.0, 2.0)  # of words beside vectors
_MOST_TERMS = 30_000
_STEPS = 60
_FEWEST_CHOOSING = 20  # rows, with fewer of which nothing is chosen by them

Topic = tuple[str | None, str | None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What a learned router was made with, and what its validation rows said of it.

    topics: (expert, topic) of each of the model's columns, (None, None) for what is nobody's business. scale: how long words
    are beside vectors. accuracy: of the likeliest expert, on rows that chose temperature and threshold.
    """

    experts: tuple[str, ...]
    topics: tuple[Topic, ...]
    temperature: float = 1.0
    scale: float = 1.0
    keep: float = KEEP
    num_learnt: int = 0
    num_choosing: int = 0
    num_outside: int = 0
    accuracy: float | None = None
    scope: Scope = field(default_factory=Scope.unlearnt)


class LearnedRouter:
    """Multinomial regression over topics on vectors and words; an expert's score is the calibrated sum over its topics.

    Temperature, length of words and the threshold below which it abstains are chosen on validation rows. It is never changed
    after it is made: any number of threads may ask at once, as far as `encode` may be asked so.
    """

    def __init__(self, settings: Settings, model: TopicModel, encode: Encode) -> None:
        self.settings = settings
        self._model, self._encode = model, encode

    @classmethod
    def fit(
        cls,
        examples: Sequence[Example],
        encode: Encode,
        *,
        validation: Sequence[Example] | None = None,
        keep: float = KEEP,
        say: Say = lambda words: None,
    ) -> Self:
        """Learn from labelled requests, those that are nobody's business (expert None) among them.

        validation: rows that choose; None holds out a tenth of the examples, by a hash of the text. keep: the share of requests
        that are somebody's business and should be answered; the rest is what refusing others may cost.
        Raises `DataError` for fewer than two experts, `ConfigError` for a share that cannot be, `MissingExtraError` without
        PyStemmer.
        """
        if not 0.5 <= keep < 1.0:
            raise ConfigError(f"keep={keep}: needs a share from 0.5 to below 1, such as {KEEP}")
        learnt, choosing = held_out(examples) if validation is None else (list(examples), list(validation))
        settings = _settings(learnt, keep)
        choosing = [each for each in choosing if each.expert is None or each.expert in settings.experts]
        say(f"{len(learnt):,} requests to learn, {len(choosing):,} to choose by, {len(settings.topics)} topics")
        return cls._fitted(settings, learnt, choosing, encode, say)

    @classmethod
    def _fitted(
        cls, settings: Settings, learnt: list[Example], choosing: list[Example], encode: Encode, say: Say
    ) -> Self:
        asked, foreign = inside(choosing), outside(choosing)
        name = model_id_of(encode)
        views = TextViews.of([each.text for each in learnt], encode, model_id=name)
        dimension = views.vectors.shape[1]
        own = TextViews.of([each.text for each in asked], encode, dimension=dimension, model_id=name) if asked else None
        others = TextViews.of(foreign, encode, dimension=dimension, model_id=name) if foreign else None
        answers = np.array([settings.experts.index(str(each.expert)) for each in asked], dtype=np.int64)
        scale, model, accuracy = _best_model(settings, learnt, views, own, answers, say)
        router = cls(replace(settings, scale=scale, accuracy=accuracy, num_learnt=len(learnt)), model, encode)
        return router if own is None else router._calibrated(own, answers, others, say)

    def _calibrated(self, own: TextViews, answers: np.ndarray, others: TextViews | None, say: Say) -> Self:
        """The same model, with what validation rows say of its confidence."""
        from interconnected_ai.routing.fitting import temperature_of, threshold_of

        logits = self._model.expert_logits(self._model.logits(own), len(self.settings.experts))
        router = self._with(temperature=temperature_of(logits, answers), num_choosing=len(answers))
        mine = router._traits(own)
        theirs = None if others is None else router._traits(others)
        scope = Scope.unlearnt()
        if theirs is not None and len(theirs) >= FEWEST_OUTSIDE and len(mine) >= FEWEST_OUTSIDE:
            scope = Scope.learnt(mine, theirs)
        apart = None if theirs is None else scope.scores(theirs)
        threshold = threshold_of(scope.scores(mine), apart, keep=self.settings.keep)
        refused = "" if apart is None else f", {np.mean(apart < threshold):.1%} of what is nobody's business refused"
        say(f"temperature {router.settings.temperature:.2f}, threshold {threshold:.3f}{refused}")
        known = {name: getattr(scope, name) for name in ("weights", "centres", "spreads", "bias", "is_learnt")}
        return router._with(scope=Scope(**known, threshold=threshold), num_outside=0 if theirs is None else len(theirs))

    @property
    def experts(self) -> tuple[str, ...]:
        """Those it chooses from, by name."""
        return self.settings.experts

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order; an empty one has none."""
        asked = [understood(request) for request in requests]
        full = [number for number, request in enumerate(asked) if not is_empty(request)]
        found = [Route((), EMPTY, LEARNED, abstains=True) for _ in asked]
        if full:
            for number, route in zip(full, self._routes([asked[number].text for number in full]), strict=True):
                found[number] = route
        return found

    def scores(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """((num_texts, num_experts) calibrated probabilities, (num_texts,) how surely a text is somebody's business)."""
        views = self._views(texts)
        logits = self._model.logits(views)
        probabilities = self._probabilities(logits)
        return probabilities, self.settings.scope.scores(self._model.traits(views, logits, probabilities.max(axis=1)))

    def _routes(self, texts: Sequence[str]) -> list[Route]:
        probabilities, scope = self.scores(texts)
        return [self._route(row, float(sure)) for row, sure in zip(probabilities, scope, strict=True)]

    def _route(self, probabilities: np.ndarray, sure: float) -> Route:
        order = np.argsort(-probabilities, kind="stable")
        experts = tuple(ScoredExpert(self.experts[number], float(probabilities[number])) for number in order)
        first, second = experts[0], experts[1]
        likely = f"{first.expert} {first.score:.2f}, then {second.expert} {second.score:.2f}"
        threshold = self.settings.scope.threshold
        if sure < threshold:
            words = Told.of(
                "unlike_learnt", f"unlike what was learnt ({sure:.2f}, {threshold:.2f} is needed); nearest {likely}",
                sure=sure, needed=threshold, expert=first.expert, score=first.score,
            )  # fmt: skip
            return Route(experts, words, LEARNED, abstains=True, is_outside=self.settings.scope.is_learnt)
        words = Told.of(
            "learnt", f"learnt from {self.settings.num_learnt:,} requests: {likely}", count=self.settings.num_learnt,
            expert=first.expert, score=first.score, other=second.expert, next=second.score,
        )  # fmt: skip
        return Route(experts, words, LEARNED)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the router; `folder` is replaced whole or not at all. The encoder is named, not written."""
        known = self.settings
        described = {
            "experts": list(known.experts),
            "topics": [list(topic) for topic in known.topics],
            "temperature": known.temperature,
            "scale": known.scale,
            "keep": known.keep,
            "scope": known.scope.to_dict(),
            "ngrams": ngrams_signature(),
            "num_learnt": known.num_learnt,
            "num_choosing": known.num_choosing,
            "num_outside": known.num_outside,
            "accuracy": known.accuracy,
        }
        write_router(folder, LEARNED, described, self._model.tensors(), self._encode)

    @classmethod
    def from_pretrained(cls, folder: str | Path, encode: Encode) -> Self:
        """The router in this folder; `encode` must be the encoder that it was made with.

        Raises `StorageError` for a folder that is none, altered or damaged, `EncoderError` for another encoder.
        """
        known, arrays = read_router(folder, LEARNED, encode)
        if known.get("ngrams") != ngrams_signature():
            raise IntegrityError(
                f"{folder} tells words apart by {known.get('ngrams')!r}, here it is {ngrams_signature()!r}; train it anew"
            )
        try:
            settings = Settings(
                experts=tuple(map(str, known["experts"])),
                topics=tuple((expert, topic) for expert, topic in known["topics"]),
                temperature=float(known["temperature"]),
                scale=float(known["scale"]),
                keep=float(known["keep"]),
                num_learnt=int(known["num_learnt"]),
                num_choosing=int(known["num_choosing"]),
                num_outside=int(known["num_outside"]),
                accuracy=known["accuracy"],
                scope=Scope.from_dict(known["scope"]),
            )
            model = TopicModel.from_tensors(arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{folder} is no whole router: {error}; restore it from a copy") from error
        return cls(settings, model, encode)

    def _views(self, texts: Sequence[str]) -> TextViews:
        return TextViews.of(texts, self._encode, dimension=len(self._model.mean), model_id=model_id_of(self._encode))

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(self._model.expert_logits(logits, len(self.experts)) / self.settings.temperature)

    def _traits(self, views: TextViews) -> np.ndarray:
        logits = self._model.logits(views)
        return self._model.traits(views, logits, self._probabilities(logits).max(axis=1))

    def _with(self, **changes: Any) -> Self:
        return type(self)(replace(self.settings, **changes), self._model, self._encode)


def _settings(examples: Sequence[Example], keep: float) -> Settings:
    """Experts and topics of the examples: topics by expert and name, nobody's business last."""
    experts = experts_in(examples)
    topics: list[Topic] = sorted({(each.expert, each.topic) for each in examples if each.expert is not None}, key=repr)
    if any(each.expert is None for each in examples):
        topics.append((None, None))
    return Settings(experts, tuple(topics), keep=keep)


def _best_model(
    settings: Settings,
    learnt: Sequence[Example],
    views: TextViews,
    own: TextViews | None,
    answers: np.ndarray,
    say: Say,
) -> tuple[float, TopicModel, float | None]:
    """(scale of words, the model with it, its accuracy on the rows that choose): the scale that answers most of them; of equals
    the largest, since words say more with every row that comes. Too few rows to choose: 1.
    """
    from interconnected_ai.routing.fitting import fit_topic_model

    number = {topic: place for place, topic in enumerate(settings.topics)}
    topics = np.array([number[_topic_of(each)] for each in learnt], dtype=np.int64)
    owners = np.array([NOBODY if expert is None else settings.experts.index(expert) for expert, _ in settings.topics])
    vocabulary = Vocabulary.of(
        [each.text for each in learnt], min(_MOST_TERMS, MOST_WIDE_WEIGHTS // max(1, len(settings.topics)))
    )
    best: tuple[float, TopicModel, float | None] | None = None
    chooses = own is not None and len(answers) >= _FEWEST_CHOOSING
    start = None
    for scale in SCALES if chooses else (1.0,):
        start = fit_topic_model(views, topics, owners, vocabulary, scale=scale, steps=_STEPS, start=start)
        accuracy = None
        if own is not None:
            found = start.expert_logits(start.logits(own), len(settings.experts)).argmax(axis=1)
            accuracy = float(np.mean(found == answers)) if len(answers) else None
        say(f"words {scale} beside vectors" + ("" if accuracy is None else f": {accuracy:.2%} right"))
        if best is None or (accuracy or 0.0) >= (best[2] or 0.0):
            best = scale, start, accuracy
    assert best is not None
    return best


def _topic_of(example: Example) -> Topic:
    return (None, None) if example.expert is None else (example.expert, example.topic)
