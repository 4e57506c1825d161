"""Any causal language model of Hugging Face as a `Decoder`: its own forward, its own cache.

Models whose memory of the text is no list of keys and values (Mamba and its kin) cannot be cut or padded, and are refused.
"""

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.decoder import RowAdapters


class GenericDecoder(CachedDecoder["HuggingFaceCache"]):
    """Reads prompts and tokens with a model's own forward; `AdapterHooks` put in what adapters add."""

    can_adapt: ClassVar[bool] = True

    def __init__(self, network: nn.Module, hooks: "AdapterHooks", vocab_size: int, max_seq_len: int) -> None:
        self._network, self._hooks = network, hooks
        self._accepts = frozenset(inspect.signature(network.forward).parameters)
        first = next(network.parameters())
        super().__init__(vocab_size, max_seq_len, first.device, first.dtype)

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of one row of this many tokens, as the model's config tells."""
        config: Any = self._network.config
        text = config.get_text_config(decoder=True)
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        itemsize = torch.empty(0, dtype=self._dtype).element_size()
        return int(2 * text.num_hidden_layers * heads * width * capacity * itemsize)

    def _new_cache(self, batch: int, capacity: int, starts: Tensor | None) -> "HuggingFaceCache":
        return HuggingFaceCache(self._network, batch, starts)

    def _prepare(self, batch: int) -> None:
        """A model makes all of a step anew."""

    def _read(self, token_ids: Tensor, *, last_only: bool = False) -> Tensor:
        return self._logits_of(token_ids, num_kept=1 if last_only else 0)

    def _logits(self, hidden: Tensor) -> Tensor:
        return hidden  # the model's forward ends with its head

    def _step(self, token_ids: Tensor) -> Tensor:
        return self._logits_of(token_ids[:, None])[:, 0]

    def _logits_of(self, token_ids: Tensor, num_kept: int = 0) -> Tensor:
        """Logits of the last `num_kept` tokens where the model can leave the others out, of all with 0."""
        place, seq = self._cache.length, token_ids.shape[1]
        positions = self._places(place, seq).expand(len(token_ids), -1)
        slots, starts = torch.arange(place + seq, device=self._device), self._cache.starts
        real = torch.ones(len(token_ids), place + seq, dtype=torch.long, device=self._device)
        if starts is not None:
            real = (slots >= starts[:, None]).long()
        asked = {
            "input_ids": token_ids, "attention_mask": real, "position_ids": positions,
            "past_key_values": self._cache.layers, "use_cache": True, "logits_to_keep": num_kept,
        }  # fmt: skip
        with self._hooks.adding(self._adapters):
            found = self._network(**{name: value for name, value in asked.items() if name in self._accepts})
        logits: Tensor = found.logits
        return logits


class HuggingFaceCache:
    """A `RowCache` over transformers' cache, all tokens of all layers kept: where windows slide, the model masks."""

    def __init__(self, network: Any, batch: int, starts: Tensor | None) -> None:
        from transformers import DynamicCache

        self.layers: Any = DynamicCache()
        self.length = 0
        self.batch = batch
        self.starts = starts

    def advance(self, num_tokens: int) -> None:
        """The model has kept `num_tokens` more."""
        self.length += num_tokens

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` slots."""
        self._change(lambda kept: kept[:, :, :length])
        self.length = length

    def select(self, rows: Tensor, *, since: int = 0) -> None:
        """Keep these rows, in this order; all of each is copied, whatever it shares."""
        self._change(lambda kept: kept[rows])
        self.batch = len(rows)
        if self.starts is not None:
            self.starts = self.starts[rows]

    def copied(self, row: int, first: int, end: int) -> tuple[Tensor, ...]:
        """Keys and values of each layer in turn, (heads, tokens, width)."""
        return tuple(
            kept[row, :, first:end].clone()
            for layer in self.layers.layers
            if layer.is_initialized
            for kept in (layer.keys, layer.values)
        )

    def fill(self, firsts: Sequence[int], copies: Sequence[tuple[Tensor, ...]], length: int) -> None:
        """Let the first `length` slots hold copies, each row's from its slot `firsts` on."""
        like = next(copy for copy in copies if copy)
        filled = [
            _filled(firsts, [copy[n] if copy else None for copy in copies], length, one) for n, one in enumerate(like)
        ]
        for number, (keys, values) in enumerate(zip(filled[::2], filled[1::2], strict=True)):
            self.layers.update(keys, values, number)
        self.length = length

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        for layer in self.layers.layers:
            if layer.is_initialized:
                layer.keys, layer.values = change(layer.keys), change(layer.values)


def _filled(firsts: Sequence[int], copies: Sequence[Tensor | None], length: int, like: Tensor) -> Tensor:
    """(batch, heads, length, width): copies of (heads, tokens, width), cut, behind zeros."""
    kept = like.new_zeros(len(firsts), like.shape[0], length, like.shape[2])
    for row, (first, copy) in enumerate(zip(firsts, copies, strict=True)):
        if copy is not None and first < length:
            kept[row, :, first:] = copy[:, : length - first]
    return kept


class AdapterHooks:
    """Lets modules of a model add what the adapters of the generation that computes them give.

    Threads: any number may compute at once; each sees the adapters that it has put in itself.
    """

    def __init__(self, network: nn.Module) -> None:
        self._here = threading.local()
        self._handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in network.named_modules()
            if type(module).__name__ in _ADAPTED
        ]

    def adding(self, adapters: RowAdapters | None) -> "_Adding":
        """While this is entered, modules add these adapters in this thread."""
        return _Adding(self._here, adapters)

    def remove(self) -> None:
        """Leave the model as it was."""
        while self._handles:
            self._handles.pop().remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Tensor | None]:
        def add(module: nn.Module, given: tuple[Any, ...], out: Any) -> Tensor | None:
            adapters: RowAdapters | None = getattr(self._here, "adapters", None)
            return None if adapters is None else adapters.add(name, given[0], out)

        return add


_ADAPTED = ("Linear", "Conv1D")


class _Adding:
    def __init__(self, here: threading.local, adapters: RowAdapters | None) -> None:
        self._here, self._adapters = here, adapters

    def __enter__(self) -> None:
        self._here.adapters = self._adapters

    def __exit__(self, *exception: object) -> None:
        self._here.adapters = None


def require_cuttable(network: Any) -> None:
    """Raise `EngineError` for a model whose memory of the text is not a list of keys and values."""
    from transformers import DynamicCache

    kinds = {type(layer).__name__ for layer in DynamicCache(config=network.config).layers}
    if getattr(network, "_is_stateful", False) or not kinds <= _ATTENTION_LAYERS:
        raise EngineError(
            f"{type(network).__name__} remembers a text as a running state, which can be neither cut nor padded; convert it to "
            "GGUF and open that with the engine llamacpp"
        )


_ATTENTION_LAYERS = {"DynamicLayer", "DynamicSlidingWindowLayer"}
