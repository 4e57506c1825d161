"""The pool at work: threads that borrow, wait, give up and fail, and experts that are closed when they go."""

import threading
from collections.abc import Callable

import pytest
from expert_models import made

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PoolError, UnknownNameError
from interconnected_ai.experts import TorchEngine
from interconnected_ai.experts.pool import ExpertPool


class Thing:
    """Something that says its bytes; `there` counts those that are open."""

    there: list["Thing"] = []  # noqa: RUF012

    def __init__(self, num_bytes: int = 50) -> None:
        self.num_bytes = num_bytes
        Thing.there.append(self)

    def close(self) -> None:
        Thing.there.remove(self)


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    Thing.there.clear()
    yield
    assert not Thing.there


def pool_of(names: str, budget: int = 100, open: Callable[[], Thing] = Thing) -> ExpertPool[Thing]:
    pool: ExpertPool[Thing] = ExpertPool(budget)
    for name in names:
        pool.add(name, open, num_bytes=50)
    return pool


def test_what_is_borrowed_is_open_and_stays_until_room_is_needed() -> None:
    with pool_of("abc") as pool:
        with pool.borrow("a") as first:
            assert first.expert in Thing.there
            assert not first.was_resident
        with pool.borrow("a") as again:
            assert again.expert is first.expert
            assert again.was_resident
        with pool.borrow("b"), pool.borrow("c"):
            assert first.expert not in Thing.there
        stats = pool.stats()
        assert stats.hit_rate == 0.25
        assert stats.peak_bytes <= 100
        assert stats.experts["a"].state == "absent"


def test_two_names_of_one_content_are_one_load() -> None:
    with ExpertPool[Thing](100) as pool:
        for name in ("one", "same"):
            pool.add(name, Thing, num_bytes=50, key="sha")
        with pool.borrow("one") as one, pool.borrow("same") as same:
            assert one.expert is same.expert


def test_threads_that_ask_for_one_cold_expert_wait_for_one_load() -> None:
    may_load, num_loads = threading.Event(), 0

    def slowly() -> Thing:
        nonlocal num_loads
        num_loads += 1
        assert may_load.wait(60)
        return Thing()

    with pool_of("a", open=slowly) as pool:
        got: list[Thing] = []

        def take() -> None:
            with pool.borrow("a", timeout_seconds=60) as loan:
                got.append(loan.expert)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        while pool.stats().num_waiting < 8:
            threading.Event().wait(0.01)
        may_load.set()
        for thread in threads:
            thread.join(60)
        assert num_loads == 1
        assert len(got) == 8
        assert len(set(map(id, got))) == 1


def test_different_experts_load_at_once() -> None:
    both = threading.Barrier(2, timeout=60)

    def meet() -> Thing:
        both.wait()  # would break if one load waited for the other
        return Thing()

    with pool_of("ab", open=meet) as pool:
        pool.prefetch("ab")
        with pool.borrow("a", timeout_seconds=60), pool.borrow("b", timeout_seconds=60):
            assert len(Thing.there) == 2


def test_a_wait_ends_with_the_time_or_when_it_is_cancelled() -> None:
    with pool_of("abc") as pool, pool.borrow("a"), pool.borrow("b"):
        assert not pool.can_borrow("c")
        with (
            pytest.raises(PoolError, match=r"did not come within 0.05 s: a, b in use"),
            pool.borrow("c", timeout_seconds=0.05),
        ):
            pass
        cancelled = threading.Event()
        cancelled.set()
        with pytest.raises(PoolError, match="cancelled"), pool.borrow("c", cancelled=cancelled):
            pass
        assert pool.stats().num_waiting == 0
        assert pool.stats().experts["c"].num_loads == 0


def test_what_loading_raises_is_told_to_who_waits_and_the_next_may_try_again() -> None:
    broken = True

    def fails() -> Thing:
        if broken:
            raise EngineError("the weights are broken")
        return Thing()

    with pool_of("a", open=fails) as pool:
        with pytest.raises(EngineError, match="weights are broken"), pool.borrow("a"):
            pass
        broken = False
        with pool.borrow("a") as loan:
            assert loan.expert in Thing.there


def test_a_closed_pool_unloads_what_comes_back_and_lends_nothing() -> None:
    pool = pool_of("ab")
    with pool.borrow("a"):
        pool.close()
        pool.close()
        assert len(Thing.there) == 1
        with pytest.raises(ClosedError), pool.borrow("b"):
            pass
    pool.close()


def test_pinned_experts_stay_and_unload_says_whether_it_did() -> None:
    with pool_of("abc") as pool:
        pool.pin("a")
        with pool.borrow("a"):
            assert not pool.unload("a")
        assert not pool.unload("a")
        with pool.borrow("b"):
            pass
        with pool.borrow("c"):
            assert pool.stats().experts["a"].state == "resident"
        pool.pin("a", False)
        assert pool.unload("a")


def test_many_threads_over_few_places_all_come_to_their_end() -> None:
    with pool_of("abcdef") as pool:
        seen: list[str] = []

        def use(name: str) -> None:
            for _ in range(10):
                with pool.borrow(name, timeout_seconds=120) as loan:
                    assert loan.expert in Thing.there
                    assert len(Thing.there) <= 2
                    seen.append(name)

        threads = [threading.Thread(target=use, args=(name,)) for name in "abcdef" * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(180)
        assert len(seen) == 120
        assert pool.stats().peak_bytes <= 100


def test_engines_are_lent_and_their_bytes_are_what_they_say() -> None:
    with ExpertPool[TorchEngine](1_000_000) as pool:
        pool.add("tiny", lambda: TorchEngine(made()), num_bytes=10)
        with pool.borrow("tiny") as loan:
            (answer,) = loan.expert([[1, 2, 3]], GenerationConfig(max_new_tokens=2, temperature=0.0))
            assert len(answer.token_ids) == 2
            assert pool.stats().used_bytes == loan.expert.num_bytes
        pool.unload("tiny")


def test_what_cannot_be_is_refused() -> None:
    with pool_of("a") as pool:
        with pytest.raises(ConfigError, match="has an expert 'a' already"):
            pool.add("a", Thing, num_bytes=1)
        with pytest.raises(UnknownNameError), pool.borrow("z"):
            pass
