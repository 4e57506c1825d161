"""A base's engine with adapters over its rows: the base's own decoder, told whose every row is."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts.adapters.rows import GroupedAdapters
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.decoder import PrefixState, RowAdapters
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.text import TextTokenizer


class AdapterEngine(DecoderEngine):
    """Continues prompts with a base that others use too, and adapters of one's own.

    base: the engine of the base, which stays its owner's: closing this one leaves it open. adapters: one for all rows, or one a
    prompt, None for the base alone; each as `AdapterWeights.prepared` gives them. end_ids: as `Engine` has them, None are the
    base's.

    Threads: as `Engine` says. Answers that are being made keep the adapters that they began with.
    """

    name = "torch"
    has_native_threads = False  # PyTorch's, which decoders ask about themselves

    def __init__(
        self,
        base: AdaptableEngine,
        adapters: AdapterWeights | Sequence[AdapterWeights | None],
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
    ) -> None:
        ends = base.end_ids if end_ids is None else end_ids
        super().__init__(base.vocab_size, base.max_seq_len, tokenizer, end_ids=ends)
        self._base: AdaptableEngine | None = base
        self._adapters: AdapterWeights | tuple[AdapterWeights | None, ...] | None = (
            adapters if isinstance(adapters, AdapterWeights) else tuple(adapters)
        )

    @property
    def num_bytes(self) -> int:
        """The adapters' matrices; the base's are counted by its own engine."""
        found = self._adapters
        listed = (found,) if found is None or isinstance(found, AdapterWeights) else found
        return sum({id(weights): weights.num_bytes for weights in listed if weights is not None}.values())

    def decoder(self) -> "AdaptedDecoder":
        """A decoder of its own for one generation."""
        base, adapters = self._base, self._adapters
        if base is None or adapters is None:
            raise self._closed_error()
        rows = GroupedAdapters([adapters] if isinstance(adapters, AdapterWeights) else adapters)
        return AdaptedDecoder(base.decoder(), rows)

    def _refuse(self, asked: Asked) -> None:
        adapters = self._adapters
        if isinstance(adapters, tuple) and len(adapters) != len(asked.prompts):
            raise ConfigError(
                f"{len(adapters)} adapters for {len(asked.prompts)} prompts: name one for each, None for the base alone"
            )

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
