"""A Llama-shaped model as a `Decoder`, with next to nothing between two matrix products.

`llama_parts` says what the maps are, `torch_products` how their weights stand in memory. The step of a single row is
`compiled`, where it can be, adapter included.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.experts.causal.llama_parts import LlamaBlock, LlamaParts
from interconnected_ai.experts.compilable_decoder import CompilableDecoder
from interconnected_ai.experts.compiled import CompiledModel, RowAdapter
from interconnected_ai.nn import KVCache


class LeanDecoder(CompilableDecoder):
    """Reads prompts and tokens on any device: equal to the model's own forward up to rounding (1e-4)."""

    can_adapt = True

    def __init__(self, parts: LlamaParts, max_seq_len: int) -> None:
        shape, table = parts.shape, parts.table
        super().__init__(shape.vocab_size, max_seq_len, table.device, table.dtype, most_rows=parts.most_rows)
        self._parts, self._shape = parts, shape
        self._room: _Room
        self._turns: Tensor  # (capacity, 2 · head width), a row for each position

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the keys and values of one row of this many tokens."""
        shape = self._shape
        return 2 * shape.n_layers * shape.n_kv_heads * shape.head_width * capacity * self._parts.table.element_size()

    def _new_cache(self, batch: int, capacity: int, starts: Tensor | None) -> KVCache:
        shape = self._shape
        self._turns = _turn_table(*self._parts.turns(torch.arange(capacity, device=self._device)))
        return KVCache(
            shape.n_layers, batch, shape.n_kv_heads, shape.head_width, capacity,
            device=self._device, dtype=self._dtype, starts=starts,
        )  # fmt: skip

    def _prepare(self, batch: int) -> None:
        self._room = _Room(self._parts, batch)
        self._row = None
        compiled = self._parts.compiled.model if batch == 1 else None
        if compiled is None:
            return
        adapter = self._row_adapter(compiled)
        if self._adapters is None or adapter is not None:
            self._row = compiled.row(self._cache.capacity, self._lacking[0], self._turns, adapter)

    def _row_adapter(self, compiled: CompiledModel) -> RowAdapter | None:
        """What is added to a row alone, as the compiled step reads it; None where nothing is, or it cannot be read."""
        adapters, blocks = self._adapters, self._parts.blocks
        if adapters is None:
            return None
        names = [
            [*block.attention_names, block.out_name, *block.gate_up_names, block.down_name] for block in blocks
        ]  # in the order of PRODUCTS
        parts = [adapters.of_row(0, name) for name in (*chain.from_iterable(names), "lm_head")]
        return compiled.adapter(parts)

    def _logits(self, hidden: Tensor) -> Tensor:
        return self._headed(hidden, len(hidden) // self._cache.batch)

    # Several tokens of a row

    def _read(self, token_ids: Tensor, *, last_only: bool = False) -> Tensor:
        batch, seq = token_ids.shape
        turns = self._parts.turns(self._places(self._cache.length, seq))
        cos, sin = (part.unsqueeze(-2) for part in turns)  # (batch or nothing, seq, 1, width / 2)
        visible = {window: self._visible(seq, window) for window in {block.window for block in self._parts.blocks}}
        hidden = F.embedding(token_ids, self._parts.table).view(batch * seq, -1)
        for layer, block in enumerate(self._parts.blocks):
            qkv = self._attended(block, hidden, seq).view(batch, seq, -1, self._shape.head_width)
            mixed = self._attend(block, layer, qkv, (cos, sin), visible[block.window])
            hidden = self._finished(block, mixed, hidden, seq)
        return hidden.view(batch, seq, -1)

    def _attend(
        self, block: LlamaBlock, layer: int, qkv: Tensor, turns: tuple[Tensor, Tensor], visible: Tensor | None
    ) -> Tensor:
        """(batch, seq, heads, width) of queries, keys and values → (batch · seq, n_heads · width)."""
        shape = self._shape
        q, k, v = qkv.split([shape.n_heads, shape.n_kv_heads, shape.n_kv_heads], dim=2)
        q = _turned(q if block.query_norm is None else block.query_norm(q), *turns)
        k = _turned(k if block.key_norm is None else block.key_norm(k), *turns)
        keys, values = self._cache.append(layer, k.transpose(1, 2), v.transpose(1, 2))
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), keys, values, attn_mask=visible, is_causal=visible is None,
            enable_gqa=shape.n_heads != shape.n_kv_heads,
        )  # fmt: skip
        return mixed.transpose(1, 2).reshape(qkv.shape[0] * qkv.shape[1], -1)

    # One token of a row

    def _step(self, token_ids: Tensor) -> Tensor:
        cache, place, room, attention = self._cache, self._cache.length, self._room, F.scaled_dot_product_attention
        torch.index_select(self._parts.table, 0, token_ids, out=room.hidden_rows)
        hidden = room.hidden
        starts = cache.starts
        room.set_turn(self._turns[place] if starts is None else self._turns.index_select(0, place - starts))
        slots = (
            cache.tensor.select(4, place).flatten(0, 1).unbind()
        )  # keys, values of each layer in turn, to be written
        kept = cache.tensor.narrow(4, 0, place + 1).flatten(0, 1).unbind()
        mask = None if self._mask is None else self._mask[..., : place + 1]
        for layer, block in enumerate(self._parts.blocks):
            qkv = self._attended(block, hidden, 1)
            queries, keys_now = room.turned(block, qkv)
            slots[2 * layer].copy_(keys_now)
            slots[2 * layer + 1].copy_(room.values(qkv))
            keys, values, seen = kept[2 * layer], kept[2 * layer + 1], mask
            if block.window is not None and block.window <= place:
                keys, values = keys[:, :, -block.window :], values[:, :, -block.window :]
                seen = None if mask is None else mask[..., -block.window :]
            room.mixed_heads.copy_(attention(queries, keys, values, attn_mask=seen))
            hidden = self._finished(block, room.mixed, hidden, 1, room)
        return self._headed(hidden, 1)[: room.batch]

    # Both: rows are `seq` tokens of each row of the batch, and what fills them up

    def _attended(self, block: LlamaBlock, hidden: Tensor, seq: int) -> Tensor:
        """(rows, d_model) → (rows, queries, keys and values)."""
        qkv = block.qkv(hidden)
        if self._adapters is not None:
            self._adapt(block.attention_names, seq, block.read_attention(hidden), qkv, self._shape.widths)
        return qkv

    def _finished(
        self, block: LlamaBlock, mixed: Tensor, hidden: Tensor, seq: int, room: "_Room | None" = None
    ) -> Tensor:
        """What attention gave and what went into the block → what comes out of it, (rows, d_model)."""
        inner, adapts = self._shape.inner, self._adapters is not None
        hidden = block.out(mixed, hidden)
        if adapts:
            self._adapt((block.out_name,), seq, mixed, hidden)
        gate_up = block.gate_up(hidden)
        if adapts:
            self._adapt(block.gate_up_names, seq, block.read_mlp(hidden), gate_up, (inner, inner))
        gated = F.silu(gate_up[:, :inner]).mul_(gate_up[:, inner:]) if room is None else room.gate(gate_up)
        hidden = block.down(gated, hidden)
        if adapts:
            self._adapt((block.down_name,), seq, gated, hidden)
        return hidden

    def _headed(self, hidden: Tensor, seq: int) -> Tensor:
        """(rows, d_model) → (rows, vocab_size)."""
        logits = self._parts.head(hidden)
        if self._adapters is not None:
            self._adapt(("lm_head",), seq, self._parts.read_head(hidden), logits)
        return logits

    def _adapt(
        self, names: Sequence[str], seq: int, hidden: Tensor, out: Tensor, widths: Sequence[int] | None = None
    ) -> None:
        """Add to each of the parts of `out` what the adapters of a module give.

        hidden: (rows, d_in). out: (rows, sum of the widths of the modules of these names), changed in place.
        """
        assert self._adapters is not None
        batch = self._cache.batch
        read, given = (rows[: batch * seq].unflatten(0, (batch, seq)) for rows in (hidden, out))
        for name, part in zip(names, [given] if widths is None else given.split(list(widths), dim=-1), strict=True):
            added = self._adapters.add(name, read, part)
            if added is not part:
                part.copy_(added)


class _Room:
    """Tensors that every step writes anew, and views of them that need not be made at every step.

    There are as many rows as the layout makes room for; those beyond the batch stay zero or hold what nobody reads.
    """

    def __init__(self, parts: LlamaParts, batch: int) -> None:
        shape, like = parts.shape, parts.table
        rows, width = parts.room_for(batch), shape.head_width
        wide = shape.n_heads * width
        self.batch = batch
        self.hidden, self.mixed = like.new_zeros(rows, shape.d_model), like.new_zeros(rows, wide)
        self.hidden_rows = self.hidden[:batch]
        groups = shape.n_heads // shape.n_kv_heads
        self.mixed_heads = self.mixed[:batch].view(batch, shape.n_kv_heads, groups, width)
        self._turned = like.new_zeros(batch, shape.num_turned, width)
        # The queries of a group look at the same keys: to attention they are so many queries of one head.
        self._queries = self._turned[:, : shape.n_heads].unflatten(1, (shape.n_kv_heads, groups))
        self._keys = self._turned[:, shape.n_heads :]
        row = sum(shape.widths)
        self._to_turn = (batch, shape.num_turned, width), (row, width, 1)
        self._values = (batch, shape.n_kv_heads, width), (row, width, 1), wide + shape.n_kv_heads * width
        self._n_heads = shape.n_heads
        self._gated = like.new_zeros(rows, shape.inner)
        self._gated_rows = self._gated[:batch]
        # A head's pairs are its first and second half, so the matrix that turns it has three diagonals.
        self._turn = like.new_zeros(batch, width, width)
        self._diagonals = [self._turn.diagonal(offset, 1, 2) for offset in (0, width // 2, -(width // 2))]

    def set_turn(self, row: Tensor) -> None:
        """The rows stand at these positions: (batch or nothing, 2 · width) of `_turn_table`."""
        half = self._turn.shape[-1] // 2
        for diagonal, values in zip(self._diagonals, row.split([2 * half, half, half], dim=-1), strict=True):
            diagonal.copy_(values)

    def gate(self, gate_up: Tensor) -> Tensor:
        """silu(gate) ⊙ up of the rows that are used: (rows, 2 · inner) → (rows, inner)."""
        inner = self._gated.shape[1]
        used = gate_up[: self.batch]
        torch.mul(F.silu(used[:, :inner]), used[:, inner:], out=self._gated_rows)
        return self._gated

    def turned(self, block: LlamaBlock, qkv: Tensor) -> tuple[Tensor, Tensor]:
        """Queries, (batch, key head, group, width), and keys, (batch, key head, width), turned by their position."""
        heads = qkv.as_strided(*self._to_turn)
        if block.query_norm is not None and block.key_norm is not None:
            queries, keys = heads[:, : self._n_heads], heads[:, self._n_heads :]
            heads = torch.cat([block.query_norm(queries), block.key_norm(keys)], dim=1)
        torch.bmm(heads, self._turn, out=self._turned)
        return self._queries, self._keys

    def values(self, qkv: Tensor) -> Tensor:
        """(batch, key head, width)."""
        return qkv.as_strided(*self._values)


def _turned(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(…, width) turned by the angles of (…, width / 2): the pairs are a head's first and second half."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _turn_table(cos: Tensor, sin: Tensor) -> Tensor:
    """(positions, 2 · width) from (positions, width / 2): what stands on the diagonals of the matrix that turns a head.

    One small product a layer instead of the five calls of `_turned`.
    """
    return torch.cat([cos, cos, sin, -sin], dim=-1)
