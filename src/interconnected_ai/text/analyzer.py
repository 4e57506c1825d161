"""What of a text goes into a search index: stems, Russian dictionary forms, names and codes as they stand."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from interconnected_ai.text.prose import normalize
from interconnected_ai.text.stems import is_cyrillic, lemma, stem
from interconnected_ai.text.stopwords import STOP_WORDS

# Changes whenever the same text would give other terms.
_NAME, _VERSION = "snowball+pymorphy3", 2
# Of these versions' indexes everything can be found that they tell apart themselves.
_READABLE = frozenset(f"{_NAME}/{version}" for version in (1, _VERSION))
_LONGEST = 48  # characters of a term; longer ones are base64 and the like

# Vowels and tones that Python does not count among a word's characters, of scripts that write them behind a letter.
_VOWELS = "\u0900-\u0963\u0966-\u0dff\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0ecf\u0f00-\u0fbc\u1000-\u1049\u1780-\u17d3"
_LETTER = r"[^\W_]"
_TOKEN_OF = r"{0}+(?:[-._@/:+#']{0}+)*|[☀-➿\U0001f300-\U0001faff]"
# Words; codes such as v2.13.0, C-3PO, a@b.org and order numbers; emoji.
_TOKEN = re.compile(_TOKEN_OF.format(_LETTER))
_VOWELLED_TOKEN = re.compile(_TOKEN_OF.format(rf"(?:{_LETTER}|[{_VOWELS}])"))
_HAS_VOWELS = re.compile(f"[{_VOWELS}]")
_PART = re.compile(rf"(?:{_LETTER}|[{_VOWELS}])+")

# Characters that only look different: ligatures, full and half width, mathematical alphabets, ㎏, Ⅳ, ². Not № and ™, which
# would become words.
_VARIANTS = re.compile(
    "[\u00aa\u00b2\u00b3\u00b9\u00ba\u2070-\u209c\u2100-\u2115\u2117-\u211f\u2124-\u218b\u2460-\u24ff\u3200-\u33ff"
    "\uf900-\ufdff\ufe70-\ufefc\uff01-\uffee\U0001d400-\U0001d7ff\U0002f800-\U0002fa1f]+"
)
# Marks within words that people leave out: stress and other accents, Hebrew and Arabic vowels, soft hyphens, joiners.
_UNSAID = re.compile(
    "[\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u200c-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_PLAIN_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})

# Scripts without spaces between words, or (Korean) with endings that cling to them: pairs of characters stand in for words.
_SYLLABLES = "\u3005-\u3007\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = f"\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff{_SYLLABLES}"
_RUN = re.compile(f"[{_UNSPACED}]")
_SYLLABLE = re.compile(f"[{_SYLLABLES}]")
# Stretches of one kind of script: iPhone坏了, USBшный. Digits go with what they stand beside.
_SCRIPTS = re.compile(rf"[{_UNSPACED}]+|[а-яё\d]*[а-яё][а-яё\d]*|[^а-яё{_UNSPACED}]+")

# Stop words that are names where they begin with a capital letter, and those that are where all of it is in capitals.
_NAMES = frozenset({"will", "may", "don", "том", "ли"})
_LIKE_NAME = re.compile(
    r"(?<![\w'’])(Will|May|Don|Том|Ли|IT|US|WHO|AM|OR)(?!\w|['’](?!s\b))(?=(?:['’]s\b)?\s+([^\W\d_]+)|)"
)
# Before these the first two are verbs where they begin a sentence: Will you …, May I …, Will do.
_AFTER_VERBS = frozenset(
    "i we you he she it they this that these those there the a an my your his her our their be do not have try get go take "
    "need see make call let send check come ask".split()
)
_BEGINNING = re.compile(r"(?:^|[.!?…:\n\"'«“(>-])\s*$")
_AROUND = 40  # characters in which small letters show that a word is in capitals for a reason
_REMEMBERED_TOKENS = 8_192


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a text with repetitions, and its length in words (stop words not counted).

    A term's first letter says what it is: `s` a stem, `l` a Russian dictionary form, `r` a name or code as it stands, or a
    piece of a script without spaces.
    """

    terms: tuple[str, ...]
    num_words: int


def terms(text: str) -> Terms:
    """The terms of a text. The same for a message that is stored and a question that is asked.

    May be called from any number of threads at once. Raises `MissingExtraError` without PyStemmer.
    """
    found: list[str] = []
    num_words = 0
    if not text.isascii():
        text = _VARIANTS.sub(_composed, text)
    for token in _tokens(text):
        ones, number = _remembered_terms(token) if len(token) <= _LONGEST else _token_terms(token)
        found += ones
        num_words += number
    for name in _names_in(text):
        found += _word_terms(name)[0]
        num_words += 1
    return Terms(tuple(found), num_words)


def analyzer_signature() -> str:
    """Names the analyser that `terms` is, for an index to remember."""
    return f"{_NAME}/{_VERSION}"


def can_search(signature: str) -> bool:
    """Whether the terms of a question are found in an index by the analyser of this name: this one, or an earlier version."""
    return signature in _READABLE


def _composed(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found[0])


def _tokens(text: str) -> list[str]:
    text = normalize(text)
    if text.isascii():
        return _TOKEN.findall(text)
    text = _UNSAID.sub("", text)
    pattern = _VOWELLED_TOKEN if _HAS_VOWELS.search(text) else _TOKEN
    return pattern.findall(text)


def _names_in(text: str) -> list[str]:
    """Stop words that are names here: Will, May, Том with a capital letter, IT and US in capitals among small letters."""
    found = []
    for hit in _LIKE_NAME.finditer(text):
        name, follower = normalize(hit[1]), (hit[2] or "").lower()
        if name in _NAMES:
            is_name = follower not in _AFTER_VERBS or not _BEGINNING.search(text[max(0, hit.start() - 3) : hit.start()])
        else:
            begin, end = hit.span(1)
            is_name = not (text[max(0, begin - _AROUND) : begin] + text[end : end + _AROUND]).isupper()
        if is_name:
            found.append(name)
    return found


@lru_cache(maxsize=_REMEMBERED_TOKENS)
def _remembered_terms(token: str) -> tuple[tuple[str, ...], int]:
    """The same for a token of a word's length: there are few of them, and they come again."""
    return _token_terms(token)


def _token_terms(token: str) -> tuple[tuple[str, ...], int]:
    """(terms, number of words) of a token."""
    if token in STOP_WORDS:
        return (), 0
    if token.isalpha():
        ones, number = _word_terms(token)
        return tuple(ones), number
    if len(token) == 1 and not token.isalnum():
        return (f"r{token}",), 1
    found: list[str] = []
    parts = _PART.findall(token)
    if len(parts) > 1 and (any(letter.isdigit() for letter in token) or "@" in token):
        found.append("r" + "_".join(parts)[:_LONGEST])
    if len(parts) == 2 and token[len(parts[0])] == "'":  # don't, caroline's
        parts = [parts[0]] if parts[1] in ("s", "t", "re", "ve", "ll", "d", "m") else ["".join(parts)]
    num_words = 0
    for part in parts:
        if part not in STOP_WORDS:
            ones, number = _word_terms(part)
            found += ones
            num_words += number
    return tuple(found), num_words


def _word_terms(word: str) -> tuple[list[str], int]:
    """(terms, number of words) of what stands without a space; of scripts that are glued together, of each and of the whole."""
    if word.isascii():
        return [f"s{stem(word[:_LONGEST])}"], 1
    scripts = _SCRIPTS.findall(word)
    if len(scripts) == 1:
        return _script_terms(word)
    # the whole as well: letters of two scripts that look alike make a word of their own
    found, num_words = [f"s{stem(word[:_LONGEST])}"], 0
    for script in scripts:
        if script not in STOP_WORDS:
            ones, number = _script_terms(script)
            found += ones
            num_words += number
    return found, max(1, num_words)


def _script_terms(word: str) -> tuple[list[str], int]:
    if _RUN.match(word):
        # pairs, and single characters where a word may be one: 猫, 집
        pairs = [f"r{word[i : i + 2]}" for i in range(max(1, len(word) - 1))]
        singles = [f"r{one}" for one in _SYLLABLE.findall(word)] if len(word) > 1 else []
        return pairs + singles, (len(word) + 1) // 2
    word = word[:_LONGEST]
    if is_cyrillic(word):
        return [f"s{stem(word)}", f"l{lemma(word)}"], 1
    plain = _without_accents(word)
    return [f"s{stem(word)}", *([f"s{stem(plain)}"] if plain != word else [])], 1


def _without_accents(word: str) -> str:
    """How a word is typed where a keyboard lacks its letters: cafe for café, strasse for straße."""
    if word.isascii():
        return word
    return _UNSAID.sub("", unicodedata.normalize("NFD", word)).translate(_PLAIN_LETTERS)
