"""What an adapter learns from, one example at a time: documents of a corpus, or conversations of which the answers count.

Nothing here imports torch; which examples share a block is `packing`'s affair.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from interconnected_ai.data import TokenSide


@dataclass(frozen=True)
class Example:
    """Tokens that are read together. ids: (n,) int64; counted: (n,) which of them are to be foretold; the first never is."""

    ids: np.ndarray
    counted: np.ndarray


class Examples(Protocol):
    """A sequence of examples of at most a block's length. num_bytes: of the text that counts, None where that says nothing."""

    @property
    def num_bytes(self) -> int | None:
        """Bytes of text that the counted tokens stand for."""

    @property
    def lengths(self) -> np.ndarray:
        """(num_examples,) tokens of each."""

    def __getitem__(self, number: int) -> Example:
        """One of them."""

    def facts(self) -> dict[str, Any]:
        """What they are known by, ready for JSON."""


class DocumentPieces:
    """The documents of one side of a corpus, each read after an end token; a long one in several pieces.

    Every token of a document counts, and so does the end token after it.
    """

    def __init__(self, side: TokenSide, seq_len: int, *, most_tokens: int | None = None, seed: int = 0) -> None:
        """seq_len: most tokens of a piece but the first of them. most_tokens: of random documents, about so many at most."""
        self.side = side
        self.places = np.array(list(_pieces(side, seq_len)), dtype=np.int64).reshape(-1, 2)
        self._share = 1.0
        if most_tokens is not None and self.lengths.sum() > most_tokens:
            whole = int(self.lengths.sum())
            order = np.random.default_rng(seed).permutation(len(self.places))
            kept = order[: max(1, int(np.searchsorted(np.cumsum(self.lengths[order]), most_tokens, side="right")))]
            self.places = self.places[np.sort(kept)]
            self._share = int(self.lengths.sum()) / whole

    @property
    def num_bytes(self) -> int:
        """Bytes of the documents, in UTF-8; of some of them by their share of the tokens."""
        return max(1, round(self.side.num_bytes * self._share))

    @property
    def lengths(self) -> np.ndarray:
        """(num_examples,) tokens of each."""
        return self.places[:, 1] - self.places[:, 0] + 1

    def __getitem__(self, number: int) -> Example:
        """One piece, after an end token."""
        first, last = self.places[number]
        ids = np.empty(last - first + 1, dtype=np.int64)
        ids[0], ids[1:] = self.side.tokens[0], self.side.tokens[first:last]
        counted = np.ones(len(ids), dtype=bool)
        counted[0] = False
        return Example(ids, counted)

    def facts(self) -> dict[str, Any]:
        """How many tokens, and their hash."""
        digest = hashlib.sha256(np.ascontiguousarray(self.places).tobytes())
        for first, last in self.places:
            digest.update(self.side.tokens[first:last].astype("<i8").tobytes())
        return {"num_tokens": int(self.lengths.sum()), "sha256": digest.hexdigest()}


class Conversations:
    """Conversations as token ids with what counts of each."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    @property
    def num_bytes(self) -> None:
        """Of answers no one asks for it."""
        return None

    @property
    def lengths(self) -> np.ndarray:
        """(num_examples,) tokens of each."""
        return np.array([len(one.ids) for one in self._examples], dtype=np.int64)

    def __getitem__(self, number: int) -> Example:
        """One conversation."""
        return self._examples[number]

    def facts(self) -> dict[str, Any]:
        """How many tokens, and the hash of them and of what counts."""
        digest = hashlib.sha256()
        for one in self._examples:
            digest.update(len(one.ids).to_bytes(8, "little") + one.ids.astype("<i8").tobytes() + one.counted.tobytes())
        return {"num_tokens": int(self.lengths.sum()), "sha256": digest.hexdigest()}


def _pieces(side: TokenSide, seq_len: int) -> Sequence[tuple[int, int]]:
    """(first, last) of every piece: a document and the end token after it, cut where it is longer than `seq_len`."""
    if not side.num_documents:
        return []
    pieces: list[tuple[int, int]] = []
    # an offset is a document's first token: what stands before the next one is its end token, or its last one where it goes on
    for start, stop in pairwise([*side.offsets.tolist(), len(side.tokens)]):
        pieces += [(first, min(first + seq_len, stop)) for first in range(start, stop, seq_len)]
    return pieces
