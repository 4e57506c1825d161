"""A decoder with what its rows have read, so that a full window can be read anew without its oldest tokens."""

from collections.abc import Sequence

from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.decoder import Decoder, can_resume
from interconnected_ai.experts.turn import NO_TURN, Turn


class Reader:
    """Feeds a decoder token by token, `config.max_new_tokens` of them.

    With window="slide" a row that would outgrow the decoder's window forgets its oldest half and is read again, its
    positions counting from 0: half a window's work every half a window, instead of a whole one at every token.
    turn: of one prompt alone, where a decoder can begin from what it knows of it.
    """

    def __init__(
        self, decoder: Decoder, prompts: Sequence[Sequence[int]], config: GenerationConfig, turn: Turn = NO_TURN
    ) -> None:
        self._decoder, self._window = decoder, decoder.max_seq_len
        self._rows = [list(prompt[-self._window :]) for prompt in prompts]
        self._slides = config.window == "slide"
        self._to_come = config.max_new_tokens
        self._free_slots = 0
        self._turn = turn if len(self._rows) == 1 else NO_TURN
        self._num_read = 0  # tokens of the first row

    def start(self) -> Tensor:
        """(rows, vocab) logits of what follows the prompts."""
        longest = max(len(row) for row in self._rows)
        capacity = min(longest + self._to_come, self._window)
        self._free_slots = capacity - longest
        if self._turn.known is not None and can_resume(self._decoder):
            logits = self._decoder.start(self._rows, capacity, states=[self._turn.known])
        else:
            logits = self._decoder.start(self._rows, capacity)
        self._num_read = len(self._rows[0])
        return logits

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
        logits = self._decoder.step(token_ids)
        self._num_read += 1
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        self._decoder.select(rows)
        if self._slides:
            self._rows = [list(self._rows[row]) for row in rows]

    def keep(self) -> None:
        """Hand what the decoder remembers to whoever asked for it."""
        if self._turn.keep is not None and can_resume(self._decoder):
            self._turn.keep(self._decoder.state(0, self._num_read))

    def _fitted(self, row: list[int]) -> list[int]:
        return row if len(row) <= self._window else row[-max(1, self._window // 2) :]
