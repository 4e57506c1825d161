"""The words of a text as numbers: stems, pairs of stems, and characters within words, each under a hash of its own.

What they weigh is left to those who learn from them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from interconnected_ai.text.prose import normalize, words
from interconnected_ai.text.stems import stem

# Changes whenever the same text would give other terms: weights that were learnt for others mean nothing then.
_VERSION = 1

_CHARACTERS = (2, 5)  # shortest and longest run of characters
_REMEMBERED_WORDS = 65_536
_MOST_TEXTS, _MOST_CHARACTERS = 2_048, 2**20  # counted at once: some 100 MB of numbers
_SPACE = 32
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_CHARACTERS_SIGN = np.uint64(1 << 63)  # seen as signed numbers, characters are below zero and words above


@dataclass(frozen=True, eq=False)
class Ngrams:
    """The terms of some texts, counted.

    terms: (num_distinct,) int64, rising; below zero they are characters, above words. columns: (num_entries,) which of them an
    entry is; frequencies: (num_entries,) float32, 1 + ln of how often it stands in its text. ends: (2 · num_texts + 1,) where
    each text's characters and then its words end among the entries, 0 first.
    """

    terms: np.ndarray
    columns: np.ndarray
    frequencies: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) // 2


def count_ngrams(texts: Sequence[str]) -> Iterator[Ngrams]:
    """Count the terms of texts: stems (Snowball), pairs of neighbours, and 2 to 5 characters of one word with its edges.

    Texts come in their order, a few thousand at a time, so that memory is bounded by what the caller keeps. Any number of
    threads may count at once. Raises `MissingExtraError` without PyStemmer.
    """
    start = 0
    while start < len(texts):
        stop, characters = start, 0
        while stop < len(texts) and stop - start < _MOST_TEXTS and characters < _MOST_CHARACTERS:
            characters += len(texts[stop])
            stop += 1
        yield _count([normalize(text) for text in texts[start:stop]])
        start = stop


def ngrams_signature() -> str:
    """Names the way in which `count_ngrams` tells terms apart, for those who keep what they learnt of them."""
    return f"stems 1-2, characters {_CHARACTERS[0]}-{_CHARACTERS[1]}/{_VERSION}"


def _count(normalized: Sequence[str]) -> Ngrams:
    found = [*_characters(normalized), *_words(normalized)]
    terms, columns = np.unique(np.concatenate([hashes for hashes, _ in found]).view(np.int64), return_inverse=True)
    rows = np.concatenate([rows for _, rows in found])
    # One number for each (row, term), so that one sort brings equal ones together.
    entries, counts = np.unique(rows * max(1, len(terms)) + columns, return_counts=True)
    rows, columns = np.divmod(entries, max(1, len(terms)))
    kinds = 2 * rows + (terms[columns] >= 0)
    ends = np.concatenate([[0], np.cumsum(np.bincount(kinds, minlength=2 * len(normalized)))])
    return Ngrams(terms, columns.astype(np.int32), (1.0 + np.log(counts)).astype(np.float32), ends)


def _characters(normalized: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes and rows of runs of characters that lie within one word, the space before and after it counted in."""
    spaced = [f" {' '.join(text.split())} " for text in normalized]
    codes = np.frombuffer("".join(spaced).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    rows = np.repeat(np.arange(len(spaced)), [len(text) for text in spaced])
    space = codes == _SPACE
    hashes, broken = codes, np.zeros(len(codes), dtype=bool)
    for length in range(2, _CHARACTERS[1] + 1):
        hashes = hashes[:-1] * _MULTIPLIER + codes[length - 1 :]
        broken = broken[:-1]
        if length > 2:
            broken = broken | space[length - 2 : -1]
        if length >= _CHARACTERS[0]:
            kept = np.flatnonzero(~broken & (rows[: len(hashes)] == rows[length - 1 :]))
            yield _mixed(hashes[kept] + np.uint64(length)) | _CHARACTERS_SIGN, rows[kept]


def _words(normalized: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes and rows of stems, and of two stems that follow each other."""
    said = [words(text) for text in normalized]
    hashes = np.array([_stem_hash(word) for text in said for word in text], dtype=np.uint64)
    rows = np.repeat(np.arange(len(said)), [len(text) for text in said])
    yield hashes & ~_CHARACTERS_SIGN, rows
    together = np.flatnonzero(rows[:-1] == rows[1:])
    yield _mixed(hashes[together] * _MULTIPLIER + hashes[together + 1]) & ~_CHARACTERS_SIGN, rows[together]


@lru_cache(maxsize=_REMEMBERED_WORDS)
def _stem_hash(word: str) -> int:
    stemmed = stem(word).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(stemmed, digest_size=8).digest(), "little")


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Every bit of a number spread over all 64 (the end of splitmix64, Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return mixed
