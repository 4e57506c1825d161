"""Experts that share a tokenizer answer together: at every token their distributions of the next one are mixed.

Public names are found on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.experts.deliberation.engine import DeliberationEngine
    from interconnected_ai.experts.deliberation.foretelling import Foretold, foretold
    from interconnected_ai.experts.deliberation.likelihood import log_likelihoods
    from interconnected_ai.experts.deliberation.mixture import FORGETTING, LEAST_PRIOR, RunningWeights, mixed
    from interconnected_ai.experts.deliberation.recalling import RecallingEngine
    from interconnected_ai.experts.deliberation.recollection import Recollection

_FILES = {
    "DeliberationEngine": "engine",
    "FORGETTING": "mixture",
    "Foretold": "foretelling",
    "LEAST_PRIOR": "mixture",
    "RecallingEngine": "recalling",
    "Recollection": "recollection",
    "RunningWeights": "mixture",
    "foretold": "foretelling",
    "log_likelihoods": "likelihood",
    "mixed": "mixture",
}

__all__ = [
    "FORGETTING",
    "LEAST_PRIOR",
    "DeliberationEngine",
    "Foretold",
    "RecallingEngine",
    "Recollection",
    "RunningWeights",
    "foretold",
    "log_likelihoods",
    "mixed",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
