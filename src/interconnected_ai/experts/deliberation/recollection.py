"""A memory of texts: where the last tokens stood in them before, and which token followed; a suffix array, no model.

The idea of kNN-LM (Khandelwal et al. 2020) with the text itself in the place of hidden states: likeness is the longest run of
tokens that both have in common (as ∞-gram, Liu et al. 2024), so nothing is computed when texts come in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from interconnected_ai.errors import ConfigError, DataError, IntegrityError
from interconnected_ai.storage import RECOLLECTION, read_folder, read_json, write_folder, write_json

LONGEST = 16  # tokens in common, beyond which nothing is told apart
_MOST_PLACES = 1_024  # of those that are alike are looked at, spread evenly over all
_CONFIG, _TOKENS, _SUFFIXES = "config.json", "tokens.npy", "suffixes.npy"
# What its word counts after 0, 1, 2, … tokens in common: found by expectation maximisation on held-out documentation.
WEIGHTS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.45, 0.75, *(0.8,) * 9)


@dataclass(frozen=True)
class Places:
    """Where a run of tokens stands: suffixes `first` to `last` - 1 of the array, all of which begin with it."""

    num_tokens: int
    first: int
    last: int


class Recollection:
    """Texts as one run of token ids, each ending with `end_id`, and their suffixes in order.

    tokens: (n,) ids below `vocab_size`. suffixes: (n,) the places of the suffixes, ordered by their first `LONGEST` tokens.
    weights: what its word counts, by the number of tokens in common, 0 to `LONGEST`; the rest is the model's. tokenizer_sha256:
    of the tokenizer that the ids are of. Never changed: any number of threads may ask at once.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        suffixes: np.ndarray,
        vocab_size: int,
        *,
        weights: Sequence[float] = WEIGHTS,
        tokenizer_sha256: str | None = None,
    ) -> None:
        if len(weights) != LONGEST + 1 or not all(0.0 <= weight <= 1.0 for weight in weights):
            raise ConfigError(f"weights={tuple(weights)}: needed are {LONGEST + 1} numbers from 0 to 1")
        self.tokens, self.suffixes, self.vocab_size = tokens, suffixes, vocab_size
        self.weights, self.tokenizer_sha256 = tuple(float(weight) for weight in weights), tokenizer_sha256
        self._bits = 16 if vocab_size <= 1 << 16 else 32
        self._keys = [_keys(tokens, suffixes, start, self._bits) for start in range(0, LONGEST, self._per_key)]
        counts = np.bincount(tokens, minlength=vocab_size).astype(np.float64)
        self._single = (counts + 1.0) / (counts.sum() + vocab_size)

    @classmethod
    def of(
        cls,
        documents: Sequence[Sequence[int]],
        *,
        vocab_size: int,
        end_id: int,
        weights: Sequence[float] = WEIGHTS,
        tokenizer_sha256: str | None = None,
    ) -> Self:
        """Of texts as token ids. Raises `DataError` for no text, `ConfigError` for ids outside the vocabulary."""
        runs = [np.asarray([*document, end_id], dtype=np.int64) for document in documents if len(document)]
        if not runs:
            raise DataError("there is no text to remember; give documents with one token at least")
        tokens = np.concatenate(runs)
        if tokens.min() < 0 or tokens.max() >= vocab_size:
            raise ConfigError(f"token id {int(tokens.max())} is outside the vocabulary of {vocab_size}")
        return cls(
            tokens.astype(np.uint32), suffix_array(tokens), vocab_size, weights=weights,
            tokenizer_sha256=tokenizer_sha256,
        )  # fmt: skip

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it; `folder` is replaced whole or not at all."""

        def write(scratch: Path) -> None:
            np.save(scratch / _TOKENS, self.tokens)
            np.save(scratch / _SUFFIXES, self.suffixes)
            settings = {
                "vocab_size": self.vocab_size,
                "weights": list(self.weights),
                "tokenizer": self.tokenizer_sha256,
            }
            write_json(scratch / _CONFIG, settings)

        write_folder(folder, write, kind=RECOLLECTION)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The one in this folder, mapped from its files. Raises `StorageError` for one that is none or damaged."""

        def read(place: Path) -> "Recollection":
            settings = read_json(place / _CONFIG)
            tokens, suffixes = (
                np.load(place / name, mmap_mode="r", allow_pickle=False) for name in (_TOKENS, _SUFFIXES)
            )
            try:
                return cls(
                    tokens, suffixes, int(settings["vocab_size"]), weights=settings["weights"],
                    tokenizer_sha256=settings["tokenizer"],
                )  # fmt: skip
            except (KeyError, TypeError, ValueError) as error:
                raise IntegrityError(f"{folder} is no whole recollection: {error}; make it anew") from error

        found = read_folder(folder, read, kind=RECOLLECTION)
        assert isinstance(found, cls)
        return found

    @property
    def num_bytes(self) -> int:
        """Of tokens, suffixes and what is looked up in."""
        return sum(each.nbytes for each in (self.tokens, self.suffixes, self._single, *self._keys))

    def alike(self, context: Sequence[int]) -> Iterator[Places]:
        """The places of the last 1, 2, 3, … tokens of a context, as long as they stand anywhere."""
        last = np.asarray(list(context)[-LONGEST:], dtype=np.int64)
        for length in range(1, len(last) + 1):
            first, end = self._range(last[len(last) - length :])
            if first >= end:
                return
            yield Places(length, first, end)

    def foretell(self, context: Sequence[int]) -> tuple[np.ndarray, int]:
        """((vocab_size,) what may follow, how many tokens were alike): counts of all lengths, the longer before the shorter.

        pₗ(w) = (count of w after the last l tokens + distinct · pₗ₋₁(w)) / (places + distinct), from single tokens on (PPM with
        escape C, Moffat 1990).
        """
        told, length = self._single.copy(), 0
        for places in self.alike(context):
            following, counts = self._following(places)
            if not len(following):
                break
            distinct, total = float(len(following)), float(counts.sum())
            told *= distinct / (total + distinct)
            told[following] += counts / (total + distinct)
            length = places.num_tokens
        return told, length

    def _following(self, places: Places) -> tuple[np.ndarray, np.ndarray]:
        """Tokens that follow at these places, and how often each does."""
        number = places.last - places.first
        step = -(-number // _MOST_PLACES)
        at = self.suffixes[places.first : places.last : step].astype(np.int64) + places.num_tokens
        at = at[at < len(self.tokens)]
        following, counts = np.unique(self.tokens[at], return_counts=True)
        return following, counts * float(step)

    def _range(self, pattern: np.ndarray) -> tuple[int, int]:
        """(first, last) of the suffixes that begin with the pattern."""
        first, last = 0, len(self.suffixes)
        for number, start in enumerate(range(0, len(pattern), self._per_key)):
            part = pattern[start : start + self._per_key]
            low = 0
            for token in part:
                low = low << self._bits | int(token)
            spare = self._bits * (self._per_key - len(part))
            keys = self._keys[number][first:last]
            lowest, highest = np.uint64(low << spare), np.uint64((low << spare) | ((1 << spare) - 1))
            first, last = (
                first + int(np.searchsorted(keys, lowest, "left")), first + int(np.searchsorted(keys, highest, "right")),
            )  # fmt: skip
            if first >= last:
                break
        return first, last

    @property
    def _per_key(self) -> int:
        return 64 // self._bits


def suffix_array(tokens: np.ndarray) -> np.ndarray:
    """(n,) places of the suffixes ordered by their first `LONGEST` tokens, by doubling (Manber and Myers 1990)."""
    number = len(tokens)
    _, ranks = np.unique(tokens, return_inverse=True)
    ranks = ranks.astype(np.int64) + 1
    length = 1
    order = np.argsort(ranks, kind="stable")
    while length < LONGEST:
        behind = np.zeros(number, dtype=np.int64)
        behind[: max(0, number - length)] = ranks[length:]
        keys = ranks * (number + 1) + behind
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        ranks = np.empty(number, dtype=np.int64)
        ranks[order] = np.concatenate([[1], 1 + np.cumsum(ordered[1:] != ordered[:-1])])
        length *= 2
    return order.astype(np.uint32)


def _keys(tokens: np.ndarray, suffixes: np.ndarray, start: int, bits: int) -> np.ndarray:
    """(n,) uint64: tokens `start`, `start` + 1, … of every suffix, as many as fit, the first in the highest bits."""
    keys = np.zeros(len(suffixes), dtype=np.uint64)
    for place in range(start, start + 64 // bits):
        at = suffixes.astype(np.int64) + place
        inside = at < len(tokens)
        part = np.zeros(len(suffixes), dtype=np.uint64)
        part[inside] = tokens[at[inside]]
        keys = keys << np.uint64(bits) | part
    return keys
