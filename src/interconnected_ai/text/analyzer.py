"""What of a text goes into a search index: stems, Russian dictionary forms, names and codes as they stand."""

import re
from dataclasses import dataclass

from interconnected_ai.text.prose import normalize
from interconnected_ai.text.stems import is_cyrillic, lemma, stem
from interconnected_ai.text.stopwords import STOP_WORDS

# Changes whenever the same text would give other terms: an index made by another analyser must be rebuilt.
_VERSION = 1
_LONGEST = 48  # characters of a term; longer ones are base64 and the like

# Words; codes such as v2.13.0, C-3PO, a@b.org and order numbers; runs of characters of scripts without spaces; emoji.
_TOKEN = re.compile(
    r"(?P<code>[^\W_]+(?:[-._@/:+#][^\W_]+)+)|(?P<word>[^\W_]+(?:'[^\W_]+)*)|(?P<sign>[☀-➿\U0001f300-\U0001faff])"
)
_PART = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


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
    for match in _TOKEN.finditer(normalize(text)):
        if match.lastgroup == "sign":
            found.append(f"r{match.group()}")
            num_words += 1
            continue
        token = match.group()
        if match.lastgroup == "code":
            if any(letter.isdigit() for letter in token) or "@" in token:
                found.append("r" + "_".join(_PART.findall(token))[:_LONGEST])
            parts = _PART.findall(token)
        else:
            parts = [token]
        for word in parts:
            if word not in STOP_WORDS:
                found += _word_terms(word[:_LONGEST])
                num_words += 1
    return Terms(tuple(found), num_words)


def analyzer_signature() -> str:
    """Names the analyser that `terms` is, for an index to remember."""
    return f"snowball+pymorphy3/{_VERSION}"


def _word_terms(word: str) -> list[str]:
    if is_cyrillic(word):
        return [f"s{stem(word)}", f"l{lemma(word)}"]
    if _UNSPACED.match(word):  # no spaces between words: pairs of characters stand in for them
        return [f"r{word[i : i + 2]}" for i in range(max(1, len(word) - 1))]
    return [f"s{stem(word.replace(chr(39), ''))}"]
