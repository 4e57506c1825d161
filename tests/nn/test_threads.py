"""Items side by side, one thread for each: in order, no further ahead than lanes, and ended by an error."""

import threading
from collections.abc import Iterator

import pytest
import torch

from interconnected_ai.nn import in_lanes


@pytest.fixture(params=[1, 3])
def lanes(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many of PyTorch's threads, as long as a test takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order_each_by_one_thread(lanes: int) -> None:
    def work(item: int) -> tuple[int, int, str]:
        return item, torch.get_num_threads(), threading.current_thread().name

    found = list(in_lanes(work, range(40)))
    assert [item for item, _, _ in found] == list(range(40))
    assert {threads for _, threads, _ in found} == {1}
    assert torch.get_num_threads() == lanes
    assert len({name for _, _, name in found}) <= lanes


def test_nothing_is_done_far_ahead(lanes: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    asked = in_lanes(lambda item: item, items())
    assert not taken
    assert next(asked) == 0
    assert len(taken) <= lanes + 1
    asked.close()
    assert len(taken) <= lanes + 1


def test_an_error_ends_it_and_leaves_no_thread(lanes: int) -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    before = threading.active_count()
    found: list[int] = []
    with pytest.raises(ValueError, match="five"):
        found.extend(in_lanes(work, range(1_000)))
    assert found == [0, 1, 2, 3, 4]
    assert threading.active_count() == before


def test_lanes_compute_at_once() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        both = threading.Barrier(2, timeout=60)
        assert len(list(in_lanes(lambda _: both.wait(), range(4)))) == 4
    finally:
        torch.set_num_threads(before)
