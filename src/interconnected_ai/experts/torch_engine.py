"""The reference engine: an `ExpertModel` on PyTorch, on any device it runs on."""

from typing import Literal

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.compiled import STEPS, require_compiled, step_library
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.prepared import Prepared
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder, weights_of
from interconnected_ai.experts.torch_products import LAYOUTS, best_layout, can_pack
from interconnected_ai.text import TextTokenizer


class TorchEngine(DecoderEngine):
    """Continues prompts with an `ExpertModel`.

    tokenizer, end_ids: those of `Engine`. layout: how weights stand in memory (`torch_products`): "plain", the model's
    own, "packed", a copy of them in oneDNN's layout, or "auto", the fastest on this device. The copy is made at the first call,
    and made anew when the model has changed. step: what computes the tokens of a single row: "compiled", one call of C that
    reads the model's own weights, "calls", PyTorch's, or "auto", the first where this machine can compile it.

    Threads: as `Engine` says, as long as nobody changes the model's weights at the same time.
    """

    name = "torch"
    has_native_threads = False  # PyTorch's, which the model asks about itself
    can_batch = True

    def __init__(
        self,
        model: ExpertNetwork,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        layout: Literal["auto", "plain", "packed"] = "auto",
        step: Literal["auto", "compiled", "calls"] = "auto",
    ) -> None:
        chosen("layout", layout, ["auto", *LAYOUTS])
        chosen("step", step, STEPS)
        if layout == "packed" and not can_pack(model.head.weight):
            raise EngineError('layout="packed" needs float32 weights on an x86 CPU; use "auto"')
        if step == "compiled":
            require_compiled(weights_of(model))
        super().__init__(model.config.vocab_size, model.config.max_seq_len, tokenizer, end_ids=end_ids)
        self._model: ExpertNetwork | None = model
        self._layout, self._step = layout, step
        self._parts: Prepared[DecoderParts] = Prepared()

    @property
    def model(self) -> ExpertNetwork:
        """What computes. Raises `ClosedError` once the engine is closed."""
        if self._model is None:
            raise self._closed_error()
        return self._model

    @property
    def num_bytes(self) -> int:
        """The model's tensors, whoever else holds them, and their copies in another layout."""
        if self._model is None:
            return 0
        model = self._model
        tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
        layout = self._layout_of(model)
        return sum(t.nbytes for t in tensors.values()) + LAYOUTS[layout].num_copied_bytes(model)

    def decoder(self) -> TorchDecoder:
        """A decoder of its own for one generation; all of them share the laid-out weights."""
        return TorchDecoder(self._laid_out())

    def decoder_of_row(self, row: int) -> TorchDecoder:
        """The same for one of a call's prompts."""
        return self.decoder()

    @property
    def why_not_compiled(self) -> str:
        """Why a single row's tokens are computed by PyTorch's calls, "" where by the compiled step."""
        return self._laid_out().compiled.why_not

    def _laid_out(self) -> DecoderParts:
        model = self.model
        library = None if self._step == "calls" else step_library()
        return self._parts.of(model, lambda: DecoderParts.of(model, LAYOUTS[self._layout_of(model)](), library))

    def _layout_of(self, model: ExpertNetwork) -> str:
        return best_layout(model.head.weight) if self._layout == "auto" else self._layout

    def _let_go(self) -> None:
        self._model = None
        self._parts.forget()
