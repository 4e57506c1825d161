"""The reference engine: an `ExpertModel` on PyTorch, on any device it runs on."""

from typing import Literal

from torch import Tensor

from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS, best_layout, can_pack
from interconnected_ai.text import Tokenizer


class TorchEngine(DecoderEngine):
    """Continues prompts with an `ExpertModel`.

    tokenizer, end_id: those of `DecoderEngine`. layout: how weights stand in memory (`torch_products`): "plain", the model's
    own, "packed", a copy of them in oneDNN's layout, or "auto", the fastest on this device. The copy is made at the first call,
    and made anew when the model has changed.
    """

    name = "torch"

    def __init__(
        self,
        model: ExpertModel,
        tokenizer: Tokenizer | None = None,
        *,
        end_id: int | None = None,
        layout: Literal["auto", "plain", "packed"] = "auto",
    ) -> None:
        if layout != "auto" and layout not in LAYOUTS:
            raise UnknownNameError("layout", layout, ["auto", *LAYOUTS])
        if layout == "packed" and not can_pack(model.head.weight):
            raise EngineError('layout="packed" needs float32 weights on an x86 CPU; use "auto"')
        super().__init__(tokenizer, end_id=end_id)
        self.model, self._layout = model, layout
        self._prepared: tuple[list[tuple[int, int]], DecoderParts] | None = None

    def decoder(self) -> TorchDecoder:
        """A decoder of its own for one generation; all of them share the laid-out weights."""
        weights = list(self.model.parameters())
        versions = [(weight.data_ptr(), _version(weight)) for weight in weights]
        prepared = self._prepared
        if prepared is None or prepared[0] != versions:
            name = best_layout(weights[0]) if self._layout == "auto" else self._layout
            prepared = self._prepared = versions, DecoderParts.of(self.model, LAYOUTS[name]())
        return TorchDecoder(prepared[1])


def _version(weight: Tensor) -> int:
    """Grows with every change in place."""
    return 0 if weight.is_inference() else weight._version
