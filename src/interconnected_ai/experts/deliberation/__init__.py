"""Experts that share a tokenizer answer together: at every token their distributions of the next one are mixed.

Public names are found on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.experts.deliberation.engine import DeliberationEngine
    from interconnected_ai.experts.deliberation.foretelling import Foretold, foretold
    from interconnected_ai.experts.deliberation.mixture import RunningWeights, mixed

_FILES = {
    "DeliberationEngine": "engine",
    "Foretold": "foretelling",
    "RunningWeights": "mixture",
    "foretold": "foretelling",
    "mixed": "mixture",
}

__all__ = ["DeliberationEngine", "Foretold", "RunningWeights", "foretold", "mixed"]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
