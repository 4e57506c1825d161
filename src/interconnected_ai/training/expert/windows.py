"""Which tokens make up which batch of an expert's training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.errors import DataError


@dataclass(frozen=True)
class Windows:
    """A stream of tokens cut into windows of `seq_len`, shuffled anew in every epoch; all of it follows from the seed.

    Every epoch begins the cutting at another token, so that a small text does not always break at the same places.
    tokens: documents one after another, each behind an end token; may be mapped from a file.
    """

    tokens: np.ndarray
    seq_len: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1:
            needed = (self.batch_size + 1) * self.seq_len
            raise DataError(
                f"the training text has {len(self.tokens):,} tokens, one batch of batch_size={self.batch_size} windows of "
                f"seq_len={self.seq_len} needs {needed:,}; give more text, or lower batch_size or seq_len"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch. What does not fill one is left out, other windows in every epoch."""
        return (len(self.tokens) - self.seq_len) // self.seq_len // self.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[np.ndarray]:
        """The first tokens' places of the windows of each batch, from the `start`-th batch on."""
        random = np.random.default_rng((self.seed, number))
        first = int(random.integers(self.seq_len))
        places = first + self.seq_len * random.permutation((len(self.tokens) - self.seq_len) // self.seq_len)
        for batch in range(start, self.steps_per_epoch):
            yield places[batch * self.batch_size : (batch + 1) * self.batch_size]

    def read(self, places: Sequence[int] | np.ndarray) -> Tensor:
        """(windows, seq_len + 1) token ids: each window and the token after it."""
        rows = [self.tokens[place : place + self.seq_len + 1] for place in places]
        return torch.from_numpy(np.stack(rows).astype(np.int64))
