"""Words before any model sees them: stems, lemmas and sentences of Russian and English, and tokenizers.

Public names are found on first use (PEP 562): a room that needs one of them does not load what the others need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.text.analyzer import Terms, analyzer_signature, can_search, terms
    from interconnected_ai.text.encoding import model_id_of, unit_rows
    from interconnected_ai.text.gguf import GgufVocabulary
    from interconnected_ai.text.gguf_writing import gguf_entries
    from interconnected_ai.text.identity import KnownTexts, digest_of, digests_of, exact_digest_of, folded
    from interconnected_ai.text.languages import Language, language_of
    from interconnected_ai.text.lexicon import Lexicon, LookedUp
    from interconnected_ai.text.ngrams import Ngrams, count_ngrams, ngrams_signature
    from interconnected_ai.text.pretrained import PretrainedTokenizer
    from interconnected_ai.text.prose import is_blank, normalize, sentences, words
    from interconnected_ai.text.stems import is_given_name, is_place_name, lemma, stem
    from interconnected_ai.text.stopwords import STOP_WORDS
    from interconnected_ai.text.text_tokenizer import TextTokenizer, token_bytes
    from interconnected_ai.text.token_estimate import estimate_tokens, rounded_thousandths, token_thousandths
    from interconnected_ai.text.tokenizer import END, Tokenizer, role_token
    from interconnected_ai.text.vocabulary import Vocabulary, WeightedTerms

_FILES = {
    "Terms": "analyzer",
    "analyzer_signature": "analyzer",
    "can_search": "analyzer",
    "terms": "analyzer",
    "model_id_of": "encoding",
    "unit_rows": "encoding",
    "GgufVocabulary": "gguf",
    "gguf_entries": "gguf_writing",
    "KnownTexts": "identity",
    "digest_of": "identity",
    "digests_of": "identity",
    "exact_digest_of": "identity",
    "folded": "identity",
    "Language": "languages",
    "language_of": "languages",
    "Lexicon": "lexicon",
    "LookedUp": "lexicon",
    "Ngrams": "ngrams",
    "count_ngrams": "ngrams",
    "ngrams_signature": "ngrams",
    "PretrainedTokenizer": "pretrained",
    "estimate_tokens": "token_estimate",
    "rounded_thousandths": "token_estimate",
    "token_thousandths": "token_estimate",
    "is_blank": "prose",
    "normalize": "prose",
    "sentences": "prose",
    "words": "prose",
    "is_given_name": "stems",
    "is_place_name": "stems",
    "lemma": "stems",
    "stem": "stems",
    "STOP_WORDS": "stopwords",
    "TextTokenizer": "text_tokenizer",
    "token_bytes": "text_tokenizer",
    "END": "tokenizer",
    "Tokenizer": "tokenizer",
    "role_token": "tokenizer",
    "Vocabulary": "vocabulary",
    "WeightedTerms": "vocabulary",
}

__all__ = [
    "END",
    "STOP_WORDS",
    "GgufVocabulary",
    "KnownTexts",
    "Language",
    "Lexicon",
    "LookedUp",
    "Ngrams",
    "PretrainedTokenizer",
    "Terms",
    "TextTokenizer",
    "Tokenizer",
    "Vocabulary",
    "WeightedTerms",
    "analyzer_signature",
    "can_search",
    "count_ngrams",
    "digest_of",
    "digests_of",
    "estimate_tokens",
    "exact_digest_of",
    "folded",
    "gguf_entries",
    "is_blank",
    "is_given_name",
    "is_place_name",
    "language_of",
    "lemma",
    "model_id_of",
    "ngrams_signature",
    "normalize",
    "role_token",
    "rounded_thousandths",
    "sentences",
    "stem",
    "terms",
    "token_bytes",
    "token_thousandths",
    "unit_rows",
    "words",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
