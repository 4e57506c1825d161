"""Batches: every branch in each, every row in an epoch, the same again from the same seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.data import BatchPlan, Rows, share_of
from interconnected_ai.errors import ConfigError
from properties import examples

few = examples(60)


def rows_of(sizes: list[int]) -> Rows:
    """Branches of these sizes, their rows mixed."""
    names = [f"b{i}" for i, size in enumerate(sizes) for _ in range(size)]
    mixed = np.random.default_rng(0).permutation(names).tolist()
    labels: dict[str, list[str | None]] = {
        f"b{i}": ["x" if name == f"b{i}" else None for name in mixed] for i in range(len(sizes))
    }
    return Rows([f"text {row}" for row in range(len(mixed))], labels)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Rows, BatchPlan]:
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    rows = rows_of(sizes)
    return rows, BatchPlan.for_rows(rows, draw(st.integers(len(sizes), 30)), draw(st.integers(0, 9)))


@few
@given(plans(), st.integers(0, 3))
def test_every_batch_holds_rows_of_every_branch_and_an_epoch_shows_every_row(
    made: tuple[Rows, BatchPlan], number: int
) -> None:
    rows, plan = made
    batches = plan.epoch(number)
    homes = rows.home()
    assert len(batches) == plan.steps_per_epoch
    assert all({homes[row] for row in batch} == set(rows.branch_names) for batch in batches)
    shown = Counter(np.concatenate(batches).tolist())
    assert set(shown) == set(range(len(rows)))
    for group in plan.groups:
        times = [shown[row] for row in group.tolist()]
        if len(group) >= plan.steps_per_epoch:
            assert set(times) == {1}
        else:
            assert max(times) - min(times) <= 1  # a small branch repeats its rows evenly


@few
@given(plans())
def test_a_batch_holds_each_branch_in_proportion_to_its_size(made: tuple[Rows, BatchPlan]) -> None:
    _, plan = made
    for batch in plan.epoch(0):
        for group in plan.groups:
            inside = int(np.isin(batch, group).sum())
            share = len(group) / plan.steps_per_epoch
            # a branch with fewer rows than there are batches is in each once, or twice
            assert abs(inside - share) < 1.0 if share >= 1.0 else inside in (1, 2)


def test_the_odd_rows_of_many_branches_do_not_all_meet_in_one_batch() -> None:
    plan = BatchPlan.for_rows(rows_of([12] * 10), 11, seed=0)  # 11 batches, and each branch has one row to spare
    assert max(len(batch) for batch in plan.epoch(0)) <= 15


@few
@given(plans())
def test_the_same_seed_and_epoch_give_the_same_batches(made: tuple[Rows, BatchPlan]) -> None:
    rows, plan = made
    again = BatchPlan.for_rows(rows, plan.batch_size, plan.seed)
    for number in (0, 7):
        assert all(np.array_equal(a, b) for a, b in zip(plan.epoch(number), again.epoch(number), strict=True))


def test_another_epoch_or_seed_shuffles_otherwise() -> None:
    rows = rows_of([30, 20])
    first = BatchPlan.for_rows(rows, 10, seed=0)
    others = [first.epoch(1), BatchPlan.for_rows(rows, 10, seed=1).epoch(0)]
    for other in others:
        assert not all(np.array_equal(a, b) for a, b in zip(first.epoch(0), other, strict=True))


@few
@given(plans(), st.integers(1, 6))
def test_the_shares_of_the_processes_partition_a_batch_evenly(made: tuple[Rows, BatchPlan], num_parts: int) -> None:
    _, plan = made
    for batch in plan.epoch(0):
        shares = [share_of(batch, part, num_parts) for part in range(num_parts)]
        assert sorted(np.concatenate(shares).tolist()) == sorted(batch.tolist())
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        for group in plan.groups:
            dealt = [int(np.isin(share, group).sum()) for share in shares]
            assert max(dealt) - min(dealt) <= 1


def test_rows_that_no_branch_labels_are_left_out() -> None:
    rows = Rows(["a", "b", "c"], {"x": ["1", None, None], "y": [None, None, "2"]})
    plan = BatchPlan.for_rows(rows, 2, seed=0)
    assert sorted(np.concatenate(plan.epoch(0)).tolist()) == [0, 2]


def test_a_branch_without_rows_of_its_own_asks_for_no_place() -> None:
    rows = Rows(["a", "b"], {"x": ["1", "2"], "y": ["1", None], "z": [None, None]})
    plan = BatchPlan.for_rows(rows, 1, seed=0)
    assert len(plan.groups) == 1
    assert sorted(np.concatenate(plan.epoch(0)).tolist()) == [0, 1]


def test_a_batch_too_small_for_the_branches_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size=2 cannot hold a row of each of 3 branches"):
        BatchPlan.for_rows(rows_of([4, 4, 4]), 2, seed=0)
