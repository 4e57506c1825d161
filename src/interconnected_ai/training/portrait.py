"""What a card shows of what was learnt: a few short prompts and the languages. Bounded, however much there is to learn from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from interconnected_ai.text import language_of, sentences

_MOST_ROWS = 200  # looked at
_MOST_EXAMPLES = 5
_SHORTEST, _LONGEST = 8, 120  # characters of an example
_SHARE = 0.1  # of the rows whose language is known, to be named
_CODES = {"Russian": "ru", "English": "en"}  # ISO 639-1

Row = TypeVar("Row")


@dataclass(frozen=True)
class Portrait:
    """examples: prompts to try an expert with. languages: as ISO 639 says them, the commonest first; empty where none is
    known.
    """

    examples: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> Self:
        """Of rows as (a prompt, all of its text); `spread` takes them out of many."""
        listed = list(rows)
        return cls(_examples([prompt for prompt, _ in listed]), _languages([text for _, text in listed]))

    @classmethod
    def of_documents(cls, texts: Iterable[str]) -> Self:
        """Of documents: each begins with what it may be asked to go on with."""
        return cls.of((next(iter(sentences(text)), ""), text) for text in texts)

    @classmethod
    def from_mapping(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        return cls(tuple(map(str, kept.get("examples") or ())), tuple(map(str, kept.get("languages") or ())))

    def to_dict(self) -> dict[str, list[str]]:
        """Plain values, ready for JSON."""
        return {"examples": list(self.examples), "languages": list(self.languages)}


def spread(rows: Sequence[Row], most: int = _MOST_ROWS) -> list[Row]:
    """At most so many of the rows, evenly over all of them."""
    number = min(len(rows), most)
    return [rows[place * len(rows) // number] for place in range(number)]


def _examples(prompts: Sequence[str]) -> tuple[str, ...]:
    """Short ones first of all; where there are too few, the beginnings of longer ones."""
    shown = [" ".join(prompt.split()) for prompt in prompts]
    short = [prompt for prompt in shown if _SHORTEST <= len(prompt) <= _LONGEST]
    long = [prompt[:_LONGEST].rsplit(" ", 1)[0] for prompt in shown if len(prompt) > _LONGEST]
    return tuple([*spread(_distinct(short), _MOST_EXAMPLES), *_distinct(long)][:_MOST_EXAMPLES])


def _distinct(prompts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(prompts))


def _languages(texts: Sequence[str]) -> tuple[str, ...]:
    found = Counter(language_of(text) for text in texts)
    known = sum(number for language, number in found.items() if language != "none")
    common = [language for language, number in found.most_common() if number >= _SHARE * known]
    return tuple(_CODES[language] for language in common if language in _CODES)
