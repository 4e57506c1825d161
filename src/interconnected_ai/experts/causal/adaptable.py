"""What adapters ask of a base's engine."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch

from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.decoder_engine import DecoderEngine


class AdaptableEngine(DecoderEngine):
    """An engine whose decoders compute with adapters on the modules of its model."""

    can_batch: ClassVar[bool] = True

    @property
    @abstractmethod
    def adaptable(self) -> dict[str, tuple[int, int]]:
        """(d_out, d_in) of every module that an adapter may change, by its name."""

    @property
    @abstractmethod
    def computes(self) -> tuple[torch.device, torch.dtype]:
        """Where and in which precision adapters' matrices are wanted."""

    @abstractmethod
    def decoder(self) -> CachedDecoder[Any]:
        """A decoder of its own for one generation; all of an engine's share the weights. Raises `ClosedError` once closed."""

    def decoder_of_row(self, row: int) -> CachedDecoder[Any]:
        """The same for one of a call's prompts."""
        return self.decoder()
