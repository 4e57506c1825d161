"""The families of pretrained MoE models that can be operated on: the rows of `mixtures`, each with its rule of routing.

Where blocks, experts and routers stand in a model is found by structure (`places`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interconnected_ai.mixtures import MIXTURES, Mixture, mixture_of
from interconnected_ai.surgery.routing.token_routing import TokenRouting, routing_of


@dataclass(frozen=True)
class Family:
    """What is known of a family beyond the structure of its modules. row: its facts; routing: how its routers choose."""

    row: Mixture
    routing: TokenRouting

    @property
    def name(self) -> str:
        """What people call it."""
        return self.row.name

    @property
    def model_types(self) -> tuple[str, ...]:
        """What config.json calls it, transformers' causal LM first."""
        return self.row.model_types

    @property
    def count_keys(self) -> tuple[str, ...]:
        """What config.json calls the number of routed FFN experts, transformers' present name first."""
        return self.row.count_keys

    @property
    def top_k_keys(self) -> tuple[str, ...]:
        """What config.json calls the number of them that a token takes, transformers' present name first."""
        return self.row.top_k_keys

    @property
    def transposed(self) -> bool:
        """Whether the stacked matrices are (experts, in, out)."""
        return self.row.transposed

    @property
    def dense(self) -> tuple[str, ...]:
        """Model types of dense models whose layers fit (`upcycle`)."""
        return self.row.dense


FAMILIES = tuple(Family(row, routing_of(row)) for row in MIXTURES)


def family_of(config: Mapping[str, Any], source: str = "the model") -> Family:
    """The row for a config's `model_type`; raises as `mixture_of` does."""
    row = mixture_of(config, source)
    return next(family for family in FAMILIES if family.row is row)
