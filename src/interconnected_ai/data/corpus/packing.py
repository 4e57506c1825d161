"""Which tokens make up which batch of a language model's training."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.errors import DataError


@dataclass(frozen=True)
class CorpusPlan:
    """The batches of any epoch, computed from the seed alone, so that a resumed run sees the same ones.

    The tokens are cut into blocks of `seq_len`, and a batch is `batch_size` blocks drawn without repetition. The tokens
    are taken as a ring, the last document followed by the first, and every epoch begins the cutting at another place:
    no text is always cut in the same middle of a sentence, and what does not fill a block or a batch is other text each
    time.
    num_tokens: of a `TokenSide`, whose first and last token are both an end token and count once in the ring.
    """

    num_tokens: int
    seq_len: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1:
            raise DataError(
                f"the training text has {self.num_tokens:,} tokens, one batch of batch_size={self.batch_size} blocks of "
                f"seq_len={self.seq_len} needs {self.batch_size * self.seq_len + 1:,}; give more text, or lower batch_size "
                "or seq_len"
            )

    @property
    def num_blocks(self) -> int:
        """Whole blocks in the ring."""
        return max(0, self.num_tokens - 1) // self.seq_len

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one epoch."""
        return self.num_blocks // self.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[np.ndarray]:
        """For each batch of an epoch, from the `start`-th on: (batch,) places of its blocks' first tokens."""
        random = np.random.default_rng((self.seed, number))
        ring = self.num_tokens - 1
        first = int(random.integers(ring))
        places = (first + self.seq_len * random.permutation(self.num_blocks)) % ring
        for step in range(start, self.steps_per_epoch):
            yield places[step * self.batch_size : (step + 1) * self.batch_size]

    def read(self, tokens: np.ndarray, places: np.ndarray) -> Tensor:
        """(batch, seq_len + 1) token ids, int64: each block and the token after it."""
        length = self.seq_len + 1
        rows = np.empty((len(places), length), dtype=np.int64)
        for row, place in zip(rows, places.tolist(), strict=True):
            straight = min(length, self.num_tokens - place)  # the last token is the first one again
            row[:straight] = tokens[place : place + straight]
            if straight < length:
                row[straight:] = tokens[1 : 1 + length - straight]
        return torch.from_numpy(rows)
