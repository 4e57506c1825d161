"""`WaitingDecoder`: a row's decoder that notes what it is asked to read, for others to read it in the same pass."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from interconnected_ai.experts.compilable_decoder import CompilableDecoder
from interconnected_ai.experts.decoder import Decoder, PrefixState, RowAdapters


class RowDecoder(Decoder, Protocol):
    """What a batcher asks of the decoder of one row; `CachedDecoder` says what each does."""

    @property
    def device(self) -> torch.device:
        """Where the logits are."""

    @property
    def innermost(self) -> object:
        """What computes: the decoder itself, or the one that it adds something to."""

    @property
    def num_read(self) -> int:
        """Tokens of the row that were read."""

    def begin(
        self, prompts: Sequence[Sequence[int]], capacity: int, *, states: Sequence[PrefixState | None] | None = None
    ) -> None:
        """`start` without the reading."""

    def read(self, most_tokens: int) -> Tensor | None:
        """Read on in the prompt; logits at its end."""

    def state(self, row: int, num_tokens: int) -> PrefixState:
        """A copy of what is remembered of the first tokens."""

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of so many tokens."""


class WaitingDecoder:
    """A `Decoder` of one row for the generation loop. What `start` and `step` give is a tensor that is filled later: when the
    prompt, or the token, has been read by whoever drives the loop, which rests meanwhile (`Steps` yields None there).

    Threads: one at a time.
    """

    can_extend = False  # tokens that others read in the same pass are read one by one
    can_adapt = False  # the decoder has its own
    can_resume = True

    def __init__(self, decoder: RowDecoder) -> None:
        self.decoder = decoder
        self._logits = torch.empty(1, decoder.vocab_size, device=decoder.device)
        self._has_begun, self._num_prompt = False, 0
        self.reads_prompt = False
        self.token_id: int | None = None
        """The token that waits to be read."""

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self.decoder.vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self.decoder.max_seq_len

    # For the loop

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> Tensor:
        """The prompt waits to be read; (1, vocab_size), filled later."""
        assert len(prompts) == 1, f"a waiting decoder has one row, not {len(prompts)}"
        assert adapters is None, "it has its own"
        self.decoder.begin(prompts, capacity, states=states)
        self._num_prompt = len(prompts[0])
        self._has_begun = self.reads_prompt = True
        return self._logits

    def step(self, token_ids: Tensor) -> Tensor:
        """The token waits to be read; (1, vocab_size), filled later."""
        self.token_id = int(token_ids)
        return self._logits

    def select(self, rows: Sequence[int]) -> None:
        """There is one row, which stays."""
        assert list(rows) == [0], f"a waiting decoder has one row, not {list(rows)}"

    def state(self, row: int, num_tokens: int) -> PrefixState:
        """A copy of what is remembered of the first tokens, as far as they have been read."""
        if not self._has_begun:
            return PrefixState((), ())
        return self.decoder.state(row, min(num_tokens, self.decoder.num_read))

    # For who drives it

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be read before the loop goes on."""
        return self.reads_prompt or self.token_id is not None

    @property
    def compilable(self) -> CompilableDecoder | None:
        """What may be stepped together with other rows; None where this one steps by itself."""
        inner = self.decoder.innermost
        return inner if isinstance(inner, CompilableDecoder) and inner.steps_with is not None else None

    @property
    def num_unread(self) -> int:
        """Tokens of the prompt that are to be read."""
        return self._num_prompt - self.decoder.num_read

    def read_prompt(self, most_tokens: int) -> None:
        """Read so many tokens of the prompt at most."""
        if (logits := self.decoder.read(most_tokens)) is not None:
            self._logits.copy_(logits)
            self.reads_prompt = False

    def take(self, logits: Tensor) -> None:
        """The token has been read, and this is what follows."""
        self._logits.copy_(logits)
        self.token_id = None

    def step_alone(self) -> None:
        """Read the token."""
        self.take(self.decoder.step(torch.tensor([self.token_id], device=self._logits.device)))
