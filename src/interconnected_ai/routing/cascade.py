"""Routers one after another: whoever is sure decides, and a conversation stays with its expert unless leaving is worth it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from interconnected_ai.errors import ConfigError
from interconnected_ai.routing.fallbacks import check_fallbacks, stand_ins
from interconnected_ai.routing.follow_ups import is_follow_up
from interconnected_ai.routing.requests import understood
from interconnected_ai.routing.rule_router import RULES
from interconnected_ai.types import Request, Route, Router, ScoredExpert, Told, clauses_of

CASCADE = "cascade"
SWITCHING_COST = 0.2
_MOST_SESSIONS = 10_000

SessionKey = tuple[str | None, str]


class Cascade:
    """The first router that does not abstain decides; where all do, the session's expert goes on, or else the fallback answers.

    A session's stay ends where a router is sure that a request is nobody's business and the request is no follow-up: then the
    fallback answers it, and what comes after is routed as if nothing had been before.

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
        found = []
        for request, said in zip(asked, self._asked(asked), strict=True):
            route, ends_stay = self._decided(request, said)
            self._note(request, route, ends_stay)
            found.append(route)
        return found

    def foresee(self, requests: Sequence[Request], /) -> list[Route]:
        """What `route` would say of each by itself; sessions stay as they are."""
        asked = [understood(request) for request in requests]
        return [self._decided(request, said)[0] for request, said in zip(asked, self._asked(asked), strict=True)]

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

    def _decided(self, request: Request, said: list[Route]) -> tuple[Route, bool]:
        """The route, and whether the session's stay with its expert ends with it."""
        barred = _barred(said)
        before = self._expert_of(request)
        if before is not None and not self._may_answer(before, barred):
            before = None
        ends_stay = before is not None and _is_elsewhere(request, said)
        route = self._kept(said[-1], before) if said and _decides(said[-1]) else self._unsure(said, before, ends_stay)
        return replace(self._with_available(route, barred), barred=barred, considered=tuple(said)), ends_stay

    def _note(self, request: Request, route: Route, ends_stay: bool) -> None:
        if route.expert is not None and not route.is_fallback:
            self._remember(request, route.expert)
        elif ends_stay and request.session is not None:
            self.forget(request.session, request.user)

    def _kept(self, route: Route, before: str | None) -> Route:
        """A decision, or the expert of the session where the decision leads too little to leave it."""
        best = route.experts[0]
        if before is None or route.router == RULES or best.expert == before:
            return route
        lead = best.score - route.score_of(before)
        if lead > self._switching_cost:
            leaves = Told.of("leaves", f"leaves {before}, {lead:.2f} surer", expert=before, lead=lead)
            return replace(route, reason=_then(route.reason, leaves))
        cost = self._switching_cost
        stays = Told.of(
            "stays_for_less", f"stays with {before}: {best.expert} leads by {lead:.2f}, leaving costs {cost:.2f}",
            expert=before, other=best.expert, lead=lead, cost=cost,
        )  # fmt: skip
        return replace(route, experts=_with_first(before, route.experts), reason=stays.then(route.reason))

    def _unsure(self, said: list[Route], before: str | None, ends_stay: bool) -> Route:
        """Nobody decides: the session's expert, whom a rule names for that, or the fallback."""
        leaning = next((route.experts for route in reversed(said) if route.experts and route.abstains), ())
        why = _said_by_all(said)
        if ends_stay and before is not None:
            told = f"leaves {before}, whose business it is not"
            why = Told.of("leaves_business", told, expert=before).then(why)
        elif before is not None:
            stays = Told.of("stays", f"stays with {before}", expert=before)
            return Route(_with_first(before, leaning), stays.then(why), CASCADE)
        default = next(
            (route.experts[0].expert for route in said if route.is_fallback and route.experts), self._fallback
        )
        unsure = Told.of("nobody_sure", f"{default} answers where nobody is sure", expert=default)
        return Route(_with_first(default, leaning), unsure.then(why), CASCADE, is_fallback=True)

    def _with_available(self, route: Route, barred: frozenset[str]) -> Route:
        """The route to whoever stands in where its expert cannot answer; one that abstains where nobody can."""
        wanted = route.experts[0].expert
        if self._may_answer(wanted, barred):
            return route
        others = (*stand_ins(wanted, self._fallbacks), self._fallback, *(each.expert for each in route.experts[1:]))
        chosen = next((name for name in others if self._may_answer(name, barred)), None)
        code, why = ("barred", "may not answer this request") if wanted in barred else ("gone", "is not available")
        if chosen is None:
            nobody = Told.of(f"{code}_nobody", f"{wanted} {why}, and nobody can stand in", expert=wanted)
            return replace(route, reason=nobody.then(route.reason), abstains=True, is_fallback=True)
        experts = _with_first(chosen, tuple(each for each in route.experts if each.expert != wanted))
        other = Told.of(f"{code}_other", f"{wanted} {why}, {chosen} stands in", expert=wanted, other=chosen)
        return replace(route, experts=experts, reason=other.then(route.reason), is_fallback=True)

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


def _is_elsewhere(request: Request, said: Sequence[Route]) -> bool:
    """Whether nobody decides, somebody knows that it is nobody's business, and it does not go on with what was before."""
    if said and _decides(said[-1]):
        return False
    return any(route.is_outside for route in said) and not is_follow_up(request.text)


def _barred(said: Sequence[Route]) -> frozenset[str]:
    return frozenset(expert for route in said for expert in route.barred)


def _without_barred(route: Route, barred: frozenset[str]) -> Route:
    """The route without those who may not answer; it abstains where nobody is left."""
    if not barred.intersection(each.expert for each in route.experts):
        return route
    left = tuple(each for each in route.experts if each.expert not in barred)
    names = ", ".join(sorted(barred))
    words = _then(route.reason, Told.of("without", f"without {names}", experts=names))
    return replace(route, experts=left, reason=words, abstains=route.abstains or not left)


def _then(reason: str, more: Told) -> Told:
    """A reason, which may be another router's plain text, and something behind it."""
    return Told(reason, *clauses_of(reason)).then(more)


def _said_by_all(said: Sequence[Route]) -> Told:
    """What every router said, under its name."""
    if not said:
        return Told.of("no_router", "no router was asked")
    each = [Told.of("router", route.router, router=route.router).then(route.reason, between=": ") for route in said]
    return Told("; ".join(each), *(clause for one in each for clause in one.clauses))


def _with_first(expert: str, experts: Sequence[ScoredExpert]) -> tuple[ScoredExpert, ...]:
    """The experts with this one in front, whatever its score."""
    known = next((each for each in experts if each.expert == expert), ScoredExpert(expert, 0.0))
    return (known, *(each for each in experts if each.expert != expert))
