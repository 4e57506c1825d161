"""One rule of a router: when it holds, and what then happens to the choice of FFN experts."""

from typing import Annotated, Literal

from pydantic import Field

from interconnected_ai.config import Record

_Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]


class Rule(Record):
    """When all the conditions hold for a token, something happens to its choice of FFN experts.

    do: "force" (chosen for certain, as heavy as e¹ times the best rival), "prefer" (`bias` added to their logits), "forbid",
    "only" (the others are forbidden). layers: where; None is everywhere. Conditions: tokens, the token's own id; role, the role
    that holds at the token; prompt and adapter, set for its row by `RowRequest`. Without any, the rule always holds.
    """

    do: Literal["force", "prefer", "forbid", "only"]
    experts: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)]
    bias: float = 2.0
    layers: _Ids | None = None
    tokens: _Ids | None = None
    role: str | None = None
    prompt: str | None = None
    adapter: str | None = None
