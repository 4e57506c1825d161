"""A decoder with what its rows have read, so that a full window can be read anew without its oldest tokens."""

from collections.abc import Sequence

from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.decoder import Decoder


class Reader:
    """Feeds a decoder token by token, `config.max_new_tokens` of them.

    With window="slide" a row that would outgrow the decoder's window forgets its oldest half and is read again, its
    positions counting from 0: half a window's work every half a window, instead of a whole one at every token.
    """

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> None:
        self._decoder, self._window = decoder, decoder.max_seq_len
        self._rows = [list(prompt[-self._window :]) for prompt in prompts]
        self._slides = config.window == "slide"
        self._to_come = config.max_new_tokens
        self._free_slots = 0

    def start(self) -> Tensor:
        """(rows, vocab) logits of what follows the prompts."""
        longest = max(len(row) for row in self._rows)
        capacity = min(longest + self._to_come, self._window)
        self._free_slots = capacity - longest
        return self._decoder.start(self._rows, capacity)

    def step(self, chosen: Sequence[int], token_ids: Tensor) -> Tensor:
        """One more token for each row, as numbers and as (rows,): logits of the next."""
        self._to_come -= 1
        if self._slides:
            for row, token in zip(self._rows, chosen, strict=True):
                row.append(token)
            if not self._free_slots:
                self._rows = [self._fitted(row) for row in self._rows]
                return self.start()
        self._free_slots -= 1
        return self._decoder.step(token_ids)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        self._decoder.select(rows)
        if self._slides:
            self._rows = [list(self._rows[row]) for row in rows]

    def _fitted(self, row: list[int]) -> list[int]:
        return row if len(row) <= self._window else row[-max(1, self._window // 2) :]
