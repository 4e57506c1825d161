"""A base's engine with adapters over its rows: the base's own decoder, told whose every row is."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts.adapters.rows import GroupedAdapters
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.batching import Batcher, RowDecoder
from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.decoder import PrefixState, RowAdapters
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.text import TextTokenizer


class AdapterEngine(DecoderEngine):
    """Continues prompts with a base that others use too, and adapters of one's own.

    base: the engine of the base, which stays its owner's: closing this one leaves it open. adapters: one for all rows, or one a
    prompt, None for the base alone in either; each as `AdapterWeights.prepared` gives them. end_ids: as `Engine` has them, None
    are the base's.

    Threads: as `Engine` says. Answers that are being made keep the adapters that they began with.
    """

    name = "torch"
    has_native_threads = False  # PyTorch's, which decoders ask about themselves
    can_batch = True

    def __init__(
        self,
        base: AdaptableEngine,
        adapters: AdapterWeights | Sequence[AdapterWeights | None] | None,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
    ) -> None:
        ends = base.end_ids if end_ids is None else end_ids
        super().__init__(base.vocab_size, base.max_seq_len, tokenizer, end_ids=ends)
        self._base: AdaptableEngine | None = base
        self._adapters: AdapterWeights | tuple[AdapterWeights | None, ...] | None = (
            adapters if adapters is None or isinstance(adapters, AdapterWeights) else tuple(adapters)
        )

    @property
    def num_bytes(self) -> int:
        """The adapters' matrices; the base's are counted by its own engine."""
        found = self._adapters
        listed = (found,) if found is None or isinstance(found, AdapterWeights) else found
        return sum({id(weights): weights.num_bytes for weights in listed if weights is not None}.values())

    @property
    def over(self) -> tuple[AdaptableEngine, AdapterWeights | None] | None:
        """The base and what every row has over it; None where rows differ. Raises `ClosedError` once closed."""
        if self._base is None:
            raise self._closed_error()
        return None if isinstance(self._adapters, tuple) else (self._base, self._adapters)

    def decoder(self) -> "AdaptedDecoder | CachedDecoder[Any]":
        """A decoder of its own for one generation."""
        base, adapters = self._base, self._adapters
        if base is None:
            raise self._closed_error()
        if adapters is None:
            return base.decoder()
        rows = GroupedAdapters([adapters] if isinstance(adapters, AdapterWeights) else adapters)
        return AdaptedDecoder(base.decoder(), rows)

    # Together with all that the base is asked

    @property
    def batcher(self) -> Batcher | None:
        """The base's."""
        return None if self._base is None else self._base.batcher

    def batch(self, limits: BatchLimits | None = None) -> None:
        """As of the base: its rows, and those of all adapters over it, are stepped together."""
        if self._base is None:
            raise self._closed_error()
        self._base.batch(limits)

    def decoder_of_row(self, row: int) -> RowDecoder:
        """A decoder for one of a call's prompts alone, with its adapter."""
        base, adapters = self._base, self._adapters
        if base is None:
            raise self._closed_error()
        if adapters is None:
            return base.decoder_of_row(row)
        own = adapters if isinstance(adapters, AdapterWeights) else adapters[row]
        return AdaptedDecoder(base.decoder(), GroupedAdapters([own]))

    def _refuse(self, asked: Asked) -> None:
        adapters = self._adapters
        if isinstance(adapters, tuple) and len(adapters) != len(asked.prompts):
            raise ConfigError(
                f"{len(adapters)} adapters for {len(asked.prompts)} prompts: name one for each, None for the base alone"
            )
        super()._refuse(asked)

    def _let_go(self) -> None:
        self._base = self._adapters = None


class AdaptedDecoder:
    """A `ResumableDecoder` with the adapters of its rows. Threads: one at a time."""

    can_adapt = False  # it has its own

    def __init__(self, decoder: CachedDecoder[Any], adapters: GroupedAdapters) -> None:
        if not decoder.can_adapt:
            raise EngineError(
                f"{type(decoder).__name__} computes without adapters; merge the adapter into its base and open that folder"
            )
        self._decoder, self._adapters = decoder, adapters
        self.can_extend, self.can_resume = decoder.can_extend, decoder.can_resume

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._decoder.vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self._decoder.max_seq_len

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        capacity: int,
        *,
        adapters: RowAdapters | None = None,
        states: Sequence[PrefixState | None] | None = None,
    ) -> Tensor:
        """Forget everything, read the prompts: the rows that are left where it was read before; see `ResumableDecoder`."""
        if adapters is not None:
            raise EngineError("this decoder has adapters of its own; ask the base's engine for one without")
        return self._decoder.start(prompts, capacity, adapters=self._adapters, states=states)

    def begin(
        self, prompts: Sequence[Sequence[int]], capacity: int, *, states: Sequence[PrefixState | None] | None = None
    ) -> None:
        """`start` without the reading, which `read` does piece by piece."""
        self._decoder.begin(prompts, capacity, adapters=self._adapters, states=states)

    def read(self, most_tokens: int) -> Tensor | None:
        """Read so many more tokens of each prompt at most; see `CachedDecoder`."""
        return self._decoder.read(most_tokens)

    @property
    def num_read(self) -> int:
        """Of a row alone, its tokens that were read."""
        return self._decoder.num_read

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of one row of this many tokens."""
        return self._decoder.cache_bytes(capacity)

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self._decoder.device

    @property
    def innermost(self) -> CachedDecoder[Any]:
        """The base's decoder, which computes."""
        return self._decoder

    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one."""
        return self._decoder.step(token_ids)

    def extend(self, token_ids: Tensor) -> Tensor:
        """Add n tokens to each row, (batch, n): (batch, n, vocab_size) logits of the token after each."""
        return self._decoder.extend(token_ids)

    def rewind(self, num_tokens: int) -> None:
        """The last `num_tokens` of every row were never read."""
        self._decoder.rewind(num_tokens)

    def state(self, row: int, num_tokens: int) -> PrefixState:
        """A copy of what is remembered of the first `num_tokens` of a row."""
        return self._decoder.state(row, num_tokens)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows with their adapters, in this order."""
        self._decoder.select(rows)
