"""Decoders over a `KVCache` whose rows may be stepped by compiled C: one row alone, or rows of several decoders together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.compiled import CompiledModel, CompiledRow, step_rows
from interconnected_ai.nn import KVCache


class CompilableDecoder(CachedDecoder[KVCache]):
    """A `CachedDecoder` that keeps a compiled row while it has one row that can be compiled."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._row: CompiledRow | None = None

    @property
    def steps_with(self) -> CompiledModel | None:
        """What rows that can be stepped together have in common; None where this decoder steps by itself."""
        return None if self._row is None else self._row.model

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one."""
        if self._row is None:
            return super().step(token_ids)
        (logits,) = step_together([self], [int(token_ids)])
        return logits


@torch.inference_mode()
def step_together(decoders: Sequence[CompilableDecoder], token_ids: Sequence[int]) -> list[Tensor]:
    """One token to the row of each decoder: (1, vocab_size) logits each, bit by bit those that `step` would give.

    decoders: of one row each, which share what they step with (`steps_with`). The tensors are overwritten by the next step.
    """
    rows = [decoder._row for decoder in decoders if decoder._row is not None]
    assert len(rows) == len(decoders), "a decoder of several rows, or without the compiled step"
    for decoder, row, token in zip(decoders, rows, token_ids, strict=True):
        place = decoder._cache.length
        row.aim(token, decoder._cache.tensor, place)
    step_rows(rows)
    for decoder, token in zip(decoders, token_ids, strict=True):
        decoder._token_ids[0, decoder._cache.length] = token
        decoder._cache.advance(1)
    return [row.logits for row in rows]
