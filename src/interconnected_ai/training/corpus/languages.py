"""Which language a text is in, as far as a report needs to know: Russian, English, or another."""

import re
from typing import Literal

Language = Literal["Russian", "English", "other", "none"]

_SEEN_CHARACTERS = 2_000  # the beginning of a text says its language
_FEW_WORDS = 8  # a line this short may do without any of the words below

# Letters that other Cyrillic alphabets have and Russian has not (Ukrainian, Belarusian, Serbian, Macedonian, Kazakh, …).
_NOT_RUSSIAN = re.compile(r"[іїєґўђјљњћџѓѕќәғқңөұүһ]")
_RUSSIAN_ALONE = re.compile(r"[ыэё]")  # Bulgarian, Serbian and Ukrainian lack all three
_RUSSIAN_WORDS = frozenset("и в не на что с по как это из у для от так же или только если его но к за то был".split())
_ENGLISH_WORDS = frozenset(
    "the of and to a in is that for it as with on be are this by an or at from not if you can which will has have was i "
    "my your do does what how when all any one no return returns value default".split()
)
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> Language:
    """The language of most letters: "none" for a text of digits and signs alone.

    By script first. Cyrillic is Russian unless it has letters that Russian lacks, or is long without any word or letter
    that only Russian has. Latin is English when a tenth of its words are common English ones, or when it is short and
    plain ASCII. Programs count as English where their words are.
    """
    beginning = text[:_SEEN_CHARACTERS].casefold()
    words = _WORD.findall(beginning)
    letters = sum(map(len, words))
    if not letters:
        return "none"
    if 2 * sum("\u0400" <= letter <= "\u04ff" for letter in beginning) > letters:
        return "Russian" if _is_russian(beginning, words) else "other"
    if 2 * sum(letter.isascii() and letter.isalpha() for letter in beginning) > letters:
        return "English" if _is_english(beginning, words) else "other"
    return "other"


def _is_russian(text: str, words: list[str]) -> bool:
    if len(_NOT_RUSSIAN.findall(text)) > len(words) / 20:
        return False
    return len(words) < _FEW_WORDS or bool(_RUSSIAN_ALONE.search(text)) or "что" in words


def _is_english(text: str, words: list[str]) -> bool:
    common = sum(word in _ENGLISH_WORDS for word in words)
    return common >= len(words) / 10 or (len(words) < _FEW_WORDS and text.isascii())
