"""What of a text goes into a search index: stems, Russian dictionary forms, names and codes as they stand."""

import re
from dataclasses import dataclass
from functools import lru_cache

from interconnected_ai.text.prose import normalize
from interconnected_ai.text.stems import is_cyrillic, lemma, stem
from interconnected_ai.text.stopwords import STOP_WORDS

# Changes whenever the same text would give other terms: an index made by another analyser must be rebuilt.
_VERSION = 1
_LONGEST = 48  # characters of a term; longer ones are base64 and the like

# Words; codes such as v2.13.0, C-3PO, a@b.org and order numbers; emoji.
_TOKEN = re.compile(r"[^\W_]+(?:[-._@/:+#'][^\W_]+)*|[☀-➿\U0001f300-\U0001faff]")
_PART = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_REMEMBERED_TOKENS = 8_192


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a text with repetitions, and its length in words (stop words not counted).

    A term's first letter says what it is: `s` a stem, `l` a Russian dictionary form, `r` a name or code as it stands.
    """

    terms: tuple[str, ...]
    num_words: int


def terms(text: str) -> Terms:
    """The terms of a text. The same for a message that is stored and a question that is asked."""
    found: list[str] = []
    num_words = 0
    for token in _TOKEN.findall(normalize(text)):
        ones, number = _remembered_terms(token) if len(token) <= _LONGEST else _token_terms(token)
        found += ones
        num_words += number
    return Terms(tuple(found), num_words)


def analyzer_signature() -> str:
    """Names the analyser that `terms` is, for an index to remember."""
    return f"snowball+pymorphy3/{_VERSION}"


@lru_cache(maxsize=_REMEMBERED_TOKENS)
def _remembered_terms(token: str) -> tuple[tuple[str, ...], int]:
    """The same for a token of a word's length: there are few of them, and they come again."""
    return _token_terms(token)


def _token_terms(token: str) -> tuple[tuple[str, ...], int]:
    """(terms, number of words) of a token."""
    if token in STOP_WORDS:
        return (), 0
    if token.isalpha():
        return tuple(_word_terms(token[:_LONGEST])), 1
    if len(token) == 1 and not token.isalnum():
        return (f"r{token}",), 1
    found: list[str] = []
    parts = _PART.findall(token)
    if len(parts) > 1 and (any(letter.isdigit() for letter in token) or "@" in token):
        found.append("r" + "_".join(parts)[:_LONGEST])
    if len(parts) == 2 and token[len(parts[0])] == "'":  # don't, caroline's
        parts = [parts[0]] if parts[1] in ("s", "t", "re", "ve", "ll", "d", "m") else ["".join(parts)]
    said = [part for part in parts if part not in STOP_WORDS]
    for part in said:
        found += _word_terms(part[:_LONGEST])
    return tuple(found), len(said)


def _word_terms(word: str) -> list[str]:
    if is_cyrillic(word):
        return [f"s{stem(word)}", f"l{lemma(word)}"]
    if _UNSPACED.match(word):  # no spaces between words: pairs of characters stand in for them
        return [f"r{word[i : i + 2]}" for i in range(max(1, len(word) - 1))]
    return [f"s{stem(word)}"]
