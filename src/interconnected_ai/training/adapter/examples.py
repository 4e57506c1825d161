"""What an adapter learns from, one example at a time: documents of a corpus, or conversations of which the answers count.

Nothing here imports torch; which examples share a block is `packing`'s affair.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np

from interconnected_ai.data import TokenSide


@dataclass(frozen=True)
class Example:
    """Tokens that are read together. ids: (n,) int64; counted: (n,) which of them are to be foretold; the first never is."""

    ids: np.ndarray
    counted: np.ndarray


@runtime_checkable
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
    """The documents of one side of a corpus, each read after a start token; a long one in several pieces.

    Every token of a document counts. ends: and so does the end token after it, which teaches to end but is no text.
    """

    def __init__(
        self,
        side: TokenSide,
        seq_len: int,
        start_id: int,
        *,
        ends: bool,
        most_tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        """seq_len: most tokens of a piece beside the first one. most_tokens: of random pieces, about so many at most."""
        self.side, self.start_id = side, start_id
        self.places = np.array(_pieces(side, seq_len, ends=ends), dtype=np.int64).reshape(-1, 2)
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
        """One piece, after a start token."""
        first, last = self.places[number]
        ids = np.empty(last - first + 1, dtype=np.int64)
        ids[0], ids[1:] = self.start_id, self.side.tokens[first:last]
        counted = np.ones(len(ids), dtype=bool)
        counted[0] = False
        return Example(ids, counted)

    def facts(self) -> dict[str, Any]:
        """How many tokens, and their hash."""
        digest = hashlib.sha256(self.places.astype("<i8").tobytes() + self.start_id.to_bytes(8, "little"))
        for first, last in self.places:
            digest.update(self.side.tokens[first:last].astype("<i8").tobytes())
        return {"num_tokens": int(self.lengths.sum()), "sha256": digest.hexdigest()}


class Conversations:
    """Conversations as token ids with what counts of each. pieces: the bytes of every token, where they are at hand."""

    def __init__(self, examples: Sequence[Example], pieces: Sequence[bytes] | None = None) -> None:
        self._examples, self._pieces = examples, pieces

    @cached_property
    def num_bytes(self) -> int | None:
        """Bytes of the answers, in UTF-8; None without pieces."""
        if self._pieces is None:
            return None
        lengths = np.array([len(piece) for piece in self._pieces], dtype=np.int64)
        return max(1, sum(int(lengths[one.ids[one.counted]].sum()) for one in self._examples))

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


def _pieces(side: TokenSide, seq_len: int, *, ends: bool) -> list[tuple[int, int]]:
    """(first, last) of every piece: a document, perhaps with the end token after it, cut where it is longer than `seq_len`."""
    pieces: list[tuple[int, int]] = []
    for start, stop in pairwise([*side.offsets.tolist(), len(side.tokens)] if side.num_documents else []):
        # an offset is a document's first token: what stands before the next one is an end token, but where it goes on
        last = stop if ends or side.tokens[stop - 1] != side.tokens[0] else stop - 1
        pieces += [(first, min(first + seq_len, last)) for first in range(start, last, seq_len)]
    return pieces
