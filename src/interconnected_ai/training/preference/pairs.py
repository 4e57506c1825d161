"""Which pairs make up which batch, and a batch as arrays; computed from the seed alone, so that a resumed run has the same."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interconnected_ai.errors import DataError
from interconnected_ai.training.chats import TokenizedChat, TokenizedPair

CHOSEN, REJECTED, FILLING = range(3)  # documents of a row


@dataclass(frozen=True, eq=False)
class PairBatch:
    """A pair a row, its better conversation, then its worse one. All of (pairs, seq).

    inputs: token ids; targets: the ones to foretell, −1 where none counts; documents: `CHOSEN`, `REJECTED`, and `FILLING`
    behind them. A conversation of n tokens takes n − 1 places: its last one is a target only.
    """

    inputs: np.ndarray
    targets: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[TokenizedPair]) -> "PairBatch":
        """These pairs, as wide as the longest."""
        width = max(places_of(pair) for pair in pairs)
        shape = (len(pairs), width)
        batch = cls(np.zeros(shape, np.int64), np.full(shape, -1, np.int64), np.full(shape, FILLING, np.int64))
        for row, pair in enumerate(pairs):
            place = 0
            for document, chat in ((CHOSEN, pair.chosen), (REJECTED, pair.rejected)):
                part = slice(place, place + len(chat) - 1)
                batch.inputs[row, part] = chat.ids[:-1]
                batch.targets[row, part] = np.where(chat.counted[1:], chat.ids[1:], -1)
                batch.documents[row, part] = document
                place = part.stop
        return batch


@dataclass(frozen=True)
class PairPlan:
    """The batches of any epoch: pairs drawn without repetition; the last batch is filled up with pairs of the beginning."""

    num_pairs: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_pairs < 1:
            raise DataError("there is no pair to learn from; give some")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-self.num_pairs // self.batch_size)

    def filled(self, pairs: Sequence[TokenizedPair]) -> float:
        """Share of the places in the first epoch's batches that hold a token."""
        batches = [[places_of(pairs[number]) for number in batch] for batch in self.epoch(0)]
        return sum(map(sum, batches)) / sum(len(places) * max(places) for places in batches)

    def epoch(self, number: int, start: int = 0) -> Iterator[np.ndarray]:
        """For each batch of an epoch, from the `start`-th on: (batch,) numbers of its pairs."""
        order = np.random.default_rng((self.seed, number)).permutation(self.num_pairs)
        order = np.resize(order, self.steps_per_epoch * self.batch_size)
        for step in range(start, self.steps_per_epoch):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]


def places_of(pair: TokenizedPair) -> int:
    """Places that both conversations of a pair take in a row."""
    return len(pair.chosen) + len(pair.rejected) - 2


def in_order(pairs: Sequence[TokenizedPair], most_places: int) -> Iterator[Sequence[TokenizedPair]]:
    """All pairs once, in batches of about `most_places` tokens at most, filling included."""
    waiting: list[TokenizedPair] = []
    for pair in pairs:
        width = max(map(places_of, [*waiting, pair]))
        if waiting and width * (len(waiting) + 1) > most_places:
            yield waiting
            waiting = []
        waiting = [*waiting, pair]
    if waiting:
        yield waiting


def facts_of(pairs: Sequence[TokenizedPair]) -> dict[str, Any]:
    """What pairs are known by, ready for JSON: how many tokens, and the hash of them and of what counts."""
    digest, num_tokens = hashlib.sha256(), 0
    for pair in pairs:
        for chat in (pair.chosen, pair.rejected):
            digest.update(_bytes_of(chat))
            num_tokens += len(chat)
    return {"num_examples": len(pairs), "num_tokens": num_tokens, "sha256": digest.hexdigest()}


def _bytes_of(chat: TokenizedChat) -> bytes:
    return len(chat).to_bytes(8, "little") + chat.ids.astype("<i8").tobytes() + chat.counted.tobytes()
