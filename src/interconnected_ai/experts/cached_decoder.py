"""What decoders with a `KVCache` have in common: where rows stand in it, what is kept, cut and taken back.

How tokens become keys, values and logits is the affair of subclasses: `_read` for several tokens of a row, `_step` for one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import require_known
from interconnected_ai.experts.decoder import PrefixState, RowAdapters
from interconnected_ai.nn import require_own_threads


class RowCache(Protocol):
    """What a decoder asks of its cache; `KVCache` says what each does."""

    length: int
    starts: Tensor | None

    @property
    def batch(self) -> int:
        """Rows."""

    def advance(self, num_tokens: int) -> None:
        """All layers have kept `num_tokens` more."""

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` slots."""

    def select(self, rows: Tensor, *, since: int = 0) -> None:
        """Keep these rows, in this order."""

    def copied(self, row: int, first: int, end: int) -> tuple[Tensor, ...]:
        """A copy of what a row holds in these slots."""

    def fill(self, firsts: Sequence[int], copies: Sequence[tuple[Tensor, ...]], length: int) -> None:
        """Let the first `length` slots hold copies, each row's from its slot `firsts` on."""


Cache = TypeVar("Cache", bound=RowCache)


class CachedDecoder(ABC, Generic[Cache]):
    """A `ResumableDecoder` whose rows stand flush right in one cache, padded on the left.

    vocab_size, max_seq_len: of the model. most_rows: tokens that one pass reads at most, all rows together. Threads: one at a
    time.
    """

    can_extend: ClassVar[bool] = True
    can_resume: ClassVar[bool] = True
    can_adapt: ClassVar[bool] = False

    def __init__(
        self,
        vocab_size: int,
        max_seq_len: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        most_rows: int | None = None,
    ) -> None:
        self._vocab_size, self._max_seq_len, self._device, self._dtype = vocab_size, max_seq_len, device, dtype
        self._most_rows = most_rows
        self._adapters: RowAdapters | None = None
        self._cache: Cache
        self._token_ids: Tensor  # (batch, capacity), 0 where nothing is read
        self._lacking: list[int] = []  # slots before each row's first token
        self._mask: Tensor | None = None  # (batch, 1, 1, capacity), None without padding
        self._origins: list[int] = []
        self._shared_slots = 0

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self._max_seq_len

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def innermost(self) -> "CachedDecoder[Cache]":
        """What computes."""
        return self

    # What subclasses compute

    @abstractmethod
    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of one row of this many tokens."""

    @abstractmethod
    def _new_cache(self, batch: int, capacity: int, starts: Tensor | None) -> Cache:
        """An empty cache."""

    @abstractmethod
    def _read(self, token_ids: Tensor, *, last_only: bool = False) -> Tensor:
        """(batch, seq) tokens that follow what is cached → (batch, seq, d_model), what the head reads; caches them.

        last_only: the last token's is enough, (batch, 1, d_model).
        """

    @abstractmethod
    def _step(self, token_ids: Tensor) -> Tensor:
        """(batch,) tokens that follow what is cached → (batch, vocab_size) logits; caches them."""

    @abstractmethod
    def _logits(self, hidden: Tensor) -> Tensor:
        """(rows, d_model), what `_read` gave → (rows, vocab_size)."""

    @abstractmethod
    def _prepare(self, batch: int) -> None:
        """Make what every step needs: there are this many rows from here on."""

    # What they share

    @torch.inference_mode()
    def start(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> Tensor:
        """Forget everything, read the prompts: (batch, vocab_size) logits of the token after each, in float32."""
        self.begin(prompts, capacity, adapters=adapters, states=states)
        most = self._most_tokens(len(prompts))
        while (logits := self.read(most)) is None:
            continue
        return logits

    @torch.inference_mode()
    def begin(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> None:
        """`start` without the reading, which `read` does piece by piece."""
        require_own_threads()
        if adapters is not None and not self.can_adapt:
            raise EngineError(f"{type(self).__name__} computes without adapters; open the expert merged into its base")
        for prompt in prompts:
            require_known(prompt, self.vocab_size)
        batch, longest = len(prompts), max(len(prompt) for prompt in prompts)
        self._adapters = adapters
        self._lacking = [longest - len(prompt) for prompt in prompts]
        starts = torch.tensor(self._lacking, device=self._device) if any(self._lacking) else None
        self._cache = self._new_cache(batch, capacity, starts)
        self._mask = None if starts is None else _padding_mask(starts, capacity, self._dtype)
        self._origins, self._shared_slots = list(range(batch)), longest
        rows = [[0] * n + list(p) + [0] * (capacity - longest) for n, p in zip(self._lacking, prompts, strict=True)]
        self._token_ids = torch.tensor(rows, device=self._device)
        self._prepare(batch)
        if states is not None:
            self._take(prompts, states)

    @torch.inference_mode()
    def read(self, most_tokens: int) -> Tensor | None:
        """Read so many more tokens of each prompt at most: the logits that `start` gives, None while there are more to read."""
        known, end = self._cache.length, self._shared_slots
        piece = self._token_ids[:, known : min(known + most_tokens, end)]
        hidden = self._read(piece, last_only=True)
        self._cache.advance(piece.shape[1])
        return None if self._cache.length < end else self._logits(hidden[:, -1]).float()

    @property
    def num_read(self) -> int:
        """Slots of the cache that are filled: of a row alone, its tokens that were read."""
        return self._cache.length

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one."""
        written = self._token_ids.select(1, self._cache.length)
        logits = self._step(written.copy_(token_ids))
        self._cache.advance(1)
        return logits.float()

    @torch.inference_mode()
    def extend(self, token_ids: Tensor) -> Tensor:
        """Add n tokens to each row, (batch, n): (batch, n, vocab_size) logits of the token after each."""
        batch, seq = token_ids.shape
        written = self._token_ids.narrow(1, self._cache.length, seq).copy_(token_ids)
        hidden = self._read(written)
        self._cache.advance(seq)
        return self._logits(hidden.reshape(batch * seq, -1)).float().view(batch, seq, -1)

    def rewind(self, num_tokens: int) -> None:
        """The last `num_tokens` of every row were never read."""
        self._cache.crop(self._cache.length - num_tokens)
        self._shared_slots = min(self._shared_slots, self._cache.length)

    @torch.inference_mode()
    def state(self, row: int, num_tokens: int) -> PrefixState:
        """A copy of what is remembered of the first `num_tokens` of a row."""
        first = self._lacking[row]
        assert first + num_tokens <= self._cache.length, f"{num_tokens} of {self._cache.length - first} tokens"
        token_ids = self._token_ids[row, first : first + num_tokens].tolist()
        return PrefixState(tuple(token_ids), self._cache.copied(row, first, first + num_tokens))

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        if list(rows) == list(range(self._cache.batch)):
            return
        origins = [self._origins[row] for row in rows]
        index = torch.tensor(rows, device=self._device)
        # The beams of a prompt have read the same prompt: only what came after it changes places.
        self._cache.select(index, since=self._shared_slots if origins == self._origins else 0)
        self._token_ids = self._token_ids[index]
        if origins != self._origins:
            self._lacking = [self._lacking[row] for row in rows]
            if self._mask is not None:
                self._mask = self._mask[index]
        if self._adapters is not None:
            self._adapters.select(rows)
        if len(rows) != len(self._origins):
            self._prepare(len(rows))
        self._origins = origins

    def _most_tokens(self, batch: int) -> int:
        """How many tokens of each row one pass reads at most."""
        return self._max_seq_len if self._most_rows is None else max(1, self._most_rows // batch)

    def _take(self, prompts: Sequence[Sequence[int]], states: Sequence[PrefixState | None]) -> int:
        """Put what is known of the prompts' first tokens into the cache; the number of slots that it fills in every row.

        All rows read the same slots, so what a row knows beyond the others it reads again.
        """
        known = [
            0 if state is None else min(state.num_shared(prompt), len(prompt) - 1)
            for prompt, state in zip(prompts, states, strict=True)
        ]
        filled = min(lacking + num for lacking, num in zip(self._lacking, known, strict=True))
        if filled:
            self._cache.fill(self._lacking, [() if state is None else state.tensors for state in states], filled)
        return filled

    def _places(self, place: int, seq: int) -> Tensor:
        """Positions of the tokens in `seq` slots from `place` on: (seq,), or (batch, seq) where rows are padded."""
        slots = torch.arange(place, place + seq, device=self._device)
        if self._cache.starts is None:
            return slots
        return (slots - self._cache.starts[:, None]).clamp_(min=0)

    def _visible(self, seq: int, window: int | None = None) -> Tensor | None:
        """Who of `seq` tokens after what is cached may look at whom: (batch or 1, 1, seq, keys), None is causal.

        A token sees the real tokens up to itself, with a window its last ones; padding sees itself, or its softmax would be
        empty.
        """
        place, starts = self._cache.length, self._cache.starts
        window = None if window is None or window >= place + seq else window
        if starts is None and place == 0 and window is None:
            return None
        keys = torch.arange(place + seq, device=self._device)
        queries = keys[place:, None]
        seen = (keys <= queries)[None, None]
        if window is not None:
            seen = seen & (keys > queries - window)
        return seen if starts is None else (seen & (keys >= starts[:, None, None, None])) | (keys == queries)


def _padding_mask(starts: Tensor, capacity: int, dtype: torch.dtype) -> Tensor:
    """(batch, 1, 1, capacity): -inf at a row's padding. Numbers, since a bool mask would be turned into them at each step."""
    padding = torch.arange(capacity, device=starts.device) < starts[:, None]
    mask = torch.zeros(padding.shape, dtype=dtype, device=starts.device)
    return mask.masked_fill_(padding, -math.inf)[:, None, None]
