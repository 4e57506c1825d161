"""A classifier that was trained for something else, such as a branch of a system, as a router: it classifies, others obey."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.routing.requests import EMPTY, is_empty, understood
from interconnected_ai.types import Classified, Classify, Request, Route, ScoredExpert, Told

CLASSIFIER = "classifier"


class ClassifierRouter:
    """Routes by the labels of any `Classify`; an expert's score is the sum over the labels that lead to it.

    A branch: `lambda texts: [each.branches["topic"] for each in system.predict(texts, branches=["topic"], top_n=99)]`.
    It abstains where the classifier says that the text is none of its labels, and where the likeliest label leads to nobody.
    Any number of threads may ask at once, as far as the classifier may be asked so.
    """

    def __init__(self, classify: Classify, experts: Mapping[str, str | None]) -> None:
        """experts: label → who answers, None for nobody. Raises `ConfigError` where that names no expert."""
        if not any(experts.values()):
            raise ConfigError("experts: no label leads to an expert; give a mapping of labels to names")
        self._classify, self._experts = classify, dict(experts)

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order. Raises `UnknownNameError` for a label that leads nowhere."""
        asked = [understood(request) for request in requests]
        full = [number for number, request in enumerate(asked) if not is_empty(request)]
        found = [Route((), EMPTY, CLASSIFIER, abstains=True) for _ in asked]
        if full:
            said = list(self._classify([asked[number].text for number in full]))
            if len(said) != len(full):
                raise DataError(f"the classifier was asked for {len(full)} texts and answered for {len(said)}")
            for number, each in zip(full, said, strict=True):
                found[number] = self._route(each)
        return found

    def _route(self, said: Classified) -> Route:
        scores: dict[str, float] = defaultdict(float)
        for label, probability in said.top:
            if label not in self._experts:
                raise UnknownNameError("label", label, self._experts)
            if (expert := self._experts[label]) is not None:
                scores[expert] += float(probability)
        experts = tuple(ScoredExpert(*pair) for pair in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0])))
        if not said.top:
            nothing = Told.of("no_label", "the classifier names no label")
            return Route(experts, nothing, CLASSIFIER, abstains=True)
        label, probability = said.top[0]
        if said.unknown or self._experts[label] is None:
            why = "none of the classifier's labels" if said.unknown else f"{label!r} leads to nobody"
            leads_nowhere = not said.unknown  # the classifier knows what it is, and that nobody is to answer it
            told = Told.of(
                "unknown_label" if said.unknown else "label_nowhere", f"{why}; nearest {label!r} {probability:.2f}",
                label=label, score=probability,
            )  # fmt: skip
            return Route(experts, told, CLASSIFIER, abstains=True, is_outside=leads_nowhere)
        told = Told.of("classified", f"classified as {label!r} {probability:.2f}", label=label, score=probability)
        return Route(experts, told, CLASSIFIER)
