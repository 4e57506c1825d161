"""What generation needs of a model, whichever engine computes it: logits of the next token, again and again."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Decoder(Protocol):
    """Reads prompts, then one token per row at a time. One decoder serves one generation at a time.

    Sampling, penalties, beams and stop strings are done by the generation loop on the logits, so they are the same on
    every engine that is a decoder.
    """

    @property
    def vocab_size(self) -> int:
        """Logits per row."""

    @property
    def max_seq_len(self) -> int:
        """The window: prompt and answer together are at most this many tokens."""

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """Forget everything, read the prompts: (batch, vocab_size) logits of the token after each, in float32.

        capacity: tokens of the longest row, prompt and answer together.
        """

    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one. The tensor may be overwritten
        by the next step.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
