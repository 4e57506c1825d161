"""A decoder that begins a conversation's turn from what is known of it, and hands over what it knows at the end."""

from collections.abc import Sequence

from torch import Tensor

from interconnected_ai.experts.decoder import Decoder, PrefixState, ResumableDecoder, RowAdapters, can_resume
from interconnected_ai.experts.turn import Turn


def remembering(decoder: Decoder, turn: Turn) -> Decoder:
    """The decoder for this turn; the decoder itself where nothing is to be kept, or it cannot begin from a state."""
    return _Remembering(decoder, turn) if turn.keep is not None and can_resume(decoder) else decoder


def num_known_by(decoder: Decoder) -> int:
    """How many of the prompt's tokens a decoder of `remembering` began with; 0 of another."""
    return decoder.num_known if isinstance(decoder, _Remembering) else 0


def keep(decoder: Decoder) -> None:
    """Hand over what a decoder of `remembering` has read; nothing is done with another."""
    if isinstance(decoder, _Remembering):
        decoder.keep()


class _Remembering:
    """A `ResumableDecoder` of one row. What it hands over may end in tokens that were guessed and never said."""

    can_resume = True

    def __init__(self, decoder: ResumableDecoder, turn: Turn) -> None:
        self._decoder, self._turn = decoder, turn
        self._num_read = 0
        self.num_known = 0

    @property
    def can_extend(self) -> bool:
        return self._decoder.can_extend

    @property
    def can_adapt(self) -> bool:
        return self._decoder.can_adapt

    @property
    def vocab_size(self) -> int:
        return self._decoder.vocab_size

    @property
    def max_seq_len(self) -> int:
        return self._decoder.max_seq_len

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> Tensor:
        known = [self._turn.known] if states is None else states
        logits = self._decoder.start(prompts, capacity, adapters=adapters, states=known)
        before = self._turn.known
        if before is not None and not self._num_read:
            self.num_known = min(before.num_shared(prompts[0]), len(prompts[0]) - 1)  # the last one is read in any case
        self._num_read = len(prompts[0])
        return logits

    def step(self, token_ids: Tensor) -> Tensor:
        logits = self._decoder.step(token_ids)
        self._num_read += 1
        return logits

    def extend(self, token_ids: Tensor) -> Tensor:
        logits = self._decoder.extend(token_ids)
        self._num_read += token_ids.shape[1]
        return logits

    def rewind(self, num_tokens: int) -> None:
        self._decoder.rewind(num_tokens)
        self._num_read -= num_tokens

    def state(self, row: int, num_tokens: int) -> PrefixState:
        return self._decoder.state(row, num_tokens)

    def select(self, rows: Sequence[int]) -> None:
        self._decoder.select(rows)

    def keep(self) -> None:
        if self._turn.keep is None or not self._num_read:
            return
        state = self._decoder.state(0, self._num_read)
        if state.num_tokens:  # of a turn that was stopped before its prompt was read, nothing
            self._turn.keep(state)
