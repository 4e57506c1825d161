"""Keys and values of the tokens read so far, in memory that is allocated once."""

from collections.abc import Sequence

import torch
from torch import Tensor


class KVCache:
    """Room for `capacity` tokens of every row in every layer.

    All rows write to the same slot, so a step is one contiguous copy whatever the rows' lengths: rows of different
    lengths stand flush right (padded on the left), and `starts` says in which slot each row's first token stands.
    """

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_heads: int,
        head_width: int,
        capacity: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        starts: Tensor | None = None,
    ) -> None:
        shape = (n_layers, 2, batch, n_heads, capacity, head_width)
        self.tensor = torch.empty(shape, device=device, dtype=dtype)  # (layer, key or value, batch, head, slot, width)
        self.length = 0
        self.starts = starts

    @property
    def capacity(self) -> int:
        """Slots of a row."""
        return self.tensor.shape[4]

    @property
    def batch(self) -> int:
        """Rows."""
        return self.tensor.shape[2]

    @property
    def num_bytes(self) -> int:
        """Bytes of all keys and values, filled or not."""
        return self.tensor.numel() * self.tensor.element_size()

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep (batch, n_heads, seq, head_width) of one layer after what is kept; returns all of it, views without a copy.

        The length grows with `advance`, once all layers have kept theirs.
        """
        end = self.length + keys.shape[2]
        assert end <= self.capacity, f"{end} tokens in a cache of {self.capacity}"
        kept_keys, kept_values = self.tensor[layer, 0], self.tensor[layer, 1]
        kept_keys[:, :, self.length : end] = keys
        kept_values[:, :, self.length : end] = values
        return kept_keys[:, :, :end], kept_values[:, :, :end]

    def advance(self, num_tokens: int) -> None:
        """All layers have kept `num_tokens` more."""
        self.length += num_tokens

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` slots."""
        assert 0 <= length <= self.length, f"crop to {length} of {self.length}"
        self.length = length

    def copied(self, row: int, first: int, end: int) -> tuple[Tensor, ...]:
        """A copy of what a row holds in the slots from `first` to before `end`; `fill` takes it."""
        return (self.tensor[:, :, row, :, first:end].clone(),)

    def fill(self, firsts: Sequence[int], copies: Sequence[tuple[Tensor, ...]], length: int) -> None:
        """Let the first `length` slots hold copies of other rows' slots, each row's from its slot `firsts` on.

        A copy that is longer is cut; a row whose first slot is `length` or later needs none.
        """
        for row, (first, copy) in enumerate(zip(firsts, copies, strict=True)):
            kept = self.tensor[:, :, row, :, :length]
            # What padding holds is multiplied by 0, which a stray NaN would survive.
            kept[..., :first, :] = 0
            if first < length:
                kept[..., first:, :] = copy[0][..., : length - first, :]
        self.length = length

    def select(self, rows: Tensor | Sequence[int], *, since: int = 0) -> None:
        """Keep these rows, in this order; a row may come several times (beam search) or not at all (it is finished).

        since: what stands before this slot is equal in each row and the row that takes its place, and is not copied; there
        must be as many rows as before.
        """
        index = torch.as_tensor(rows, device=self.tensor.device)
        if since:
            assert len(index) == self.batch, f"{len(index)} rows in place of {self.batch}"
            changing = self.tensor[..., since : self.length, :]
            changing.copy_(changing.index_select(2, index))
            return
        layers, both, _, heads, slots, width = self.tensor.shape
        chosen = self.tensor.new_empty(layers, both, len(index), heads, slots, width)
        torch.index_select(self.tensor[..., : self.length, :], 2, index, out=chosen[..., : self.length, :])
        self.tensor = chosen
        if self.starts is not None:
            self.starts = self.starts[index.to(self.starts.device)]
