"""Speculative decoding by prompt look-up: what followed the last few tokens before is read ahead, in one pass of the model.

A pass over a few tokens reads the weights once, as one over a single token does. Nothing is said that the loop has not chosen
from the model's own logits: a guess only decides how many of them one pass computes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.decoder import Decoder, ResumableDecoder, can_extend
from interconnected_ai.experts.reader import Reader

_LONGEST, _SHORTEST = 4, 2  # tokens that have to have stood there before
_FIRST_GUESS = 4  # tokens; twice as many after a guess that was right to its end
_COST = 0.5  # of a guess, in steps: what it saves at least if half of all guesses are right in one token
_FIRST_CREDIT, _MOST_CREDIT, _PER_TOKEN = 1.0, 2.0, 0.01


def reader_of(decoder: Decoder, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> "Reader | LookupReader":
    """What feeds the decoder: one that looks ahead where that was asked for and can be, for one row that does not slide."""
    if config.lookup_tokens and config.window == "error" and len(prompts) == 1 and can_extend(decoder):
        return LookupReader(decoder, prompts[0], config)
    return Reader(decoder, prompts, config)


class LookupReader:
    """A `Reader` of one row that reads up to `config.lookup_tokens` guessed tokens along with the chosen one.

    A guess costs some of a credit that every token guessed right, and slowly every token said, fills up again: where guesses
    fail, two of them are lost, and then one in 50 tokens.
    """

    def __init__(self, decoder: ResumableDecoder, prompt: Sequence[int], config: GenerationConfig) -> None:
        self._decoder, self._most = decoder, config.lookup_tokens
        self._said = Said(prompt)
        self._to_come = config.max_new_tokens
        self._ahead: list[int] = []  # guessed tokens that the decoder has read and the loop has not chosen yet
        self._logits = torch.empty(0)  # (1, guesses + 1, vocab) of the last pass
        self._length = _FIRST_GUESS
        self._credit = _FIRST_CREDIT

    def start(self) -> Tensor:
        """(1, vocab) logits of what follows the prompt."""
        token_ids = self._said.token_ids
        return self._decoder.start([token_ids], min(len(token_ids) + self._to_come, self._decoder.max_seq_len))

    def step(self, chosen: Sequence[int], token_ids: Tensor) -> Tensor:
        """One more token, as a number and as (1,): logits of the next."""
        (token,) = chosen
        self._to_come -= 1
        self._said.add(token)
        if self._ahead and self._ahead[0] == token:
            self._credit = min(_MOST_CREDIT, self._credit + 1.0)
            self._ahead = self._ahead[1:]
            self._length = self._length if self._ahead else 2 * self._length
            return self._logits[:, -1 - len(self._ahead)]
        if self._ahead:
            self._decoder.rewind(len(self._ahead))
            self._length = _FIRST_GUESS
        self._credit = min(_MOST_CREDIT, self._credit + _PER_TOKEN)
        # The last token of an answer is chosen from the logits after the last but one.
        most = min(self._length, self._most, self._to_come - 1)
        self._ahead = self._said.guess(most) if self._credit >= _COST else []
        if not self._ahead:
            return self._decoder.step(token_ids)
        self._credit -= _COST
        self._logits = self._decoder.extend(torch.tensor([[token, *self._ahead]], device=token_ids.device))
        return self._logits[:, 0]

    def select(self, rows: Sequence[int]) -> None:
        """There is one row, which stays."""
        assert list(rows) == [0], f"a look-up reads one row, not {list(rows)}"


class Said:
    """The tokens of prompt and answer, with the last place of every few of them."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.token_ids: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}  # a few tokens → where what followed them begins
        for token in token_ids:
            self.add(token)

    def add(self, token_id: int) -> None:
        """One more."""
        for ending in self._endings():
            self._places[ending] = len(self.token_ids)
        self.token_ids.append(token_id)

    def guess(self, most: int) -> list[int]:
        """What followed the last tokens where they stood before, the longest such; nothing where they did not."""
        for ending in self._endings():
            if (place := self._places.get(ending)) is not None:
                return self.token_ids[place : place + max(0, most)]
        return []

    def _endings(self) -> Iterator[tuple[int, ...]]:
        for length in range(min(_LONGEST, len(self.token_ids)), _SHORTEST - 1, -1):
            yield tuple(self.token_ids[-length:])
