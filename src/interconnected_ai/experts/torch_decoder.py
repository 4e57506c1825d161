"""An `ExpertModel` as a `Decoder`, with next to nothing between two matrix products.

A step at batch 1 is bound by reading the weights once. So there are no modules here, few kernels, and no mask where rows are
of one length; `torch_products` says how the weights stand in memory. A single row's step is `compiled`, where it can be.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.experts.compilable_decoder import CompilableDecoder
from interconnected_ai.experts.compiled import (
    NOT_COMPILED,
    BlockWeights,
    Compiled,
    ModelWeights,
    Norm,
    Product,
    StepLibrary,
)
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.torch_products import AddingMap, Layout, Map
from interconnected_ai.nn import KVCache, TransformerBlock


@dataclass(frozen=True)
class DecoderParts:
    """A model taken apart into maps of (rows, d_model), in the order in which a token passes them."""

    model: ExpertNetwork
    blocks: tuple["_Block", ...]
    norm: Map
    head: Map
    room_for: Callable[[int], int]
    most_rows: int | None = None
    compiled: Compiled = NOT_COMPILED

    @classmethod
    def of(cls, model: ExpertNetwork, layout: Layout, library: StepLibrary | None = None) -> "DecoderParts":
        """The maps of a model, its weights laid out; a layout that copies does not follow later changes of the model.

        library: what computes the steps of a single row; None is the maps.
        """
        blocks = tuple(_Block.of(block, layout) for block in model.blocks)  # type: ignore[arg-type]
        compiled = NOT_COMPILED if library is None else Compiled.of(weights_of(model), library)
        return cls(
            model, blocks, _norm_of(model.norm), layout.linear(model.head), layout.room_for, layout.most_rows, compiled
        )


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

    def attended(self, hidden: Tensor) -> Tensor:
        """(rows, d_model) → (rows, 3 · d_model): queries, keys and values."""
        return self.qkv(self.norm_1(hidden) if self.norms_first else hidden)

    def finished(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        """What attention gave and what went into the block, both (rows, d_model) → what comes out of it."""
        hidden = self.out(mixed, hidden)
        if self.norms_first:
            return self.w_out(self.w_in(self.norm_2(hidden)), hidden)
        hidden = self.norm_1(hidden)
        return self.norm_2(self.w_out(self.w_in(hidden), hidden))


class TorchDecoder(CompilableDecoder):
    """Reads prompts and tokens on any device: equal to `ExpertModel.forward` in evaluation up to rounding (1e-5)."""

    def __init__(self, parts: DecoderParts) -> None:
        self._parts, self._model = parts, parts.model
        self._table, self._scale = parts.model.embedding.weight, math.sqrt(parts.model.config.d_model)
        shape = parts.model.config
        table, most_rows = self._table, parts.most_rows
        super().__init__(shape.vocab_size, shape.max_seq_len, table.device, table.dtype, most_rows=most_rows)
        self._room: _Room

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of one row of this many tokens."""
        shape = self._model.config
        return 2 * shape.n_layers * shape.d_model * capacity * self._table.element_size()

    def _new_cache(self, batch: int, capacity: int, starts: Tensor | None) -> KVCache:
        return self._model.new_cache(batch, capacity, starts=starts)

    def _prepare(self, batch: int) -> None:
        self._room = _Room(self._parts, batch)
        compiled = self._parts.compiled.model if batch == 1 else None
        self._row = None if compiled is None else compiled.row(self._cache.capacity, self._lacking[0], None)

    def _read(self, token_ids: Tensor, *, last_only: bool = False) -> Tensor:
        batch, seq = token_ids.shape
        visible = self._visible(seq)
        hidden = self._embedded(token_ids, self._cache.length).view(batch * seq, -1)
        for layer, block in enumerate(self._parts.blocks):
            hidden = block.finished(self._attend(block.attended(hidden), layer, batch, visible), hidden)
        return hidden.view(batch, seq, -1)

    def _logits(self, hidden: Tensor) -> Tensor:
        return self._parts.head(self._parts.norm(hidden))

    def _step(self, token_ids: Tensor) -> Tensor:
        cache, place, room, attention = self._cache, self._cache.length, self._room, F.scaled_dot_product_attention
        pe, starts, hidden = self._model.positions.pe, cache.starts, room.hidden
        positions = pe[place] if starts is None else pe.index_select(0, place - starts)
        tokens = self._table.index_select(0, token_ids)
        torch.add(positions, tokens, alpha=self._scale, out=room.hidden_rows)
        slots = cache.tensor.select(4, place).unbind()  # a layer's (key or value, batch, head, width), to be written
        kept = cache.tensor.narrow(4, 0, place + 1).flatten(0, 1).unbind()  # keys and values of each layer in turn
        mask = None if self._mask is None else self._mask[..., : place + 1]
        for block, slot, keys, values in zip(self._parts.blocks, slots, kept[::2], kept[1::2], strict=True):
            qkv = block.attended(hidden)
            slot.copy_(room.keys_and_values(qkv))
            room.mixed_heads.copy_(attention(room.queries(qkv), keys, values, attn_mask=mask))
            hidden = block.finished(room.mixed, hidden)
        return self._logits(hidden)[: room.batch]

    def _embedded(self, input_ids: Tensor, place: int) -> Tensor:
        """(batch, seq) ids whose first stands in slot `place` → (batch, seq, d_model) with positions."""
        seq, table = input_ids.shape[1], self._model.positions.pe
        padded = self._cache.starts is not None
        positions = table[self._places(place, seq)] if padded else table[place : place + seq]
        return torch.add(positions, F.embedding(input_ids, self._table), alpha=self._scale)

    def _attend(self, qkv: Tensor, layer: int, batch: int, visible: Tensor | None) -> Tensor:
        """Attention of several tokens a row: (batch · seq, 3 · d_model) → (batch · seq, d_model)."""
        rows, width = qkv.shape
        q, k, v = qkv.view(batch, rows // batch, 3, self._model.config.n_heads, -1).permute(2, 0, 3, 1, 4)
        k, v = self._cache.append(layer, k, v)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)
        return mixed.transpose(1, 2).reshape(rows, width // 3)


class _Room:
    """Tensors that every step writes anew, and views of them that need not be made at every step.

    There are as many rows as the layout makes room for; those beyond the batch stay zero or hold what nobody reads.
    """

    def __init__(self, parts: DecoderParts, batch: int) -> None:
        shape, like = parts.model.config, parts.model.embedding.weight
        width, head_width = shape.d_model, shape.head_width
        self.batch = batch
        self.hidden, self.mixed = like.new_zeros(2, parts.room_for(batch), width).unbind()
        self.hidden_rows = self.hidden[:batch]
        self.mixed_heads = self.mixed[:batch].view(batch, shape.n_heads, 1, head_width)
        self._queries = (batch, shape.n_heads, 1, head_width), (3 * width, head_width, head_width, 1)
        self._kept = (2, batch, shape.n_heads, head_width), (width, 3 * width, head_width, 1), width

    def queries(self, qkv: Tensor) -> Tensor:
        """(rows, 3 · d_model) → (batch, head, 1, width) in one call."""
        return qkv.as_strided(*self._queries)

    def keys_and_values(self, qkv: Tensor) -> Tensor:
        """(rows, 3 · d_model) → (key or value, batch, head, width) in one call."""
        return qkv.as_strided(*self._kept)


def weights_of(model: ExpertNetwork) -> ModelWeights:
    """A model's weights in their own place, for the compiled step."""
    shape = model.config
    return ModelWeights(
        n_heads=shape.n_heads, n_kv_heads=shape.n_heads, head_width=shape.head_width, is_rms=False,
        norms_first=shape.norm == "pre", table=model.embedding.weight.detach(), table_scale=math.sqrt(shape.d_model),
        positions=model.positions.pe.detach(), blocks=tuple(_block_weights(block) for block in model.blocks),  # type: ignore[arg-type]
        norm=_norm_weights(model.norm), head=Product.of(model.head),
    )  # fmt: skip


def _block_weights(block: TransformerBlock) -> BlockWeights:
    qkv, feed_forward = Product.of(block.attention.qkv), block.feed_forward
    assert qkv.bias is not None
    query, key, value = map(Product, qkv.weight.chunk(3), qkv.bias.chunk(3))
    return BlockWeights(
        _norm_weights(block.norm_1), _norm_weights(block.norm_2), query, key, value, Product.of(block.attention.out),
        up=Product.of(feed_forward.w_in), down=Product.of(feed_forward.w_out),
    )  # fmt: skip


def _norm_weights(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach(), norm.bias.detach(), norm.eps)


def _norm_of(norm: nn.LayerNorm) -> Map:
    shape, weight, bias, eps = list(norm.normalized_shape), norm.weight, norm.bias, norm.eps
    return lambda hidden: torch.layer_norm(hidden, shape, weight, bias, eps)
