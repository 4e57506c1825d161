"""Which language a text is in, as far as this package must know: Russian, English, or another."""

import re
from typing import Literal

Language = Literal["Russian", "English", "other", "none"]

_SEEN_CHARACTERS = 2_000  # the beginning of a text says its language
_MOST_FOREIGN = 1 / 20  # words of names and quotations that a text may hold and still be in its language

# Letters that other Cyrillic alphabets have and Russian has not (Ukrainian, Belarusian, Serbian, Macedonian, Kazakh, …),
# and ъ where only Bulgarian has it.
_NOT_RUSSIAN = re.compile(r"[іїєґўђјљњћџѓѕќәғқңөұүһ]|ъ(?![еёюя])")
_ENGLISH_WORDS = frozenset(
    "the of and to a in is that for it as with on be are this by an or at from not if you can which will has have was i "
    "my your me do does what how where who when why all any one no return returns value default".split()
)
# The commonest words of German, French, Spanish, Italian, Portuguese, Dutch, Polish and Czech that are no English ones.
_FOREIGN_WORDS = frozenset(
    "der das und ist nicht ein eine den dem mit von zu auf sich für le les des et est une du dans pour que qui pas il "
    "el los las del y por con una es il di che non per della um uma os em não é het een van niet dat op te w z na jest "
    "się je že".split()
)
_CYRILLIC, _LATIN = re.compile(r"[\u0400-\u04ff]"), re.compile(r"[a-z]")
_ACCENTED = re.compile(r"[\u00df-\u024f]")
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> Language:
    """The language of a text, by its first 2,000 characters; "none" where they hold no letters.

    By script first. Where a third of the Cyrillic and Latin letters are Cyrillic it is Russian (Russian is full of Latin
    names and code, English has hardly a Cyrillic letter), unless letters that Russian lacks stand for more than a twentieth
    of the words. Else it is English, unless the common English words are outnumbered: by accented ones that are more than a
    twentieth of all, or by the common words of eight other languages.
    Its limits: a sentence of another language in Latin letters passes for English when it has neither, as does a program;
    one in Cyrillic that could be spelt so in Russian passes for Russian; of a text in several languages one is named.
    """
    beginning = text[:_SEEN_CHARACTERS].casefold()
    words = _WORD.findall(beginning)
    letters = sum(map(len, words))
    if not letters:
        return "none"
    cyrillic, latin = len(_CYRILLIC.findall(beginning)), len(_LATIN.findall(beginning))
    if 2 * (cyrillic + latin) <= letters:
        return "other"
    if cyrillic and 2 * cyrillic >= latin:
        return "Russian" if len(_NOT_RUSSIAN.findall(beginning)) <= _MOST_FOREIGN * len(words) else "other"
    return "English" if _is_english(words) else "other"


def _is_english(words: list[str]) -> bool:
    accented = sum(_ACCENTED.search(word) is not None for word in words)
    english, foreign = (sum(word in common for word in words) for common in (_ENGLISH_WORDS, _FOREIGN_WORDS))
    few = max(1, _MOST_FOREIGN * len(words), english)  # "the districts in Kraków"
    return accented <= few and foreign <= english + len(words) / 10  # "Los Angeles"
