"""A router that asks the experts themselves: whoever finds the request likeliest answers it, weighed by what others think.

For experts that share a tokenizer, since likelihoods of different tokens are not to be compared. One prefill an expert.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.routing.examples import Example, experts_in, inside
from interconnected_ai.routing.requests import EMPTY, is_empty, understood
from interconnected_ai.types import LogLikelihoods, Request, Route, Router, ScoredExpert, Told

LIKELIHOOD = "likelihood"
_LEAST_PRIOR = 1e-3  # what a prior leaves to an expert that it does not name
# Tokens of a text are no independent witnesses, so each counts for less than one.
_WEIGHTS = tuple(float(weight) for weight in np.geomspace(0.001, 1.0, 31))


@dataclass(frozen=True)
class LikelihoodRouter:
    """score ∝ prior · likelihood ^ weight, over the experts that `likelihoods` names.

    prior: a router whose scores weigh in, also where it abstains; None finds all alike. weight: how much of a likelihood
    counts, from 0 to 1 (see `with_fitted_weight`). least_margin: by how much the best must lead, or the router abstains.
    Any number of threads may ask at once, as far as `likelihoods` and `prior` may be asked so.
    """

    likelihoods: LogLikelihoods
    prior: Router | None = None
    weight: float = 0.1
    least_margin: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("least_margin", self.least_margin)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name}={value}: needs a number from 0 to 1")

    def with_fitted_weight(self, examples: Sequence[Example]) -> "LikelihoodRouter":
        """The same router with the weight under which these requests' experts are likeliest, of 31 from .001 to 1.

        Raises `DataError` for examples of fewer than two experts.
        """
        asked = [each for each in inside(examples) if each.text.strip()]
        experts_in(asked)
        requests = [Request(each.text) for each in asked]
        rows = list(zip(self._likelihoods(requests), self._priors(requests), asked, strict=True))

        def loss(weight: float) -> float:
            return -sum(
                math.log(max(_posterior(found, prior, weight).get(str(each.expert), 0.0), 1e-12))
                for found, prior, each in rows
            )

        return LikelihoodRouter(self.likelihoods, self.prior, min(_WEIGHTS, key=loss), self.least_margin)

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order. Raises `DataError` for likelihoods that are no numbers."""
        asked = [understood(request) for request in requests]
        full = [number for number, request in enumerate(asked) if not is_empty(request)]
        routes = [Route((), EMPTY, LIKELIHOOD, abstains=True) for _ in asked]
        if full:
            some = [asked[number] for number in full]
            for number, found, prior in zip(full, self._likelihoods(some), self._priors(some), strict=True):
                routes[number] = self._route(found, prior)
        return routes

    def _likelihoods(self, requests: Sequence[Request]) -> list[Mapping[str, float]]:
        found = list(self.likelihoods([request.text for request in requests]))
        if len(found) != len(requests):
            raise DataError(f"likelihoods of {len(requests)} texts were asked for, and {len(found)} came")
        for each in found:
            for expert, value in each.items():
                if math.isnan(value) or value == math.inf:
                    raise DataError(
                        f"the log-likelihood under expert {expert!r} is {value}; needed is a number, or -inf"
                    )
        return found

    def _priors(self, requests: Sequence[Request]) -> list[dict[str, float]]:
        if self.prior is None:
            return [{} for _ in requests]
        return [{each.expert: each.score for each in route.experts} for route in self.prior.route(requests)]

    def _route(self, found: Mapping[str, float], prior: Mapping[str, float]) -> Route:
        scores = _posterior(found, prior, self.weight)
        experts = tuple(ScoredExpert(*pair) for pair in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0])))
        if not experts:
            unread = Told.of("unreadable", "no expert can read this request")
            return Route((), unread, LIKELIHOOD, abstains=True)
        best = experts[0]
        nats = f"ln likelihood {found[best.expert]:.1f}"
        if len(experts) > 1:
            nats += f" against {found[experts[1].expert]:.1f} of {experts[1].expert}"
        likeliest = Told.of(
            "likeliest", f"{best.expert} finds it likeliest: {nats}", expert=best.expert, nats=found[best.expert]
        )
        leads = Route(experts, likeliest, LIKELIHOOD)
        if len(experts) > 1 and leads.margin < self.least_margin:
            margin, needed = leads.margin, self.least_margin
            words = Told.of(
                "not_likeliest", f"no expert finds it clearly likeliest ({margin:.2f}, {needed:.2f} is needed): {nats}",
                margin=margin, needed=needed, expert=best.expert,
            )  # fmt: skip
            return Route(experts, words, LIKELIHOOD, abstains=True)
        return leads


def _posterior(found: Mapping[str, float], prior: Mapping[str, float], weight: float) -> dict[str, float]:
    """Expert → probability, of those that find the text possible."""
    logs = {
        expert: weight * value + (math.log(max(prior.get(expert, 0.0), _LEAST_PRIOR)) if prior else 0.0)
        for expert, value in found.items()
        if value > -math.inf
    }
    if not logs:
        return {}
    highest = max(logs.values())
    raised = {expert: math.exp(value - highest) for expert, value in logs.items()}
    total = sum(raised.values())
    return {expert: value / total for expert, value in raised.items()}
