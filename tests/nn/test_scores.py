"""Whether one set of answers is surely better than another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.nn import surely_more_right
from properties import examples


def answers(both: int, gained: int, lost: int, neither: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Before and now, of so many rows."""
    kinds = [(True, True)] * both + [(False, True)] * gained + [(True, False)] * lost + [(False, False)] * neither
    before, now = zip(*kinds, strict=True)
    return torch.tensor(before), torch.tensor(now)


@pytest.mark.parametrize(
    ("gained", "lost", "sure"),
    [(0, 0, False), (1, 0, False), (4, 0, False), (5, 0, True), (9, 3, False), (12, 3, True), (3, 12, False)],
)
def test_a_lead_counts_beside_the_rows_that_differ(gained: int, lost: int, sure: bool) -> None:
    for both, neither in ((1, 0), (1_000, 10)):
        assert surely_more_right([answers(both, gained, lost, neither)]) is sure


def test_a_lead_of_just_two_errors_is_not_more_of_however_many_rows() -> None:
    for num_rows in range(4, 400):
        assert not surely_more_right([answers(num_rows - 4, 4, 0)])


def test_groups_count_alike_however_many_rows_they_have() -> None:
    small, large = answers(10, 6, 0), answers(1_000, 0, 6)
    assert surely_more_right([small, large])
    assert not surely_more_right([large])
    assert not surely_more_right([small, answers(10, 0, 6)])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
@examples(50)
def test_never_both_ways(rows: list[tuple[bool, bool]]) -> None:
    before, now = (torch.tensor(side) for side in zip(*rows, strict=True))
    assert not (surely_more_right([(before, now)]) and surely_more_right([(now, before)]))


def test_no_groups_are_no_lead() -> None:
    assert not surely_more_right([])
