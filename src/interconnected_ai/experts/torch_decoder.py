"""An `ExpertModel` as a `Decoder`, with next to nothing between two matrix products.

A step at batch 1 is bound by reading the weights once. So there are no modules here, few kernels, and no mask where rows are
of one length; `torch_products` says how the weights stand in memory.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.prompts import require_known
from interconnected_ai.experts.torch_products import AddingMap, Layout, Map
from interconnected_ai.nn import KVCache, TransformerBlock


@dataclass(frozen=True)
class DecoderParts:
    """A model taken apart into maps of (rows, d_model), in the order in which a token passes them."""

    model: ExpertModel
    blocks: tuple["_Block", ...]
    norm: Map
    head: Map
    min_rows: int

    @classmethod
    def of(cls, model: ExpertModel, layout: Layout) -> "DecoderParts":
        """The maps of a model, its weights laid out; a layout that copies does not follow later changes of the model."""
        blocks = tuple(_Block.of(block, layout) for block in model.blocks)  # type: ignore[arg-type]
        return cls(model, blocks, _norm_of(model.norm), layout.linear(model.head), layout.min_rows)


@dataclass(frozen=True)
class _Block:
    qkv: Map
    out: AddingMap
    w_in: Map
    w_out: AddingMap
    norm_1: Map
    norm_2: Map
    n_heads: int
    norms_first: bool

    @classmethod
    def of(cls, block: TransformerBlock, layout: Layout) -> "_Block":
        attention, feed_forward = block.attention, block.feed_forward
        return cls(
            layout.linear(attention.qkv),
            layout.adding(attention.out),
            layout.gelu(feed_forward.w_in),
            layout.adding(feed_forward.w_out),
            _norm_of(block.norm_1),
            _norm_of(block.norm_2),
            attention.n_heads,
            block.norm == "pre",
        )

    def __call__(self, hidden: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """(rows, d_model) → the same; attend: (rows, 3 · d_model) queries, keys and values → (rows, d_model) mixed values."""
        if self.norms_first:
            hidden = self.out(attend(self.qkv(self.norm_1(hidden))), hidden)
            return self.w_out(self.w_in(self.norm_2(hidden)), hidden)
        hidden = self.norm_1(self.out(attend(self.qkv(hidden)), hidden))
        return self.norm_2(self.w_out(self.w_in(hidden), hidden))


class TorchDecoder:
    """Reads prompts and tokens on any device: equal to `ExpertModel.forward` in evaluation up to rounding (1e-5)."""

    def __init__(self, parts: DecoderParts) -> None:
        self._parts, self._model = parts, parts.model
        self._table, self._scale = parts.model.embedding.weight, math.sqrt(parts.model.config.d_model)
        self._cache: KVCache
        self._mask: Tensor | None = None
        self._origins: list[int] = []
        self._shared_slots = 0

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
        batch, longest, device = len(prompts), max(len(prompt) for prompt in prompts), self._table.device
        lacking = [longest - len(prompt) for prompt in prompts]
        input_ids = torch.tensor([[0] * n + list(p) for n, p in zip(lacking, prompts, strict=True)], device=device)
        starts = torch.tensor(lacking, device=device) if any(lacking) else None
        self._cache = self._model.new_cache(batch, capacity, starts=starts)
        self._mask = None if starts is None else _padding_mask(starts, capacity, self._table.dtype)
        self._origins, self._shared_slots = list(range(batch)), longest
        hidden = self._embedded(input_ids, starts, 0)
        for number, block in enumerate(self._parts.blocks):
            hidden = block(hidden, self._prompt_attention(number, batch, longest, block.n_heads))
        self._cache.advance(longest)
        last = hidden.view(batch, longest, -1)[:, -1]
        return self._parts.head(self._parts.norm(last)).float()

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row, (batch,): (batch, vocab_size) logits of the next one."""
        cache, place = self._cache, self._cache.length
        batch = cache.batch
        spare = max(0, self._parts.min_rows - batch)
        hidden = _filled(self._embedded(token_ids.to(self._table.device)[:, None], cache.starts, place), spare)
        written, read = cache.tensor.select(4, place), cache.tensor.narrow(4, 0, place + 1)
        mask = None if self._mask is None else self._mask[..., : place + 1]
        for block, slot, kept in zip(self._parts.blocks, written.unbind(), read.unbind(), strict=True):
            hidden = block(hidden, _token_attention(slot, kept, mask, spare))
        cache.advance(1)
        return self._parts.head(self._parts.norm(hidden))[:batch].float()

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

    def _embedded(self, input_ids: Tensor, starts: Tensor | None, place: int) -> Tensor:
        """(batch, seq) ids whose first stands in slot `place` → (batch · seq, d_model) with positions."""
        batch, seq = input_ids.shape
        table = self._model.positions.pe
        if starts is None:
            positions = table[place : place + seq].expand(batch, seq, -1)
        else:
            slots = torch.arange(place, place + seq, device=starts.device)
            positions = table[(slots - starts[:, None]).clamp_(min=0)]
        return torch.add(positions, self._table[input_ids], alpha=self._scale).view(batch * seq, -1)

    def _prompt_attention(self, layer: int, batch: int, seq: int, n_heads: int) -> Callable[[Tensor], Tensor]:
        mask = self._mask
        if mask is not None:
            causal = torch.ones(seq, seq, dtype=torch.bool, device=mask.device).tril()
            itself = torch.eye(seq, dtype=torch.bool, device=mask.device)  # or a padding token would see nothing
            visible = (causal & (mask[..., :seq] == 0)) | itself
        else:
            visible = None

        def attend(qkv: Tensor) -> Tensor:
            q, k, v = qkv.view(batch, seq, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
            k, v = self._cache.append(layer, k, v)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)
            return mixed.transpose(1, 2).reshape(batch * seq, -1)

        return attend


def _filled(rows: Tensor, spare: int) -> Tensor:
    """(rows, d_model) with `spare` rows of zeros below."""
    return F.pad(rows, (0, 0, 0, spare)) if spare else rows


def _token_attention(slot: Tensor, kept: Tensor, mask: Tensor | None, spare: int) -> Callable[[Tensor], Tensor]:
    """Attention of one token a row. slot: (2, batch, head, width), to be written; kept: (2, batch, head, slots, width)."""
    keys, values = kept.unbind()

    def attend(qkv: Tensor) -> Tensor:
        _, batch, n_heads, width = slot.shape
        parts = qkv[:batch].view(batch, 3, n_heads, width)
        slot.copy_(parts[:, 1:].transpose(0, 1))
        mixed = F.scaled_dot_product_attention(parts[:, 0, :, None], keys, values, attn_mask=mask)
        return _filled(mixed.reshape(batch, -1), spare)  # (batch, head, 1, width) → (rows, d_model)

    return attend


def _padding_mask(starts: Tensor, capacity: int, dtype: torch.dtype) -> Tensor:
    """(batch, 1, 1, capacity): -inf at a row's padding. Numbers, since a bool mask would be turned into them at each step."""
    padding = torch.arange(capacity, device=starts.device) < starts[:, None]
    mask = torch.zeros(padding.shape, dtype=dtype, device=starts.device)
    return mask.masked_fill_(padding, -math.inf)[:, None, None]


def _norm_of(norm: nn.LayerNorm) -> Map:
    shape, weight, bias, eps = list(norm.normalized_shape), norm.weight, norm.bias, norm.eps
    return lambda hidden: torch.layer_norm(hidden, shape, weight, bias, eps)
