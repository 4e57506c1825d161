"""The engine "torch-int4": a GGUF file of 4-bit blocks on PyTorch, its weights as small as in the file."""

from typing import Literal

import torch

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.causal.int4_parts import Int4Parts
from interconnected_ai.experts.causal.lean_decoder import LeanDecoder
from interconnected_ai.experts.compiled import STEPS, step_library
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.experts.names import chosen
from interconnected_ai.text import TextTokenizer


class Int4Engine(AdaptableEngine):
    """Continues prompts with a Llama-shaped model whose matrices are Q4_0 or Q4_1.

    A row alone, without an adapter, is computed by the compiled step where the machine has a compiler: from the mapped file, in
    float32, as the engine torch computes the same file dequantised. Prompts, several rows and rows with adapters go through
    PyTorch's products of 4-bit weights, which read and give bfloat16 and add up in float32.

    file: of the model. tokenizer, end_ids: those of `Engine`. max_seq_len: the window, None is the file's. step: "compiled",
    "calls", or "auto", the first where it can be had.
    Threads: as `Engine` says.
    Raises `EngineError` for files in other types or of other shapes, and on CPUs without AVX2.
    """

    name = "torch-int4"
    has_native_threads = False  # PyTorch's, which decoders ask about themselves

    def __init__(
        self,
        file: GgufModel,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        max_seq_len: int | None = None,
        step: Literal["auto", "compiled", "calls"] = "auto",
    ) -> None:
        chosen("step", step, STEPS)
        made = Int4Parts.of(file, None if step == "calls" else step_library())
        if step == "compiled" and made.parts.compiled.model is None:
            raise EngineError(f'step="compiled" cannot be had: {made.parts.compiled.why_not}; use "auto"')
        window = file.context if max_seq_len is None else max_seq_len
        super().__init__(made.parts.shape.vocab_size, window, tokenizer, end_ids=end_ids)
        self._made: Int4Parts | None = made

    @property
    def num_bytes(self) -> int:
        """The weights in memory."""
        return 0 if self._made is None else self._made.num_bytes

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        """(d_out, d_in) of every module that an adapter may change, by its name."""
        if self._made is None:
            raise self._closed_error()
        return self._made.shapes

    @property
    def computes(self) -> tuple[torch.device, torch.dtype]:
        """The CPU, float32: what adapters add is not rounded."""
        return torch.device("cpu"), torch.float32

    @property
    def why_not_compiled(self) -> str:
        """Why a single row's tokens are computed by PyTorch's calls, "" where by the compiled step."""
        if self._made is None:
            raise self._closed_error()
        return self._made.parts.compiled.why_not

    def decoder(self) -> LeanDecoder:
        """A decoder of its own for one generation; all of them share the weights."""
        if self._made is None:
            raise self._closed_error()
        return LeanDecoder(self._made.parts, self.max_seq_len)

    def _let_go(self) -> None:
        self._made = None
