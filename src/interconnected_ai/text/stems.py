"""Stems (Snowball) and dictionary forms (pymorphy3) of Russian and English words, chosen by the word's alphabet."""

from functools import cache, lru_cache
from typing import Any

from interconnected_ai.extras import require
from interconnected_ai.text.lemmas import russian_lemmas

# Zipf's law does the rest: a few thousand words are nearly all of what people say.
_REMEMBERED_WORDS = 8_192


@lru_cache(maxsize=_REMEMBERED_WORDS)
def stem(word: str) -> str:
    """The Snowball stem of a normalised word: Russian for Cyrillic letters, English for the rest."""
    language = "russian" if is_cyrillic(word) else "english"
    stemmed: str = _stemmer(language).stemWord(word)
    return stemmed


@lru_cache(maxsize=_REMEMBERED_WORDS)
def lemma(word: str) -> str:
    """The dictionary form of a normalised Russian word; its stem where the dictionary does not know it.

    pymorphy3 guesses the forms of unknown words, but two forms of one unknown word may get two lemmas; a stem is steadier.
    """
    form = russian_lemmas().lemma(word) if is_cyrillic(word) else None
    return stem(word) if form is None else form.replace("ё", "е")


def is_cyrillic(word: str) -> bool:
    """Whether a normalised word is written in Russian letters, by its first one."""
    return "а" <= word[:1] <= "я"


@cache
def _stemmer(language: str) -> Any:
    stemmer = require("Stemmer", "memory", "stemming").Stemmer(language)
    stemmer.maxCacheSize = 0  # `lru_cache` above remembers already
    return stemmer
