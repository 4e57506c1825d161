"""Attention and its cache: torch's own module is the reference, and token by token is all at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from interconnected_ai.nn import KVCache, MultiHeadAttention
from properties import examples

few = examples(25)


def torchs(ours: MultiHeadAttention, d_model: int) -> nn.MultiheadAttention:
    """torch.nn.MultiheadAttention with our weights; it stacks query, key and value in the same order."""
    theirs = nn.MultiheadAttention(d_model, ours.n_heads, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    return theirs


def made(d_model: int = 24, n_heads: int = 3) -> MultiHeadAttention:
    attention = MultiHeadAttention(d_model, n_heads, generator=torch.Generator().manual_seed(0)).eval()
    nn.init.normal_(attention.qkv.bias)
    nn.init.normal_(attention.out.bias)
    return attention


@pytest.mark.parametrize("visible", ["all", "causal", "some"])
def test_it_is_torchs_attention(visible: str) -> None:
    ours, hidden = made(), torch.randn(2, 7, 24)
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    drawn = torch.rand(7, 7, generator=torch.Generator().manual_seed(3)) < 0.6
    some = causal & (drawn | torch.eye(7, dtype=torch.bool))
    mask = {"all": None, "causal": causal, "some": some}[visible]
    wanted, _ = torchs(ours, 24)(hidden, hidden, hidden, attn_mask=None if mask is None else ~mask, need_weights=False)
    found = ours(hidden, is_causal=True) if visible == "causal" else ours(hidden, mask)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="d_model=10 cannot be dealt out over n_heads=3"):
        MultiHeadAttention(10, 3)


def test_every_parameter_gets_a_gradient_and_dropout_acts_in_training_only() -> None:
    attention, hidden = MultiHeadAttention(16, 2, dropout=0.5), torch.randn(2, 5, 16)
    attention(hidden, is_causal=True).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())
    assert not torch.equal(attention(hidden), attention(hidden))
    assert torch.equal(attention.eval()(hidden), attention(hidden))


# The cache


def read_in_parts(attention: MultiHeadAttention, hidden: Tensor, sizes: list[int], capacity: int) -> Tensor:
    """The outputs of a causal pass, its tokens given in parts of these sizes."""
    batch, _, d_model = hidden.shape
    cache = KVCache(1, batch, attention.n_heads, d_model // attention.n_heads, capacity)
    outs = []
    for part in hidden.split(sizes, dim=1):
        seq, keys = part.shape[1], cache.length + part.shape[1]
        visible = torch.ones(seq, keys, dtype=torch.bool).tril(cache.length)
        outs.append(attention(part, visible, cache=cache))
        cache.advance(seq)
    return torch.cat(outs, dim=1)


@few
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 3))
def test_part_by_part_is_all_at_once(sizes: list[int], batch: int, spare: int) -> None:
    attention, seq = made(), sum(sizes)
    hidden = torch.randn(batch, seq, 24, generator=torch.Generator().manual_seed(seq))
    with torch.no_grad():
        found = read_in_parts(attention, hidden, sizes, seq + spare)
        torch.testing.assert_close(found, attention(hidden, is_causal=True), atol=1e-5, rtol=1e-5)


def filled(length: int = 3, batch: int = 3, starts: Tensor | None = None) -> KVCache:
    cache = KVCache(2, batch, 2, 4, 6, starts=starts)
    cache.tensor.copy_(torch.randn(cache.tensor.shape, generator=torch.Generator().manual_seed(1)))
    cache.advance(length)
    return cache


def test_what_is_kept_comes_back_without_a_copy() -> None:
    cache, keys, values = filled(), torch.randn(3, 2, 2, 4), torch.randn(3, 2, 2, 4)
    kept_keys, kept_values = cache.append(1, keys, values)
    assert kept_keys.shape == kept_values.shape == (3, 2, 5, 4)
    assert torch.equal(kept_keys[:, :, 3:], keys)
    assert torch.equal(kept_values[:, :, 3:], values)
    assert kept_keys.untyped_storage().data_ptr() == cache.tensor.untyped_storage().data_ptr()
    assert cache.length == 3  # grows when all layers have kept theirs


def test_cropping_forgets_the_last_slots() -> None:
    cache = filled()
    cache.crop(1)
    keys, _ = cache.append(0, torch.zeros(3, 2, 1, 4), torch.zeros(3, 2, 1, 4))
    assert cache.length == 1
    assert torch.equal(keys[:, :, 1], torch.zeros(3, 2, 4))


@pytest.mark.parametrize("rows", [[2, 0], [1, 1, 1, 2], [0], [2, 1, 0]])
def test_rows_are_kept_dropped_and_repeated(rows: list[int]) -> None:
    cache = filled(starts=torch.tensor([0, 1, 2]))
    before = cache.tensor.clone()
    cache.select(rows)
    assert cache.batch == len(rows)
    assert torch.equal(cache.tensor[..., :3, :], before[:, :, rows, :, :3])
    assert cache.starts is not None
    assert cache.starts.tolist() == rows


def test_rows_with_one_beginning_exchange_what_came_after_it() -> None:
    cache = filled()
    cache.tensor[..., :2, :] = cache.tensor[:, :, :1, :, :2].clone()
    before, memory = cache.tensor.clone(), cache.tensor.data_ptr()
    cache.select([2, 2, 0], since=2)
    assert torch.equal(cache.tensor[..., :3, :], before[:, :, [2, 2, 0], :, :3])
    assert cache.tensor.data_ptr() == memory


def test_a_cache_knows_its_bytes() -> None:
    cache = KVCache(6, 2, 8, 64, 100, dtype=torch.float16)
    assert cache.num_bytes == 2 * 6 * 512 * 100 * 2 * 2
    assert (cache.batch, cache.capacity, cache.length) == (2, 100, 0)
