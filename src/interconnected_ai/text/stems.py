"""Stems (Snowball) and dictionary forms (pymorphy3) of Russian and English words, chosen by the word's alphabet."""

from functools import cache, lru_cache
from typing import Any

from interconnected_ai.extras import require
from interconnected_ai.text.lemmas import russian_lemmas
from interconnected_ai.text.prose import normalize

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


def is_place_name(word: str) -> bool:
    """Whether the Russian dictionary knows a word, in any case and form, as a place: a town, a river, a country."""
    return russian_lemmas().is_place(normalize(word))


def is_given_name(word: str) -> bool:
    """Whether the Russian dictionary knows a word as somebody's first name, in the nominative."""
    return russian_lemmas().is_given_name(normalize(word))


def is_cyrillic(word: str) -> bool:
    """Whether a normalised word is written in Russian letters, by its first one."""
    return "а" <= word[:1] <= "я"


@cache
def _stemmer(language: str) -> Any:
    stemmer = require("Stemmer", "memory", "stemming").Stemmer(language)
    stemmer.maxCacheSize = 0  # `lru_cache` above remembers already
    return stemmer
