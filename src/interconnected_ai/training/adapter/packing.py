"""Which examples share a block, and which blocks make up which batch: computed from the seed, so a resumed run has the same.

Examples in one block are told apart by their numbers: nothing that reads a block may let one see another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from interconnected_ai.errors import DataError
from interconnected_ai.training.adapter.examples import Examples

_OPEN_BLOCKS = 64  # looked through for room: enough for blocks that are full, few enough for millions of examples


@dataclass(frozen=True)
class PackedBatch:
    """Blocks as arrays of (batch, seq_len). inputs: token ids; targets: the ones to foretell, −1 where none counts; documents:
    the number of the example that a token belongs to, ascending along a block.
    """

    inputs: np.ndarray
    targets: np.ndarray
    documents: np.ndarray

    @property
    def num_counted(self) -> int:
        """Tokens that are foretold."""
        return int((self.targets >= 0).sum())


class Packing:
    """Examples in blocks of `seq_len` tokens, and batches of these.

    An example of n tokens takes n − 1 places: its last one is a target only. Blocks are filled in an order drawn from the seed,
    each example going where it leaves the least room; every epoch deals the blocks out anew.
    """

    def __init__(
        self, examples: Examples, seq_len: int, batch_size: int, seed: int, *, smallest_batch: int = 1
    ) -> None:
        """batch_size: fewer, but never fewer than `smallest_batch`, where there are not so many blocks.

        Raises `DataError` without examples, and for one that is longer than a block.
        """
        self.examples, self.seq_len, self.seed = examples, seq_len, seed
        sizes = np.maximum(examples.lengths - 1, 1)
        if not len(sizes):
            raise DataError("there is nothing to learn from: not one document or conversation was read")
        if sizes.max() > seq_len:
            longest = int(sizes.argmax())
            raise DataError(
                f"example {longest + 1} has {sizes[longest] + 1:,} tokens, a block of seq_len={seq_len} holds {seq_len + 1:,}; "
                "raise training.seq_len, or cut it"
            )
        self.blocks = _filled(sizes, seq_len, seed)
        self.batch_size = max(smallest_batch, min(batch_size, len(self.blocks)))
        self.sizes = sizes

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch; the last one is filled up with blocks of the beginning."""
        return -(-len(self.blocks) // self.batch_size)

    @property
    def filled(self) -> float:
        """Share of the places in all blocks that hold a token."""
        return float(self.sizes.sum()) / (len(self.blocks) * self.seq_len)

    def epoch(self, number: int, start: int = 0) -> Iterator[np.ndarray]:
        """For each batch of an epoch, from the `start`-th on: (batch,) numbers of its blocks."""
        order = np.random.default_rng((self.seed, number)).permutation(len(self.blocks))
        order = np.resize(order, self.steps_per_epoch * self.batch_size)
        for step in range(start, self.steps_per_epoch):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]

    def num_counted(self, blocks: np.ndarray) -> int:
        """Tokens that are foretold in these blocks."""
        return sum(int(self.examples[number].counted[1:].sum()) for block in blocks for number in self.blocks[block])

    def read(self, blocks: np.ndarray) -> PackedBatch:
        """These blocks, as wide as the fullest of them."""
        width = max((int(self.sizes[list(self.blocks[block])].sum()) for block in blocks), default=1)
        inputs = np.zeros((len(blocks), width), dtype=np.int64)
        targets = np.full((len(blocks), width), -1, dtype=np.int64)
        documents = np.full(
            (len(blocks), width), len(self.sizes), dtype=np.int64
        )  # what fills up is a document of its own
        for row, block in enumerate(blocks):
            place = 0
            for order, number in enumerate(self.blocks[block]):
                one = self.examples[number]
                size = len(one.ids) - 1
                part = slice(place, place + size)
                inputs[row, part] = one.ids[:-1]
                targets[row, part] = np.where(one.counted[1:], one.ids[1:], -1)
                documents[row, part] = order
                place += size
        return PackedBatch(inputs, targets, documents)


def _filled(sizes: np.ndarray, seq_len: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Best fit among the blocks that were opened last."""
    blocks: list[list[int]] = []
    room: dict[int, int] = {}  # of open blocks, oldest first
    for number in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        size = int(sizes[number])
        fitting = [block for block, left in room.items() if left >= size]
        if fitting:
            best = min(fitting, key=room.__getitem__)
            blocks[best].append(number)
            room[best] -= size
            if room[best] == 0:
                del room[best]
            continue
        if len(room) == _OPEN_BLOCKS:
            del room[min(room, key=room.__getitem__)]  # the fullest
        blocks.append([number])
        room[len(blocks) - 1] = seq_len - size
    return tuple(map(tuple, blocks))


def in_order(examples: Examples, seq_len: int, most_places: int) -> Iterator[PackedBatch]:
    """All examples once, packed into batches of at most about `most_places` tokens: what an evaluation reads."""
    packing = Packing(examples, seq_len, max(1, most_places // seq_len), seed=0)
    numbers: Sequence[int] = range(len(packing.blocks))
    for start in range(0, len(numbers), packing.batch_size):
        yield packing.read(np.array(numbers[start : start + packing.batch_size]))
