"""Sessions of two turns: something that an expert knows, then something that nobody does, a follow-up, or more of the same."""

from collections.abc import Sequence

import numpy as np

from interconnected_ai.bench.follow_up_requests import CHOOSING, REPORTED, follow_ups
from interconnected_ai.routing import Cascade, Example
from interconnected_ai.types import Request, Router

FALLBACK = "nobody"


def session_figures(
    router: Router, asked: Sequence[Example], language: str, *, chooses: bool = False, seed: int = 0
) -> dict[str, float]:
    """Shares of second turns: outside ones that leave the expert, follow-ups that stay, requests of the same expert that stay.

    asked: rows that the router has not learnt, of which a session's first turn and outside ones are drawn. Only sessions count
    whose first turn its expert took; where there is none, nothing is measured. chooses: with the follow-ups to choose by in
    place of those to report.
    """
    random = np.random.default_rng(seed)
    own = [each for each in asked if each.expert is not None]
    first_route = Cascade([router], FALLBACK).route([Request(each.text) for each in own])
    begun = [each for each, route in zip(own, first_route, strict=True) if route.expert == each.expert]
    outside = [each.text for each in asked if each.expert is None]
    if not begun or not outside:
        return {}
    said = follow_ups(language, CHOOSING if chooses else REPORTED)
    same = [str(random.choice([other.text for other in begun if other.expert == each.expert])) for each in begun[:200]]

    def stays(seconds: Sequence[str]) -> float:
        """Share of these that the first turn's expert answers."""
        starts = [begun[at] for at in random.integers(len(begun), size=len(seconds))]
        return _stays(router, starts, seconds)

    return {
        "session_left_outside": 1.0 - stays(outside),
        "session_stayed_follow_up": stays(said),
        "session_stayed_same": _stays(router, begun[:200], same),
    }


def _stays(router: Router, starts: Sequence[Example], seconds: Sequence[str]) -> float:
    cascade = Cascade([router], FALLBACK)
    cascade.route([Request(each.text, session=str(number)) for number, each in enumerate(starts)])
    routes = cascade.route([Request(text, session=str(number)) for number, text in enumerate(seconds)])
    return float(np.mean([route.expert == each.expert for route, each in zip(routes, starts, strict=True)]))
