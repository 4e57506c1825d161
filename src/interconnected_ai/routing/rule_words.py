"""Words and phrases found in a text by stems and dictionary forms, all rules' at once.

A word of a rule is one of a text where their stems are the same, or their dictionary forms: "карты" is "карта", "running" is
"run". Stop words count: "who are you" is three words.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from interconnected_ai.errors import ConfigError
from interconnected_ai.text import lemma, normalize, stem, words

_REMEMBERED_WORDS = 65_536
_CYRILLIC = re.compile(r"[а-я]")
_NO_PART_OF_A_WORD = re.compile(r"[^\w\s'’ʼ`.,;:!?…«»\"()–—-]")

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Phrase:
    """One or more words that follow each other, as a rule writes them. Equal are phrases that are found in the same texts."""

    text: str = field(compare=False)
    keys: tuple[Keys, ...]

    @classmethod
    def of(cls, text: str) -> "Phrase":
        """The phrase; raises `ConfigError` for a text without words, and for signs that no word has (c++)."""
        if found := _NO_PART_OF_A_WORD.search(text):
            raise ConfigError(f"{text!r}: {found[0]!r} is no part of a word; find it with `patterns`")
        said = words(text)
        if not said:
            raise ConfigError(f"{text!r} has no word; give a word or a phrase")
        return cls(text, tuple(keys_of(word) for word in said))

    def __len__(self) -> int:
        return len(self.keys)

    def __str__(self) -> str:
        return self.text

    def contains(self, other: "Phrase") -> bool:
        """Whether every text with this phrase has the other one in it."""
        width = len(other)
        return any(self.keys[start : start + width] == other.keys for start in range(len(self) - width + 1))


class PhraseIndex:
    """Which of many phrases stand in a text, in time that grows with the text and not with the phrases.

    Never changed after it is made: any number of threads may search at once.
    """

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        starting: dict[str, list[Phrase]] = defaultdict(list)
        for phrase in dict.fromkeys(phrases):
            for key in phrase.keys[0]:
                starting[key].append(phrase)
        self._starting: Mapping[str, list[Phrase]] = dict(starting)

    def found_in(self, said: Sequence[str]) -> dict[Phrase, str]:
        """The phrases in the words of a text, each with the text's own words."""
        if not self._starting:
            return {}
        keys = [keys_of(word) for word in said]
        found: dict[Phrase, str] = {}
        for place, phrase in self._beginning(keys):
            if phrase not in found and _matches(phrase.keys, keys[place : place + len(phrase)]):
                found[phrase] = " ".join(said[place : place + len(phrase)])
        return found

    def _beginning(self, keys: Sequence[Keys]) -> Iterator[tuple[int, Phrase]]:
        for place, ones in enumerate(keys):
            for key in ones:
                for phrase in self._starting.get(key, ()):
                    yield place, phrase


@lru_cache(maxsize=_REMEMBERED_WORDS)
def keys_of(word: str) -> Keys:
    """By what a normalised word is found: its stem, and its dictionary form where it is Russian."""
    word = normalize(word)
    if _CYRILLIC.match(word):
        return f"s{stem(word)}", f"l{lemma(word)}"
    return (f"s{stem(word)}",)


def _matches(wanted: Sequence[Keys], said: Sequence[Keys]) -> bool:
    return len(wanted) == len(said) and all(
        not set(ours).isdisjoint(theirs) for ours, theirs in zip(wanted, said, strict=True)
    )
