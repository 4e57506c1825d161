"""`RecallingEngine`: an engine whose next token is also what followed in remembered texts where the last tokens were alike."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.decoder import Decoder, PrefixState, RowAdapters, can_adapt, can_extend, can_resume
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.deliberation.recollection import LONGEST, Recollection
from interconnected_ai.text import TextTokenizer


class RecallingEngine(DecoderEngine):
    """Continues prompts with another engine and a recollection: p = (1 - w) · p of the engine + w · p of the recollection.

    w: `Recollection.weights` by how many tokens were alike. engine: stays its owner's: closing this one leaves it open, and
    where it makes answers together, those of this one are made each by itself. What it remembers of a conversation serves here
    too. Every setting of generation serves. Threads: as `Engine` says. Raises `EngineError` for a recollection of another
    tokenizer.
    """

    name = "recalling"
    has_native_threads = False  # the engine looks after its own

    def __init__(
        self, engine: DecoderEngine, recollection: Recollection, tokenizer: TextTokenizer | None = None
    ) -> None:
        if recollection.vocab_size != engine.vocab_size:
            raise EngineError(
                f"the recollection has a vocabulary of {recollection.vocab_size}, the expert one of {engine.vocab_size}; make "
                "one with the expert's own tokenizer"
            )
        own = None if tokenizer is None else tokenizer.sha256
        if own is not None and recollection.tokenizer_sha256 not in (None, own):
            raise EngineError(
                f"the recollection is of the tokenizer {str(recollection.tokenizer_sha256)[:12]}, the expert has {own[:12]}; "
                "make one with the expert's own tokenizer"
            )
        super().__init__(engine.vocab_size, engine.max_seq_len, tokenizer or engine._tokenizer, end_ids=engine.end_ids)
        self._engine: DecoderEngine | None = engine
        self.recollection = recollection

    @property
    def num_bytes(self) -> int:
        """The recollection's; the other engine counts its own."""
        return self.recollection.num_bytes

    def decoder(self) -> "RecallingDecoder":
        """A decoder of its own for one generation."""
        if self._engine is None:
            raise self._closed_error()
        return RecallingDecoder(self._engine.decoder(), self.recollection)

    def _refuse(self, asked: Asked) -> None:
        if self._engine is not None:
            self._engine._refuse(asked)

    def _let_go(self) -> None:
        self._engine = None


class RecallingDecoder:
    """A `ResumableDecoder` over another one, as far as that one is, which remembers what each row has read.

    Threads: one at a time.
    """

    def __init__(self, decoder: Decoder, recollection: Recollection) -> None:
        self._decoder, self._recollection = decoder, recollection
        self.can_extend, self.can_resume, self.can_adapt = can_extend(decoder), can_resume(decoder), can_adapt(decoder)
        self._rows: list[list[int]] = []

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
        """Read the prompts; see `ResumableDecoder.start`."""
        self._rows = [list(prompt) for prompt in prompts]
        if adapters is None and states is None:
            return self._recalled(self._decoder.start(prompts, capacity))
        assert can_adapt(self._decoder) or can_resume(self._decoder)
        return self._recalled(self._decoder.start(prompts, capacity, adapters=adapters, states=states))

    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row; see `Decoder.step`."""
        for row, token in zip(self._rows, token_ids.tolist(), strict=True):
            row.append(token)
        return self._recalled(self._decoder.step(token_ids))

    def extend(self, token_ids: Tensor) -> Tensor:
        """Add n tokens to each row; see `ResumableDecoder.extend`."""
        assert can_extend(self._decoder)
        logits = self._decoder.extend(token_ids)  # (rows, n, vocab_size)
        told = []
        for place, read in enumerate(token_ids.unbind(1)):
            for row, token in zip(self._rows, read.tolist(), strict=True):
                row.append(token)
            told.append(self._recalled(logits[:, place]))
        return torch.stack(told, dim=1)

    def rewind(self, num_tokens: int) -> None:
        """The last `num_tokens` of every row were never read."""
        assert can_extend(self._decoder)
        self._decoder.rewind(num_tokens)
        self._rows = [row[: len(row) - num_tokens] for row in self._rows]

    def state(self, row: int, num_tokens: int) -> PrefixState:
        """What the other decoder remembers of the first `num_tokens` of a row; the recollection needs nothing kept."""
        assert can_resume(self._decoder)
        return self._decoder.state(row, num_tokens)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        self._rows = [list(self._rows[row]) for row in rows]
        self._decoder.select(rows)

    def _recalled(self, logits: Tensor) -> Tensor:
        """(rows, vocab_size) logits → ln of the mixture."""
        log_probs = logits.float().log_softmax(-1)
        for number, row in enumerate(self._rows):
            told, alike = self._recollection.foretell(row[-LONGEST:])
            weight = self._recollection.weights[alike]
            if weight:
                recalled = torch.from_numpy(np.log(told)).float().to(log_probs.device) + float(np.log(weight))
                own = log_probs[number] + float(np.log1p(-weight)) if weight < 1 else recalled
                log_probs[number] = torch.logaddexp(own, recalled) if weight < 1 else recalled
        return log_probs
