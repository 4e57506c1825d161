"""The KV cache: what is kept, in which slot, and which rows stay."""

import pytest
import torch
from torch import Tensor

from interconnected_ai.nn import KVCache

LAYERS, BATCH, HEADS, WIDTH, CAPACITY = 2, 3, 2, 4, 7


def new(**settings: object) -> KVCache:
    return KVCache(LAYERS, BATCH, HEADS, WIDTH, CAPACITY, **settings)  # type: ignore[arg-type]


def entries(num_tokens: int, seed: int, batch: int = BATCH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, batch, HEADS, num_tokens, WIDTH, generator=generator)
    return keys, values


def filled(num_tokens: int = 5, **settings: object) -> tuple[KVCache, list[tuple[Tensor, Tensor]]]:
    """A cache with `num_tokens` of every layer, and what it was given."""
    cache = new(**settings)
    given = [entries(num_tokens, layer) for layer in range(LAYERS)]
    for layer, (keys, values) in enumerate(given):
        cache.append(layer, keys, values)
    cache.advance(num_tokens)
    return cache, given


def kept(cache: KVCache, layer: int) -> tuple[Tensor, Tensor]:
    """What a layer would attend to."""
    return tuple(cache.tensor[layer, which, :, :, : cache.length] for which in (0, 1))  # type: ignore[return-value]


def test_its_size_is_known() -> None:
    cache = new(dtype=torch.bfloat16)
    assert (cache.capacity, cache.batch, cache.length) == (CAPACITY, BATCH, 0)
    assert cache.num_bytes == LAYERS * 2 * BATCH * HEADS * CAPACITY * WIDTH * 2
    assert cache.starts is None


def test_what_is_appended_comes_back_after_what_was_there_and_without_a_copy() -> None:
    cache, given = filled(3)
    more = [entries(2, 10 + layer) for layer in range(LAYERS)]
    for layer in range(LAYERS):
        keys, values = cache.append(layer, *more[layer])
        assert torch.equal(keys, torch.cat([given[layer][0], more[layer][0]], dim=2))
        assert torch.equal(values, torch.cat([given[layer][1], more[layer][1]], dim=2))
        assert keys.data_ptr() == cache.tensor[layer, 0].data_ptr()
        assert values.data_ptr() == cache.tensor[layer, 1].data_ptr()
    assert cache.length == 3, "all layers keep theirs before the length grows"
    cache.advance(2)
    assert cache.length == 5


def test_it_can_be_filled_to_the_last_slot_and_not_further() -> None:
    cache, _ = filled(CAPACITY)
    assert cache.length == CAPACITY
    with pytest.raises(AssertionError, match="8 tokens in a cache of 7"):
        cache.append(0, *entries(1, 1))


def test_cropping_forgets_the_end_and_the_next_token_takes_its_place() -> None:
    cache, given = filled(5)
    cache.crop(5)
    cache.crop(2)
    assert cache.length == 2
    more = entries(1, 7)
    keys, values = cache.append(1, *more)
    assert torch.equal(keys, torch.cat([given[1][0][:, :, :2], more[0]], dim=2))
    assert torch.equal(values, torch.cat([given[1][1][:, :, :2], more[1]], dim=2))
    cache.crop(0)
    assert cache.length == 0
    for length in (1, -1):
        with pytest.raises(AssertionError, match=f"crop to {length} of 0"):
            cache.crop(length)


@pytest.mark.parametrize("rows", [[2, 0], [1, 1, 1, 0], [0, 1, 2], torch.tensor([2, 2])])
def test_rows_are_chosen_repeated_and_dropped_with_their_starts(rows: list[int] | Tensor) -> None:
    cache, given = filled(4, starts=torch.tensor([0, 1, 3]))
    cache.select(rows)
    index = torch.as_tensor(rows)
    assert (cache.batch, cache.length, cache.capacity) == (len(index), 4, CAPACITY)
    for layer in range(LAYERS):
        for found, wanted in zip(kept(cache, layer), given[layer], strict=True):
            assert torch.equal(found, wanted[index])
    assert cache.starts is not None
    assert torch.equal(cache.starts, torch.tensor([0, 1, 3])[index])


def test_without_starts_none_are_made() -> None:
    cache, _ = filled(2)
    cache.select([0])
    assert cache.starts is None


def test_what_all_rows_share_is_not_copied_when_they_change_places() -> None:
    cache, given = filled(5)
    for layer in range(LAYERS):  # the first two slots are alike in all rows
        cache.tensor[layer, :, :, :, :2] = cache.tensor[layer, :, :1, :, :2].clone()
    cache.tensor[..., 5:, :] = 7.0  # what stands in empty slots
    memory, before = cache.tensor.data_ptr(), cache.tensor[:, :, :, :, 5:].clone()
    cache.select([2, 0, 0], since=2)
    assert cache.tensor.data_ptr() == memory
    for layer in range(LAYERS):
        for found, wanted in zip(kept(cache, layer), given[layer], strict=True):
            assert torch.equal(found[:, :, 2:], wanted[[2, 0, 0]][:, :, 2:])
            assert torch.equal(found[:, :, :2], wanted[[0, 0, 0]][:, :, :2])
    assert torch.equal(cache.tensor[:, :, :, :, 5:], before), "empty slots are left alone"
    with pytest.raises(AssertionError, match="2 rows in place of 3"):
        cache.select([0, 1], since=2)


def test_a_copy_is_not_made_of_empty_slots() -> None:
    cache, _ = filled(2)
    cache.tensor[..., 2:, :] = torch.nan
    cache.select([0, 1])
    assert cache.tensor[..., :2, :].isfinite().all()
