"""Words before any model sees them. Names are found on first use, so that each costs only what it needs itself."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.text.analyzer import Terms, analyzer_signature, terms
    from interconnected_ai.text.prose import estimate_tokens, language_of, normalize, sentences, words
    from interconnected_ai.text.stems import lemma, stem
    from interconnected_ai.text.stopwords import STOP_WORDS

_FILES = {
    "estimate_tokens": "prose",
    "language_of": "prose",
    "normalize": "prose",
    "sentences": "prose",
    "words": "prose",
    "lemma": "stems",
    "stem": "stems",
    "STOP_WORDS": "stopwords",
    "Terms": "analyzer",
    "analyzer_signature": "analyzer",
    "terms": "analyzer",
}

__all__ = [
    "STOP_WORDS",
    "Terms",
    "analyzer_signature",
    "estimate_tokens",
    "language_of",
    "lemma",
    "normalize",
    "sentences",
    "stem",
    "terms",
    "words",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it (PEP 562)."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
