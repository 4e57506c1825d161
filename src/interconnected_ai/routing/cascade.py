"""Routers one after another: whoever is sure decides, and a conversation stays with its expert unless leaving is worth it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from interconnected_ai.errors import ConfigError
from interconnected_ai.routing.fallbacks import check_fallbacks, stand_ins
from interconnected_ai.routing.requests import understood
from interconnected_ai.routing.rule_router import RULES
from interconnected_ai.types import Request, Route, Router, ScoredExpert

CASCADE = "cascade"
SWITCHING_COST = 0.2
_MOST_SESSIONS = 10_000

SessionKey = tuple[str | None, str]


class Cascade:
    """The first router that does not abstain decides; where all do, the session's expert goes on, or else the fallback answers.

    Rules first: whom they bar nobody else may choose, and what they decide is not weighed. Other decisions leave a session's
    expert only where the new one's score is above its own by `switching_cost`. An expert that is not available, or barred,
    is stood in for along `fallbacks`, and the reason says so.
    Any number of threads may ask at once; the requests of one session are best asked one after another.
    """

    def __init__(
        self,
        routers: Sequence[Router],
        fallback: str,
        *,
        fallbacks: Mapping[str, str] | None = None,
        switching_cost: float = SWITCHING_COST,
        is_available: Callable[[str], bool] = lambda expert: True,
    ) -> None:
        """routers: in the order in which they are asked. fallback: who answers where nobody is sure.

        is_available: whether an expert can answer now. Raises `ConfigError` for fallbacks that go in a circle.
        """
        if not 0.0 <= switching_cost <= 1.0:
            raise ConfigError(f"switching_cost={switching_cost}: needs a number from 0 (none) to 1 (never)")
        self._fallbacks = dict(fallbacks or {})
        check_fallbacks(self._fallbacks)
        self._routers, self._fallback = tuple(routers), fallback
        self._switching_cost, self._is_available = switching_cost, is_available
        self._sessions: OrderedDict[SessionKey, str] = OrderedDict()
        self._lock = threading.Lock()

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order; those of one session each know of the ones before."""
        asked = [understood(request) for request in requests]
        said = self._asked(asked)
        return [self._decided(request, each) for request, each in zip(asked, said, strict=True)]

    def forget(self, session: str, user: str | None = None) -> None:
        """Forget which expert a session is with."""
        with self._lock:
            self._sessions.pop((user, session), None)

    def _asked(self, requests: Sequence[Request]) -> list[list[Route]]:
        """What routers say of each request, up to the first that decides."""
        said: list[list[Route]] = [[] for _ in requests]
        open_ones = list(range(len(requests)))
        for router in self._routers:
            if not open_ones:
                break
            for number, route in zip(open_ones, router.route([requests[number] for number in open_ones]), strict=True):
                said[number].append(_without_barred(route, _barred(said[number])))
            open_ones = [number for number in open_ones if not _decides(said[number][-1])]
        return said

    def _decided(self, request: Request, said: list[Route]) -> Route:
        barred = _barred(said)
        before = self._expert_of(request)
        if before is not None and not self._may_answer(before, barred):
            before = None
        route = self._kept(said[-1], before) if said and _decides(said[-1]) else self._unsure(said, before)
        route = replace(self._with_available(route, barred), barred=barred, considered=tuple(said))
        if route.expert is not None and not route.is_fallback:
            self._remember(request, route.expert)
        return route

    def _kept(self, route: Route, before: str | None) -> Route:
        """A decision, or the expert of the session where the decision leads too little to leave it."""
        best = route.experts[0]
        if before is None or route.router == RULES or best.expert == before:
            return route
        lead = best.score - route.score_of(before)
        if lead > self._switching_cost:
            return replace(route, reason=f"{route.reason}; leaves {before}, {lead:.2f} surer")
        words = f"stays with {before}: {best.expert} leads by {lead:.2f}, leaving costs {self._switching_cost:.2f}"
        return replace(route, experts=_with_first(before, route.experts), reason=f"{words}; {route.reason}")

    def _unsure(self, said: list[Route], before: str | None) -> Route:
        """Nobody decides: the session's expert, whom a rule names for that, or the fallback."""
        leaning = next((route.experts for route in reversed(said) if route.experts and route.abstains), ())
        why = "; ".join(f"{route.router}: {route.reason}" for route in said) or "no router was asked"
        if before is not None:
            return Route(_with_first(before, leaning), f"stays with {before}; {why}", CASCADE)
        default = next(
            (route.experts[0].expert for route in said if route.is_fallback and route.experts), self._fallback
        )
        return Route(
            _with_first(default, leaning), f"{default} answers where nobody is sure; {why}", CASCADE, is_fallback=True
        )

    def _with_available(self, route: Route, barred: frozenset[str]) -> Route:
        """The route to whoever stands in where its expert cannot answer; one that abstains where nobody can."""
        wanted = route.experts[0].expert
        if self._may_answer(wanted, barred):
            return route
        others = (*stand_ins(wanted, self._fallbacks), self._fallback, *(each.expert for each in route.experts[1:]))
        chosen = next((name for name in others if self._may_answer(name, barred)), None)
        why = "may not answer this request" if wanted in barred else "is not available"
        if chosen is None:
            words = f"{wanted} {why}, and nobody can stand in; {route.reason}"
            return replace(route, reason=words, abstains=True, is_fallback=True)
        experts = _with_first(chosen, tuple(each for each in route.experts if each.expert != wanted))
        return replace(
            route, experts=experts, reason=f"{wanted} {why}, {chosen} stands in; {route.reason}", is_fallback=True
        )

    def _may_answer(self, expert: str, barred: frozenset[str]) -> bool:
        return expert not in barred and self._is_available(expert)

    def _expert_of(self, request: Request) -> str | None:
        if request.session is None:
            return None
        with self._lock:
            return self._sessions.get((request.user, request.session))

    def _remember(self, request: Request, expert: str) -> None:
        if request.session is None:
            return
        key = (request.user, request.session)
        with self._lock:
            self._sessions[key] = expert
            self._sessions.move_to_end(key)
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)


def _decides(route: Route) -> bool:
    return route.expert is not None and not route.is_fallback


def _barred(said: Sequence[Route]) -> frozenset[str]:
    return frozenset(expert for route in said for expert in route.barred)


def _without_barred(route: Route, barred: frozenset[str]) -> Route:
    """The route without those who may not answer; it abstains where nobody is left."""
    if not barred.intersection(each.expert for each in route.experts):
        return route
    left = tuple(each for each in route.experts if each.expert not in barred)
    words = f"{route.reason}; without {', '.join(sorted(barred))}"
    return replace(route, experts=left, reason=words, abstains=route.abstains or not left)


def _with_first(expert: str, experts: Sequence[ScoredExpert]) -> tuple[ScoredExpert, ...]:
    """The experts with this one in front, whatever its score."""
    known = next((each for each in experts if each.expert == expert), ScoredExpert(expert, 0.0))
    return (known, *(each for each in experts if each.expert != expert))
