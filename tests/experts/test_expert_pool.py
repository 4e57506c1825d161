"""The pool at work: threads that borrow, wait, give up and fail, and experts that are closed when they go."""

import threading
from collections.abc import Callable, Generator

import pytest
from expert_models import made

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, ForkError, PoolError, UnknownNameError
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
        with pytest.raises(ConfigError, match="no expert is named"):
            pool.ask()


def test_several_are_borrowed_together_and_two_such_borrowers_never_block_each_other() -> None:
    with pool_of("abc") as pool:
        done: list[str] = []

        def take(names: str) -> None:
            for _ in range(5):
                with pool.borrow_all(*names, timeout_seconds=120) as loans:
                    assert [loan.name for loan in loans] == list(names)
                    assert {loan.expert for loan in loans} <= set(Thing.there)
            done.append(names)

        threads = [threading.Thread(target=take, args=(names,)) for names in ("ab", "ba", "bc", "ca") * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(180)
        assert len(done) == 8
        with pytest.raises(PoolError, match=r"'a', 'b', 'c' take 150 bytes"), pool.borrow_all(*"abc"):
            pass


def test_who_holds_one_asks_at_once_and_is_told_when_others_are_in_the_way() -> None:
    with pool_of("abc") as pool, pool.borrow("a"), pool.borrow("b", at_once=True):
        with pytest.raises(PoolError, match="no room for 'c' without waiting"), pool.borrow("c", at_once=True):
            pass
        with pool.borrow("a", at_once=True) as again:
            assert again.was_resident


def test_who_asked_may_stop_waiting_from_another_thread_and_no_load_is_made_for_it() -> None:
    with pool_of("abc") as pool, pool.borrow("a"), pool.borrow("b"):
        asked = pool.ask("c")
        assert not asked.wait(0)
        with pytest.raises(PoolError, match="not there yet"):
            asked.loans()
        ended = threading.Event()

        def wait() -> None:
            assert asked.wait(60)
            ended.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        asked.close()
        asked.close()
        assert ended.wait(60)
        waiter.join(60)
        with pytest.raises(PoolError, match="given back"):
            asked.loans()
        assert pool.stats().num_waiting == 0
        assert pool.stats().experts["c"].num_loads == 0


def test_one_that_was_opened_and_then_fails_is_closed_again() -> None:
    class Mute(Thing):
        @property
        def num_bytes(self) -> int:
            raise EngineError("no size")

        @num_bytes.setter
        def num_bytes(self, value: int) -> None:
            pass

    with pool_of("a", open=Mute) as pool:
        with pytest.raises(EngineError, match="no size"), pool.borrow("a"):
            pass
        assert not Thing.there


def test_a_load_that_ends_its_thread_is_told_to_everybody_who_waits_for_it() -> None:
    begun = threading.Event()

    def leaves() -> Thing:
        assert begun.wait(60)
        raise SystemExit(3)

    with pool_of("a", open=leaves) as pool:
        told: list[str] = []

        def take() -> None:
            try:
                with pool.borrow("a", timeout_seconds=60):
                    pass
            except PoolError as error:
                told.append(str(error))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        while pool.stats().num_waiting < 4:
            threading.Event().wait(0.01)
        begun.set()
        for thread in threads:
            thread.join(60)
        assert told == ["loading a was ended by SystemExit: 3"] * 4
        assert pool.stats().used_bytes == 0


def test_one_that_cannot_be_closed_has_gone_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Thing):
        def close(self) -> None:
            super().close()
            raise EngineError("stuck")

    with pool_of("ab", budget=50, open=Stuck) as pool:
        for name in "ab":
            with pool.borrow(name, timeout_seconds=60):
                pass
    assert "closing a failed: EngineError: stuck" in caplog.text


def test_what_stands_on_a_part_shares_it_and_the_part_goes_last() -> None:
    pool: ExpertPool[Thing] = ExpertPool(100)
    events: list[str] = []

    class Told(Thing):
        def __init__(self, name: str, num_bytes: int) -> None:
            super().__init__(num_bytes)
            self.name = name
            events.append(f"+{name}")

        def close(self) -> None:
            super().close()
            events.append(f"-{self.name}")

    with pool:
        pool.add_part("base", lambda: Told("base", 60), num_bytes=60)
        for name in ("one", "two"):
            pool.add(name, lambda name=name: Told(name, 5), num_bytes=5, parts=["base"])  # type: ignore[misc]
        pool.add("other", lambda: Told("other", 50), num_bytes=50)
        with pool.borrow_all("one", "two", timeout_seconds=60):
            assert pool.stats().used_bytes == 70
        with pool.borrow("other", timeout_seconds=60):
            assert events[0] == "+base"
            assert events[-2:] == ["-base", "+other"]
        assert set(pool.stats().experts) == {"one", "two", "other"}


def test_two_forms_of_an_expert_are_lent_one_after_the_other() -> None:
    with ExpertPool[Thing](100) as pool:
        pool.add("a", lambda: Thing(60), num_bytes=60, mapped=lambda: Thing(2), mapped_bytes=2)
        with pool.borrow("a") as loan:
            assert loan.expert.num_bytes == 2
            assert pool.stats().experts["a"].state == "mapped"
        with pool.borrow("a") as loan:
            assert loan.expert.num_bytes == 2
            assert loan.was_resident
        while pool.stats().experts["a"].state != "resident":
            threading.Event().wait(0.01)
        with pool.borrow("a") as loan:
            assert loan.expert.num_bytes == 60
        assert pool.stats().used_bytes == 62
        assert pool.unload("a")


def test_what_an_expert_takes_is_looked_at_when_it_comes_back() -> None:
    with pool_of("ab") as pool:
        with pool.borrow("a"):
            pass
        with pool.borrow("b") as loan:
            loan.expert.num_bytes = 90  # as chats do, of which it remembers the states
            assert pool.stats().used_bytes == 100
        while pool.stats().experts["a"].state != "absent" and pool.stats().experts["b"].state != "absent":
            threading.Event().wait(0.01)
        assert pool.stats().owed_bytes == 0


def test_a_borrower_that_the_garbage_collector_ends_gives_back_what_it_had() -> None:
    def borrowing(pool: ExpertPool[Thing]) -> Generator[Thing, None, None]:
        with pool.borrow("a") as loan:
            yield loan.expert

    with pool_of("ab") as pool:
        dropped = borrowing(pool)
        next(dropped)
        with pool._deciding():  # the collector may come in the middle of anything
            del dropped
            assert pool.stats().experts["a"].num_borrowers == 1
        assert pool.stats().experts["a"].num_borrowers == 0


def test_a_forked_child_leaves_its_parents_experts_alone() -> None:
    with pool_of("a") as pool, pool.borrow("a"):
        pool._process += 1  # as a child would see it
        with pytest.raises(ForkError, match="belongs to the process"), pool.borrow("a"):
            pass
        pool.close()
        assert len(Thing.there) == 1
        pool._process -= 1


def test_a_mapped_form_that_takes_no_fewer_bytes_is_left_aside() -> None:
    with ExpertPool[Thing](60) as pool:
        pool.add("a", lambda: Thing(60), num_bytes=60, mapped=lambda: Thing(90), mapped_bytes=90)
        with pool.borrow("a") as loan:
            assert loan.expert.num_bytes == 60


def test_a_name_stands_for_another_expert_and_who_has_the_old_one_keeps_it() -> None:
    with pool_of("a") as pool, pool.borrow("a") as old:
        pool.replace("a", Thing, key="next", num_bytes=50)
        with pool.borrow("a") as new:
            assert new.expert is not old.expert
            assert old.expert in Thing.there
        assert pool.names == ("a",)
    with pool_of("a") as pool:
        with pool.borrow("a") as old:
            pool.pin("a")
            pool.replace("a", Thing, key="next", num_bytes=50)
        while old.expert in Thing.there:  # gone when it was given back, though nobody needs its room
            threading.Event().wait(0.01)
        assert pool.stats().experts["a"].pinned
        with pool.borrow("a") as again:
            assert again.was_resident


def test_what_cannot_be_loaded_does_not_come_in_the_place_of_what_is_there() -> None:
    def broken() -> Thing:
        raise EngineError("it is damaged")

    with pool_of("a") as pool:
        with pool.borrow("a") as old:
            pass
        with pytest.raises(EngineError, match="damaged"):
            pool.replace("a", broken, key="next", num_bytes=50)
        with pool.borrow("a") as still:
            assert still.expert is old.expert
        with pool.borrow("a"), pytest.raises(PoolError, match="did not come"):
            pool.replace("a", Thing, key="large", num_bytes=60, wait_seconds=0.05)
        assert pool.names == ("a",)
        assert pool.unload("a")
        while pool.stats().experts["a"].state != "absent":
            threading.Event().wait(0.01)
        pool.replace("a", broken, key="later", num_bytes=50)  # nothing is there, so nothing is loaded
        with pytest.raises(EngineError, match="damaged"), pool.borrow("a"):
            pass


def test_a_name_that_is_taken_out_is_unknown_and_who_has_its_expert_keeps_it() -> None:
    with pool_of("ab") as pool:
        with pool.borrow("a") as held:
            pool.remove("a")
            assert held.expert in Thing.there
            with pytest.raises(UnknownNameError):
                pool.ask("a")
        while held.expert in Thing.there:
            threading.Event().wait(0.01)
        pool.add("a", Thing, num_bytes=50)
        with pool.borrow("a"):
            pass
