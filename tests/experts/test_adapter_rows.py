"""Rows of one batch with adapters of their own: each is what it is alone, whatever stands beside it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interconnected_ai.experts import AdapterWeights, LowRank
from interconnected_ai.experts.adapters.rows import GroupedAdapters
from properties import examples

D_IN, D_OUT = 12, 20


def adapter(seed: int, rank: int, *names: str, scale: float = 1.5) -> AdapterWeights:
    generator = torch.Generator().manual_seed(seed)
    raw = {
        name: LowRank(
            torch.randn(rank, D_IN, generator=generator), torch.randn(D_OUT, rank, generator=generator), scale
        )
        for name in names
    }
    return AdapterWeights(raw).prepared(torch.device("cpu"), torch.float32)


ADAPTERS = [
    None,
    adapter(1, 4, "q", "v"),
    adapter(2, 2, "q", "v"),
    adapter(3, 4, "q"),
    adapter(4, 1, "v"),
    adapter(5, 3, "q", "v"),
]


def row_by_row(adapters: list[AdapterWeights | None], name: str, hidden: Tensor, out: Tensor) -> Tensor:
    rows = []
    for weights, x, y in zip(adapters, hidden, out, strict=True):
        part = None if weights is None else weights.modules.get(name)
        rows.append(y if part is None else y + x @ part.a.T @ part.b.T)
    return torch.stack(rows)


def drawn(batch: int, seq: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, seq, D_IN, generator=generator), torch.randn(batch, seq, D_OUT, generator=generator)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.sampled_from([1, 3]), st.sampled_from("qvx"), st.data())
@examples(80)
def test_every_row_has_its_own_adapters_sum_also_after_a_selection(
    chosen: list[int], seq: int, name: str, data: st.DataObject
) -> None:
    adapters = [ADAPTERS[number] for number in chosen]
    grouped = GroupedAdapters(adapters)
    for _ in range(3):
        hidden, out = drawn(len(adapters), seq)
        wanted = row_by_row(adapters, name, hidden, out)
        wide = torch.zeros(len(adapters), seq, D_OUT + 7)
        part = wide[..., 3 : 3 + D_OUT]
        part.copy_(out)
        assert torch.allclose(grouped.add(name, hidden, part), wanted, atol=1e-5)
        assert wide[..., :3].abs().sum() == 0 == wide[..., 3 + D_OUT :].abs().sum()
        kept = data.draw(st.lists(st.integers(0, len(adapters) - 1), min_size=1, max_size=8))
        adapters = [adapters[row] for row in kept]
        grouped.select(kept)


def test_one_token_a_row_may_come_without_its_dimension() -> None:
    adapters = [ADAPTERS[1], ADAPTERS[2]]
    hidden, out = drawn(2, 1)
    wanted = row_by_row(adapters, "q", hidden, out)[:, 0]
    assert torch.allclose(GroupedAdapters(adapters).add("q", hidden[:, 0], out[:, 0]), wanted, atol=1e-5)


def test_one_adapter_serves_any_number_of_rows_without_a_copy() -> None:
    weights = ADAPTERS[1]
    assert weights is not None
    grouped = GroupedAdapters.everywhere(weights)
    for batch in (1, 5):
        hidden, out = drawn(batch, 1)
        wanted = row_by_row([weights] * batch, "q", hidden, out)
        assert torch.allclose(grouped.add("q", hidden, out), wanted, atol=1e-5)
        grouped.select([0])
    assert not grouped._stacked


def test_the_base_alone_is_left_to_the_bit() -> None:
    hidden, out = drawn(3, 1)
    before = out.clone()
    assert torch.equal(GroupedAdapters([None, None, None]).add("q", hidden, out), before)
    mixed = GroupedAdapters([None, ADAPTERS[1], None]).add("q", hidden, out)
    assert torch.equal(mixed[0], before[0])
    assert torch.equal(mixed[2], before[2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_prepared_has_the_scale_in_b_and_memory_of_its_own(dtype: torch.dtype) -> None:
    raw = AdapterWeights({"q": LowRank(torch.ones(2, 3), torch.ones(4, 2), 0.25)})
    part = raw.prepared(torch.device("cpu"), dtype).modules["q"]
    assert part.a.dtype == part.b.dtype == dtype
    assert part.scale == 1.0
    assert torch.equal(part.b, torch.full((4, 2), 0.25, dtype=dtype))
    assert torch.equal(part.delta(), raw.modules["q"].delta())


def test_rows_that_end_take_their_adapters_stacks_with_them() -> None:
    adapters = [adapter(seed, 2, "q") for seed in range(8)]
    grouped = GroupedAdapters(adapters)
    hidden, out = drawn(8, 1)
    grouped.add("q", hidden, out)
    stack = grouped._stacked["q"]
    assert stack is not None
    assert stack.a.shape == (8, D_IN, 2)
    grouped.select([1, 2, 6])
    hidden, out = drawn(3, 1)
    wanted = row_by_row([adapters[1], adapters[2], adapters[6]], "q", hidden, out)
    assert torch.allclose(grouped.add("q", hidden, out), wanted, atol=1e-5)
    smaller = grouped._stacked["q"]
    assert smaller is not None
    assert smaller.a.shape == (3, D_IN, 2)


def test_a_batch_of_one_crowd_and_many_single_rows_is_not_filled_up() -> None:
    singles = [adapter(seed, 2, "q") for seed in range(8)]
    adapters = [*singles[:4], *[ADAPTERS[1]] * 10, *singles[4:], None]
    grouped = GroupedAdapters(adapters)
    hidden, out = drawn(len(adapters), 1)
    wanted = row_by_row(adapters, "q", hidden, out)
    assert torch.allclose(grouped.add("q", hidden, out), wanted, atol=1e-5)
    assert grouped._places.is_wasteful
    assert not grouped._stacked


def test_a_row_whose_numbers_break_breaks_no_other() -> None:
    grouped = GroupedAdapters([ADAPTERS[1], ADAPTERS[2]])
    hidden, out = drawn(2, 1)
    hidden[0] = float("nan")
    found = grouped.add("q", hidden, out)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()
