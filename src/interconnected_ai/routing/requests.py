"""A request as routers read it: a role token at the beginning of its text is its role, and no part of its text."""

import re
from dataclasses import replace

from interconnected_ai.types import Request, Told

EMPTY = Told.of("empty", "the request is empty")  # why nobody is chosen for one that `is_empty`
# As `text.role_token` writes it.
_ROLE = re.compile(r"\s*<\|role=(\w[\w.-]{0,62})\|>\s*")


def understood(request: Request) -> Request:
    """The request with the role that its text begins with, which then is left out of the text; a role that was given wins.

    Asked again it changes nothing. Any number of threads may ask.
    """
    found = _ROLE.match(request.text)
    if found is None:
        return request
    return replace(request, text=request.text[found.end() :], role=request.role or found[1])


def is_empty(request: Request) -> bool:
    """Whether the request asks nothing: no letter, digit or sign."""
    return not request.text.strip()
