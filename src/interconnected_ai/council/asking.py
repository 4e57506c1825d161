"""A router that asks the council's own experts how likely they find a request, where the routers before it are not sure."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.experts import DecoderEngine, Expert, ExpertPool, TextExpert, log_likelihoods
from interconnected_ai.routing import LikelihoodRouter, understood
from interconnected_ai.types import Request, Route, Router, ScoredExpert, Told

_NOBODY = Route((), Told.of("no_router", "no router was asked before"), "prior", abstains=True)


class AskingRouter:
    """`LikelihoodRouter` over experts of a pool: the `most` surest by the prior are asked, those of one tokenizer.

    prior: a router whose leaning chooses who is asked and weighs in; None asks the first ones of `names`. always: asked
    whoever the prior thinks of, such as the fallback, so that what is nobody's business has somewhere to go.
    An expert that would have to wait for room, or cannot be opened, is not asked. Threads: any number may ask at once.
    """

    def __init__(
        self,
        pool: ExpertPool[TextExpert],
        names: Sequence[str],
        *,
        most: int,
        prior: Router | None = None,
        always: Sequence[str] = (),
        weight: float = 0.1,
        least_margin: float = 0.0,
        wait_seconds: float = 60.0,
    ) -> None:
        self._pool, self._names, self._most = pool, tuple(names), most
        self._prior, self._always = prior, tuple(always)
        self._weight, self._least_margin, self._wait_seconds = weight, least_margin, wait_seconds

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order, each asked of the experts that the prior leans to."""
        asked = [understood(request) for request in requests]
        leanings = [_NOBODY] * len(asked) if self._prior is None else self._prior.route(asked)
        return [self._routed(request, leaning) for request, leaning in zip(asked, leanings, strict=True)]

    def _routed(self, request: Request, leaning: Route) -> Route:
        names = self._candidates(leaning)
        prior = _Said(leaning) if leaning.experts else None
        return LikelihoodRouter(
            lambda texts: [self.log_likelihoods(text, names) for text in texts],
            prior=prior, weight=self._weight, least_margin=self._least_margin,
        ).route([request])[0]  # fmt: skip

    def _candidates(self, leaning: Route) -> list[str]:
        listed = [each.expert for each in leaning.experts if each.expert in self._names] or list(self._names)
        return list(dict.fromkeys((*listed[: self._most], *self._always)))

    def log_likelihoods(self, text: str, names: Sequence[str]) -> Mapping[str, float]:
        """ln p of the text by each of these who can be asked now and share the first one's tokenizer."""
        with ExitStack() as held:
            experts: dict[str, Expert] = {}
            for name in names:
                try:
                    if not self._pool.can_borrow(name):
                        continue
                    loan = held.enter_context(
                        self._pool.borrow(name, timeout_seconds=self._wait_seconds, at_once=bool(experts))
                    )
                except (InterconnectedAIError, OSError):  # who is asked to answer will say what ails it
                    continue
                expert = loan.expert
                if isinstance(expert, Expert) and isinstance(expert.engine, DecoderEngine):
                    first = next(iter(experts.values()), expert)
                    if expert.tokenizer.sha256 == first.tokenizer.sha256:
                        experts[name] = expert
            if not experts:
                return {}
            words = next(iter(experts.values())).tokenizer
            token_ids = [words.start_id, *words.encode(text)]
            return log_likelihoods({name: each.engine for name, each in experts.items()}, token_ids)


@dataclass(frozen=True)
class _Said:
    """What a router has said already, as a router."""

    leaning: Route

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        experts = tuple(ScoredExpert(each.expert, each.score) for each in self.leaning.experts)
        return [Route(experts, self.leaning.reason, self.leaning.router) for _ in requests]
