"""An `ExpertModel` as a `Decoder`: `forward` reads the prompts, a step of its own adds one token to every row.

A step at batch 1 is bound by reading the weights, so what stands between two products must be next to nothing: few kernels,
no modules, no masks where rows are of one length.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.prompts import require_known
from interconnected_ai.nn import MultiHeadAttention, TransformerBlock

Map = Callable[[Tensor], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]
Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]


class TorchDecoder:
    """Greedy or sampled, alone or in a batch, on any device: equal to `ExpertModel.forward` up to rounding (1e-5)."""

    def __init__(self, model: ExpertModel) -> None:
        self._model = model
        self._table, self._scale = model.embedding.weight, math.sqrt(model.config.d_model)
        self._steps = [_step_of(block) for block in model.blocks]  # type: ignore[arg-type]
        self._norm, self._head = _norm_of(model.norm), _product_of(model.head)
        self._cache = model.new_cache(0, 0)
        self._mask: Tensor | None = None

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._model.config.vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self._model.config.max_seq_len

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """Forget everything, read the prompts: (batch, vocab_size) logits of the token after each, in float32."""
        for prompt in prompts:
            require_known(prompt, self.vocab_size)
        longest, device = max(len(prompt) for prompt in prompts), self._table.device
        input_ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        starts = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)
        padded = any(len(prompt) < longest for prompt in prompts)
        self._cache = self._model.new_cache(len(prompts), capacity, starts=starts if padded else None)
        self._mask = self._mask_of(starts, capacity) if padded else None
        self._shared_slots, self._origins = longest, list(range(len(prompts)))
        with _evaluating(self._model):
            return self._model(input_ids, cache=self._cache, last_only=True)[:, 0].float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one."""
        cache, place = self._cache, self._cache.length
        table = self._model.positions.pe
        position = table[place] if cache.starts is None else table[place - cache.starts]
        embedded = self._table[token_ids.to(self._table.device)]
        hidden = torch.add(position, embedded, alpha=self._scale)  # (batch, d_model)
        written, read = cache.tensor.select(4, place), cache.tensor.narrow(4, 0, place + 1)
        mask = None if self._mask is None else self._mask[..., : place + 1]
        for step, slot, (keys, values) in zip(self._steps, written, read, strict=True):
            hidden = step(hidden, slot, keys, values, mask)
        cache.advance(1)
        return self._head(self._norm(hidden)).float()

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        if list(rows) == list(range(self._cache.batch)):
            return
        origins = [self._origins[row] for row in rows]
        # The beams of a prompt have read the same prompt: only what came after it changes places.
        self._cache.select(rows, since=self._shared_slots if origins == self._origins else 0)
        if self._mask is not None and origins != self._origins:
            self._mask = self._mask[torch.tensor(rows, device=self._mask.device)]
        self._origins = origins

    def _mask_of(self, starts: Tensor, capacity: int) -> Tensor:
        """(batch, 1, 1, capacity): -inf at a row's padding. Numbers, since a bool mask would be turned into them each step."""
        padding = torch.arange(capacity, device=starts.device) < starts[:, None]
        mask = torch.zeros(padding.shape, dtype=self._table.dtype, device=starts.device)
        return mask.masked_fill_(padding, -math.inf)[:, None, None]


class _evaluating:
    """Dropout off while a model reads, whatever mode it is in."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._was_training = model, model.training

    def __enter__(self) -> None:
        if self._was_training:
            self._model.eval()

    def __exit__(self, *_: Any) -> None:
        if self._was_training:
            self._model.train()


def _step_of(block: TransformerBlock) -> Step:
    """One token a row through a block. The maps take (batch, d_model), the cache's slot to write, keys, values, mask."""
    attend, feed = _attend_of(block.attention), _feed_of(block)
    norm_1, norm_2 = _norm_of(block.norm_1), _norm_of(block.norm_2)

    def post(hidden: Tensor, slot: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        hidden = norm_1(attend(hidden, slot, keys, values, mask).add_(hidden))
        return norm_2(feed(hidden).add_(hidden))

    def pre(hidden: Tensor, slot: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        hidden = attend(norm_1(hidden), slot, keys, values, mask).add_(hidden)
        return feed(norm_2(hidden)).add_(hidden)

    return post if block.norm == "post" else pre


def _attend_of(attention: MultiHeadAttention) -> Attend:
    qkv, out, heads = _product_of(attention.qkv), _product_of(attention.out), attention.n_heads

    def attend(hidden: Tensor, slot: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        batch, d_model = hidden.shape
        parts = qkv(hidden).view(batch, 3, heads, 1, d_model // heads)
        slot.copy_(parts[:, 1:, :, 0].transpose(0, 1))  # (key or value, batch, head, width)
        mixed = F.scaled_dot_product_attention(parts[:, 0], keys, values, attn_mask=mask)  # (batch, head, 1, width)
        return out(mixed.reshape(batch, d_model))

    return attend


def _feed_of(block: TransformerBlock) -> Map:
    w_in, w_out, activation = (
        _product_of(block.feed_forward.w_in),
        _product_of(block.feed_forward.w_out),
        block.feed_forward.activation,
    )
    return lambda hidden: w_out(activation(w_in(hidden)))


def _norm_of(norm: nn.LayerNorm) -> Map:
    shape, weight, bias, eps = list(norm.normalized_shape), norm.weight, norm.bias, norm.eps
    return lambda hidden: torch.layer_norm(hidden, shape, weight, bias, eps)


def _product_of(linear: nn.Linear) -> Map:
    weight, bias = linear.weight, linear.bias
    return lambda hidden: F.linear(hidden, weight, bias)
