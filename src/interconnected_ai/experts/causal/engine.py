"""The torch engine of pretrained causal language models: the lean decoder where it fits, else the generic one."""

from typing import Any, Literal

import torch
from torch import nn

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.causal.generic_decoder import AdapterHooks, GenericDecoder, require_cuttable
from interconnected_ai.experts.causal.lean_decoder import LeanDecoder
from interconnected_ai.experts.causal.llama_parts import LlamaParts, weights_of, why_not_lean
from interconnected_ai.experts.compiled import STEPS, require_compiled, step_library
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.prepared import Prepared
from interconnected_ai.experts.torch_products import LAYOUTS, best_layout, can_pack
from interconnected_ai.text import TextTokenizer

_ASKED = "the model's own forward was asked for"
_ADAPTED = ("Linear", "Conv1D")


class CausalEngine(AdaptableEngine):
    """Continues prompts with a causal language model of transformers.

    network: a `…ForCausalLM`. max_seq_len: the window, None what its config says. tokenizer, end_ids: those of `Engine`. way:
    "lean" computes a Llama-shaped model call by call (`llama_parts`), "generic" calls the model's own forward, "auto" takes the
    first where it fits. layout, step: of the lean way, as `TorchEngine` says; a packed copy is made at the first call. A row
    with an adapter takes PyTorch's calls.

    Threads: as `Engine` says, as long as nobody changes the model's weights at the same time.
    Raises `EngineError` for way="lean" and a model of another shape, and for models without keys and values.
    """

    name = "torch"
    has_native_threads = False  # PyTorch's, which decoders ask about themselves

    def __init__(
        self,
        network: nn.Module,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        max_seq_len: int | None = None,
        way: Literal["auto", "lean", "generic"] = "auto",
        layout: Literal["auto", "plain", "packed"] = "auto",
        step: Literal["auto", "compiled", "calls"] = "auto",
    ) -> None:
        chosen("way", way, ["auto", "lean", "generic"])
        chosen("layout", layout, ["auto", *LAYOUTS])
        chosen("step", step, STEPS)
        reason = why_not_lean(network)
        if way == "lean" and reason:
            raise EngineError(f'way="lean" cannot compute this model: {reason}; use "auto"')
        self._is_lean = way != "generic" and not reason
        if not self._is_lean:
            require_cuttable(network)
        weight = next(network.parameters())
        if layout == "packed" and not can_pack(weight):
            raise EngineError('layout="packed" needs float32 weights on an x86 CPU; use "auto"')
        if step == "compiled":
            if not self._is_lean:
                raise EngineError(f'step="compiled" is of the lean way: {reason or _ASKED}; use "auto"')
            require_compiled(weights_of(network))
        config: Any = network.config
        text = config.get_text_config(decoder=True)
        window = getattr(text, "max_position_embeddings", None) if max_seq_len is None else max_seq_len
        if window is None:
            raise EngineError(f"the config of {type(network).__name__} says no window; give max_seq_len=")
        super().__init__(text.vocab_size, window, tokenizer, end_ids=end_ids)
        self._layout, self._step = layout, step
        self._network: nn.Module | None = network
        self._parts: Prepared[LlamaParts] = Prepared()
        self._hooks = None if self._is_lean else AdapterHooks(network)

    @property
    def network(self) -> nn.Module:
        """What computes. Raises `ClosedError` once the engine is closed."""
        if self._network is None:
            raise self._closed_error()
        return self._network

    @property
    def is_lean(self) -> bool:
        """Whether the lean decoder computes."""
        return self._is_lean

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        """(d_out, d_in) of every linear layer, by its name."""
        found = {}
        for name, module in self.network.named_modules():
            if type(module).__name__ in _ADAPTED and isinstance(weight := module.weight, nn.Parameter):
                d_out, d_in = weight.shape if isinstance(module, nn.Linear) else weight.shape[::-1]  # Conv1D: (in, out)
                found[name] = (d_out, d_in)
        return found

    @property
    def computes(self) -> tuple[torch.device, torch.dtype]:
        """Where the weights are, and their precision."""
        first = next(self.network.parameters())
        return first.device, first.dtype

    @property
    def num_bytes(self) -> int:
        """The model's tensors, whoever else holds them, and their copies in another layout."""
        if (network := self._network) is None:
            return 0
        tensors = {t.data_ptr(): t for t in (*network.parameters(), *network.buffers())}
        copied = LAYOUTS[self._layout_of(network)].num_copied_bytes(network) if self._is_lean else 0
        return sum(t.nbytes for t in tensors.values()) + copied

    def decoder(self) -> CachedDecoder[Any]:
        """A decoder of its own for one generation; all of them share the laid-out weights."""
        network = self.network
        if self._hooks is not None:
            if network.training:
                raise EngineError(
                    "the model is in training mode, where dropout would change its answers; call its eval()"
                )
            return GenericDecoder(network, self._hooks, self.vocab_size, self.max_seq_len)
        return LeanDecoder(self._laid_out(network), self.max_seq_len)

    @property
    def why_not_compiled(self) -> str:
        """Why a single row's tokens are computed by PyTorch's calls, "" where by the compiled step."""
        network = self.network
        return self._laid_out(network).compiled.why_not if self._is_lean else why_not_lean(network) or _ASKED

    def _laid_out(self, network: nn.Module) -> LlamaParts:
        library = None if self._step == "calls" else step_library()
        return self._parts.of(network, lambda: LlamaParts.of(network, LAYOUTS[self._layout_of(network)](), library))

    def _layout_of(self, network: nn.Module) -> str:
        return best_layout(next(network.parameters())) if self._layout == "auto" else self._layout

    def _let_go(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()
        self._network = None
        self._parts.forget()
