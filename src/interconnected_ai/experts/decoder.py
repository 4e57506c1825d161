"""What generation needs of a model, whichever engine computes it: logits of the next token, again and again.

`Decoder` is the least. `ResumableDecoder` is what those can do beside it whose memory of the tokens read may be kept, cut and
given back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

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


@dataclass(frozen=True)
class PrefixState:
    """What a decoder remembers of the first tokens of a row, in memory of its own.

    It may be handed to any decoder of the same weights with the same adapter, from any thread, any number of times; nobody
    may change the tensors, whose meaning is the decoder's affair.
    """

    token_ids: tuple[int, ...]
    tensors: tuple[Tensor, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens that need not be read again."""
        return len(self.token_ids)

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def num_shared(self, prompt: Sequence[int]) -> int:
        """How many of a prompt's first tokens are the first of these."""
        same = 0
        for known, token in zip(self.token_ids, prompt, strict=False):
            if known != token:
                break
            same += 1
        return same


class RowAdapters(Protocol):
    """Adapters of the rows of one generation: what they add to a linear layer's output, each row by its own."""

    def add(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        """out + Δ(hidden) for the module `name`, as the model names it (`model.layers.0.self_attn.q_proj`).

        hidden: (batch, seq, d_in), what the module read. out: (batch, seq, d_out), what it gave, not always contiguous; it may
        be changed in place.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Keep the adapters of these rows, in this order; a row may come several times or not at all."""

    def of_row(self, row: int, name: str) -> tuple[Tensor, Tensor] | None:
        """What a row adds to the module `name`, x · aᵀ · bᵀ: a (rank, d_in), b (d_out, rank); None where nothing is added."""


class ResumableDecoder(Decoder, Protocol):
    """A decoder that reads several tokens at once, goes back, and begins from what was read before.

    can_extend: it has `extend` and `rewind`. can_resume: it has `state` and takes `states`. can_adapt: it takes `adapters`.
    """

    @property
    def can_extend(self) -> bool:
        """Whether it has `extend` and `rewind`."""

    @property
    def can_resume(self) -> bool:
        """Whether it has `state`, and `start` takes states."""

    @property
    def can_adapt(self) -> bool:
        """Whether `start` takes adapters."""

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> Tensor:
        """`Decoder.start`. adapters: of these rows; `select` is passed on to them. states: what is known of each prompt's first
        tokens; as many are taken as the prompt begins with, and its last token is read in any case.
        """

    def extend(self, token_ids: Tensor) -> Tensor:
        """Add n tokens to each row, (batch, n): (batch, n, vocab_size) logits of the token after each, as n steps give them."""

    def rewind(self, num_tokens: int) -> None:
        """The last `num_tokens` of every row were never read."""

    def state(self, row: int, num_tokens: int) -> PrefixState:
        """A copy of what is remembered of the first `num_tokens` of a row."""


def can_extend(decoder: Decoder) -> TypeGuard[ResumableDecoder]:
    """Whether the decoder has `extend` and `rewind`."""
    return bool(getattr(decoder, "can_extend", False))


def can_resume(decoder: Decoder) -> TypeGuard[ResumableDecoder]:
    """Whether the decoder has `state` and begins from states."""
    return bool(getattr(decoder, "can_resume", False))


def can_adapt(decoder: Decoder) -> TypeGuard[ResumableDecoder]:
    """Whether the decoder computes with adapters."""
    return bool(getattr(decoder, "can_adapt", False))
