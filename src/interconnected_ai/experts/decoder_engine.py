"""The engine that any decoder makes: the generation loop over its decoders, for each call by itself or for all together."""

from abc import abstractmethod
from typing import ClassVar

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.batching import Batcher, RowDecoder
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.engine import Engine, Steps
from interconnected_ai.experts.generation import generation_steps


class DecoderEngine(Engine):
    """Continues prompts with decoders, so it serves every setting.

    can_batch: whether it can make the answers of several calls together.
    """

    can_batch: ClassVar[bool] = False
    _batcher: Batcher | None = None

    @abstractmethod
    def decoder(self) -> Decoder:
        """A decoder of its own for one generation; all of an engine's share the weights. Raises `EngineError` once closed."""

    def decoder_of_row(self, row: int) -> RowDecoder:
        """A decoder for one of a call's prompts alone. Raises `EngineError` where `can_batch` is False."""
        raise EngineError(f"the engine {self.name} makes each answer by itself")

    def batch(self, limits: BatchLimits | None = None) -> None:
        """From here on make the answers of all calls together; see `Batcher`. What is being made stays by itself.

        limits: None are those of `BatchLimits()`; where it batches already, nothing changes. Raises `EngineError` where
        `can_batch` is False. Threads: from any, once for all.
        """
        if not self.can_batch:
            raise EngineError(f"the engine {self.name} makes each answer by itself; open the expert on torch to batch")
        with self._state:
            if self._batcher is None:
                self._batcher = Batcher(limits or BatchLimits(), self.name)

    @property
    def batcher(self) -> Batcher | None:
        """What makes the answers together; None where each is made by itself."""
        return self._batcher

    def _refuse(self, asked: Asked) -> None:
        """The loop serves every setting; answers that are made together need room."""
        if (batcher := self.batcher) is not None:
            batcher.require_fit(asked, self.decoder_of_row(0))

    def _steps(self, asked: Asked) -> Steps:
        if (batcher := self.batcher) is None:
            return generation_steps(self.decoder(), asked)
        return batcher.steps(asked, [self.decoder_of_row(row) for row in range(len(asked.prompts))])
