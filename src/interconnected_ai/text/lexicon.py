"""`Lexicon`: the terms of many vocabularies under common numbers, so that counted texts are looked up once for all of them."""

from collections.abc import Iterable

import numpy as np

from interconnected_ai.text.vocabulary import Vocabulary

_DEARER = 8  # how much longer looking up a term takes than looking at one of the vocabulary's


class Lexicon:
    """Terms of some vocabularies, each under one number. Takes 4 bytes a term of each vocabulary, 8 a term of all.

    Looking up terms in a vocabulary is a search for each of them; here that is done once, and each vocabulary's own terms are
    read from a table by their numbers. Never changed: any number of threads may look up at once.
    """

    def __init__(self, vocabularies: Iterable[Vocabulary]) -> None:
        self._vocabularies = {id(each): each for each in vocabularies}  # kept, so that no other gets their ids
        parts = [each.terms for each in self._vocabularies.values()]
        terms, numbers = np.unique(np.concatenate([np.zeros(0, np.int64), *parts]), return_inverse=True)
        self._terms, numbers = terms, numbers.astype(np.int32)
        ends = np.cumsum([len(part) for part in parts])
        self._numbers = {
            key: numbers[end - len(part) : end] for key, part, end in zip(self._vocabularies, parts, ends, strict=True)
        }

    def knows(self, vocabulary: Vocabulary) -> bool:
        """Whether it is one of them."""
        return id(vocabulary) in self._vocabularies

    def look_up(self, terms: np.ndarray) -> "LookedUp":
        """terms: rising, of counted texts."""
        return LookedUp(terms, self._terms, self._numbers)


class LookedUp:
    """Where terms stand in vocabularies of a lexicon. Any number of threads may ask at once."""

    def __init__(self, terms: np.ndarray, known: np.ndarray, numbers: dict[int, np.ndarray]) -> None:
        self._terms, self._numbers = terms, numbers
        self._asked = np.full(len(known), -1, dtype=np.int32)  # by number: which of the terms it is
        if len(known):
            places = np.minimum(np.searchsorted(known, terms), len(known) - 1)
            found = np.flatnonzero(known.take(places) == terms)
            self._asked[places.take(found)] = found

    def places_in(self, vocabulary: Vocabulary) -> np.ndarray:
        """What `vocabulary.places_of(terms)` gives, of any vocabulary."""
        numbers = self._numbers.get(id(vocabulary))
        if numbers is None or len(numbers) > _DEARER * len(self._terms):
            return vocabulary.places_of(self._terms)
        asked = self._asked.take(numbers)
        own = np.flatnonzero(asked >= 0)
        places = np.full(len(self._terms), -1, dtype=np.int32)
        places[asked.take(own)] = own
        return places
