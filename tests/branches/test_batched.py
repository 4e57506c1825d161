"""Texts of many callers in common passes: each caller has the answers of `predict`, whoever asks, leaves or fails beside."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from conftest import make_system, randomize, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import AnswerTable, BatchedPredictor, Prediction, batched, encoder
from interconnected_ai.errors import ClosedError, ConfigError, DataError, QueueFullError, UnknownNameError

TEXTS = ["my bank card", "rain and snow today please tell me", "cat", "the lion was on the horse now", "cold wind"]


def a_system() -> InterconnectedAISystem:
    system = randomize(make_system("old", "hot"))
    system.freeze_trunk()
    return system


def one_at_a_time(system: InterconnectedAISystem, **settings: Any) -> BatchedPredictor:
    """A predictor of one thread, so that whoever comes while it computes has to wait."""
    return BatchedPredictor(system, passes_at_once=1, **settings)


def require_alike(found: list[Prediction], wanted: list[Prediction]) -> None:
    """The same labels, and numbers up to rounding: padding of another batch adds up in another order."""
    assert [one.text for one in found] == [one.text for one in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert list(ours.branches) == list(theirs.branches)
        for name, answer in theirs.branches.items():
            mine = ours.branches[name]
            assert (mine.label, mine.unknown) == (answer.label, answer.unknown)
            torch.testing.assert_close(
                torch.tensor([share for _, share in mine.top]),
                torch.tensor([share for _, share in answer.top]),
                atol=1e-5,
                rtol=1e-4,
            )


@contextmanager
def held(predictor: BatchedPredictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The predictor's only thread is within a pass until what this gives is called: others come to wait."""
    inside, go_on = threading.Event(), threading.Event()
    system = predictor._system
    encode = system.encode_together

    def hold(texts: Any) -> Any:
        inside.set()
        assert go_on.wait(60)
        return encode(texts)

    with monkeypatch.context() as patched:
        patched.setattr(system, "encode_together", hold)
        first = predictor.submit(["cat"])
        assert inside.wait(60)
        try:
            yield go_on.set
        finally:
            go_on.set()
            first.exception()


def test_every_caller_has_the_answers_of_predict() -> None:
    system = a_system()
    asked = [
        (TEXTS[start : start + number], branches, top_n)
        for number in (1, 2, 5)
        for start in range(3)
        for branches in (None, ["hot"], ["hot", "old"], [1])
        for top_n in (1, 3)
    ]
    with BatchedPredictor(system, num_texts=7) as predictor, ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(predictor.predict, texts, branches=which, top_n=n) for texts, which, n in asked]
        for future, (texts, branches, top_n) in zip(futures, asked, strict=True):
            require_alike(future.result(), system.predict(texts, branches=branches, top_n=top_n))
        assert predictor.predict([]) == []
        stats = predictor.stats()
        assert stats.num_waiting == 0
        assert stats.num_texts == sum(len(texts) for texts, *_ in asked)


def test_what_waits_goes_through_the_trunk_together_and_callers_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = one_at_a_time(a_system(), num_texts=6)
    passes: list[int] = []
    read = predictor._read
    monkeypatch.setattr(
        predictor, "_read", lambda parts: (passes.append(sum(len(part.texts) for part in parts)), read(parts))[1]
    )
    with predictor, held(predictor, monkeypatch) as go_on:
        many = predictor.submit(TEXTS * 4)
        few = [predictor.submit([text]) for text in TEXTS[:2]]
        assert predictor.stats().num_waiting == 22
        done: list[Any] = []
        for future in (many, *few):
            future.add_done_callback(done.append)
        go_on()
        for future, text in zip(few, TEXTS, strict=False):
            require_alike(future.result(), a_system().predict([text]))
        require_alike(many.result(), a_system().predict(TEXTS * 4))
    assert passes == [1, 6, 6, 6, 4]
    assert done == [*few, many]


@pytest.mark.parametrize("passes_at_once", [1, 2])
def test_one_caller_after_the_other_waits_for_nobody(passes_at_once: int) -> None:
    with BatchedPredictor(a_system(), passes_at_once=passes_at_once, linger_seconds=3600.0) as predictor:
        for text in TEXTS:
            predictor.predict([text])
        assert predictor.stats().num_passes == len(TEXTS)


def test_a_list_of_texts_is_shared_by_the_threads_and_answered_in_its_order() -> None:
    system, texts = a_system(), [f"{text} {number}" for number in range(20) for text in TEXTS]
    with BatchedPredictor(system, passes_at_once=3, num_texts=8) as predictor, ThreadPoolExecutor(4) as pool:
        asked = [texts, texts[::-1], texts[:9], ["cat"]]
        for future, wanted in zip([pool.submit(predictor.predict, each) for each in asked], asked, strict=True):
            require_alike(future.result(), system.predict(wanted))
        stats = predictor.stats()
        assert (stats.num_waiting, stats.num_texts) == (0, sum(map(len, asked)))
    assert not predictor._computed  # a thread may be at its last words while the answers are out; closing waits for it


def test_a_pass_leaves_other_threads_their_share_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = BatchedPredictor(a_system(), passes_at_once=2, linger_seconds=3600.0)
    predictor._start_workers = lambda: None  # type: ignore[method-assign]  # nobody takes what waits but this test
    for text in TEXTS * 2:
        predictor.submit([text])
    with predictor._changed:
        predictor._take(0)
        assert (len(predictor._computed[0]), len(predictor._take(1))) == (5, 5)


def test_a_text_that_comes_alone_is_computed_by_itself_whoever_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = BatchedPredictor(a_system(), passes_at_once=2)
    takers: list[str] = []
    take = predictor._take
    monkeypatch.setattr(
        predictor, "_take", lambda number: (takers.append(threading.current_thread().name), take(number))[1]
    )
    with predictor:
        for _ in range(3):
            predictor.predict(["cat"])
        with predictor._changed:  # the threads are woken, and find that another caller has left
            leaving, staying = (predictor.submit([text]) for text in TEXTS[:2])
            assert leaving.cancel()
        staying.result(60)
        predictor.predict(TEXTS)
    assert takers[:4] == ["batched predictor 2"] * 4
    assert set(takers[4:]) <= {"batched predictor 0", "batched predictor 1"}


def test_computing_in_several_threads_leaves_all_others_their_threads() -> None:
    before = torch.get_num_threads()
    found: dict[int, int] = {}

    class Watched(BatchedPredictor):
        def _next_parts(self, number: int) -> Any:
            found[number] = torch.get_num_threads()
            return super()._next_parts(number)

    torch.set_num_threads(4)
    try:
        with Watched(a_system(), passes_at_once=2) as predictor, ThreadPoolExecutor(1) as later:
            predictor.predict(TEXTS)
            assert torch.get_num_threads() == 4
            assert later.submit(torch.get_num_threads).result() == 4
        assert found == {0: 2, 1: 2, 2: 4}
    finally:
        torch.set_num_threads(before)


def test_a_text_that_cannot_be_read_is_its_callers_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    system = a_system()
    encode = system.encode_together

    def fail(texts: Any) -> Any:
        if "cat" in texts:
            raise DataError("no cats")
        return encode(texts)

    with one_at_a_time(system) as predictor:
        for wrong in (["a", ""], ["a", 3], "a text", ["\ud800"]):
            with pytest.raises(DataError):
                predictor.submit(wrong)  # type: ignore[arg-type]
        with pytest.raises(UnknownNameError, match="cold"):
            predictor.submit(TEXTS, branches=["cold"])
        with pytest.raises(ConfigError, match="top_n"):
            predictor.submit(TEXTS, top_n=0)
        with held(predictor, monkeypatch) as go_on:
            go_on()
        monkeypatch.setattr(system, "encode_together", fail)
        futures = [predictor.submit([text]) for text in TEXTS]
        for future, text in zip(futures, TEXTS, strict=True):
            if text == "cat":
                with pytest.raises(DataError, match="no cats"):
                    future.result()
            else:
                require_alike(future.result(), a_system().predict([text]))
        assert predictor.stats().num_waiting == 0


def test_a_branch_that_fails_fails_for_those_who_asked_it() -> None:
    system = a_system()
    with BatchedPredictor(system) as predictor:
        with torch.no_grad():
            system.branch("old").head.weight.set_(torch.zeros(3, 1))  # type: ignore[union-attr]
        futures = [predictor.submit(["cat"], branches=[name]) for name in ("hot", "old", "hot")]
        require_alike(futures[0].result(), a_system().predict(["cat"], branches=["hot"]))
        assert isinstance(futures[1].exception(), Exception)
        require_alike(futures[2].result(), a_system().predict(["cat"], branches=["hot"]))


def test_who_leaves_takes_back_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_at_a_time(a_system(), num_texts=4) as predictor, held(predictor, monkeypatch) as go_on:
        leaving, staying = predictor.submit(TEXTS), predictor.submit(TEXTS[:2])
        assert leaving.cancel()
        assert predictor.stats().num_waiting == 2
        go_on()
        require_alike(staying.result(), a_system().predict(TEXTS[:2]))
        with pytest.raises(CancelledError):
            leaving.result()
        assert not staying.cancel()
    assert predictor.stats().num_waiting == 0


def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_at_a_time(a_system(), num_waiting=6) as predictor, held(predictor, monkeypatch) as go_on:
        waiting = predictor.submit(TEXTS)
        with pytest.raises(QueueFullError, match="5 texts wait already, and 6 may"):
            predictor.submit(TEXTS[:2])
        last = predictor.submit(TEXTS[:1])
        go_on()
        assert [len(future.result()) for future in (waiting, last)] == [5, 1]
        assert len(predictor.predict(TEXTS * 3)) == 15  # nobody waits: it may be any number


def test_branches_that_come_and_go_are_answered_as_they_stood_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    system = a_system()
    wanted = system.predict(TEXTS)
    with one_at_a_time(system) as predictor, held(predictor, monkeypatch) as go_on:
        before = predictor.submit(TEXTS)
        system.remove_branch("old")
        system.add_branch(spec("new"))
        after = predictor.submit(TEXTS)
        go_on()
        require_alike(before.result(), wanted)
        assert [list(one.branches) for one in after.result()] == [["hot", "new"]] * len(TEXTS)


def test_a_closed_predictor_ends_who_waits_and_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = one_at_a_time(a_system())
    with held(predictor, monkeypatch) as go_on:
        waiting = predictor.submit(TEXTS)
        closing = threading.Thread(target=predictor.close)
        closing.start()
        with pytest.raises(ClosedError, match="predictor is closed"):
            waiting.result()
        go_on()
        closing.join()
    assert [worker.is_alive() for worker in predictor._workers.values()] == [False]
    predictor.close()
    with pytest.raises(ClosedError):
        predictor.predict(TEXTS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_a_thread_of_its_own() -> None:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        system = a_system()
        with BatchedPredictor(system) as predictor:
            wanted = predictor.predict(TEXTS)[0].to_dict()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of a process with threads
                child = os.fork()
            if not child:
                os._exit(0 if predictor.predict(TEXTS)[0].to_dict() == wanted else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(number)


def test_numbers_are_checked() -> None:
    for settings in ({"num_texts": 0}, {"num_waiting": 1.5}, {"passes_at_once": 0}):
        with pytest.raises(ConfigError):
            BatchedPredictor(a_system(), **settings)  # type: ignore[arg-type]
    assert batched.BatchedPredictor is BatchedPredictor


class Breaking(BatchedPredictor):
    """A predictor in whose threads a fault comes out of nowhere, as long as it breaks."""

    def __init__(self, system: InterconnectedAISystem, place: str) -> None:
        super().__init__(system, passes_at_once=2)
        self._faulty: list[threading.Thread] = []
        self._mending = threading.Lock()
        self._breaks, usual = True, getattr(self, place)

        def broken(*given: Any) -> Any:
            with self._mending:
                if self._breaks:
                    self._faulty.append(threading.current_thread())
                    raise SystemExit("a fault out of nowhere")
            return usual(*given)

        setattr(self, place, broken)

    def mend(self) -> None:
        """No fault comes any more, once those that came have ended their threads."""
        with self._mending:
            self._breaks = False
        for thread in self._faulty:
            thread.join(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("place", ["_take", "_read", "_whole", "_answer", "_passed", "_wait_for"])
def test_a_fault_in_a_thread_fails_those_who_wait_and_nobody_who_comes_later(place: str) -> None:
    with Breaking(system := a_system(), place) as predictor:
        alone = [] if place == "_wait_for" else [TEXTS[:1]]  # whose thread waits for nobody, and would answer
        for texts in (TEXTS, *alone, TEXTS):
            with pytest.raises(SystemExit):
                predictor.predict(texts)
        predictor.mend()
        require_alike(predictor.predict(TEXTS), system.predict(TEXTS))
        assert predictor.stats().num_waiting == 0
    # once closed: a thread may still be at those texts whose caller has failed by the other
    assert predictor._computed == {}


def test_callers_get_what_is_told_of_their_own_texts() -> None:
    def told(table: AnswerTable, texts: Sequence[str]) -> list[str]:
        return [f"{text}: {table.answer('hot', row).label}" for row, text in enumerate(texts)]

    system = a_system()
    with BatchedPredictor(system, told=told) as predictor:
        futures = [predictor.submit([text, "cat"], branches=["hot"]) for text in TEXTS]
        for future, text in zip(futures, TEXTS, strict=True):
            wanted = [f"{one.text}: {one.branches['hot'].label}" for one in system.predict([text, "cat"])]
            assert future.result() == wanted


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_texts_encoded_together_have_the_vectors_that_they_have_alone(pooling: str) -> None:
    system = randomize(make_system("old", pooling=pooling))
    texts = [" ".join(TEXTS[number % 5 : number % 5 + 1 + number % 3]) for number in range(25)]
    together = system.encode_together(texts)
    torch.testing.assert_close(together, torch.cat([system.encode([text]) for text in texts]), atol=1e-5, rtol=1e-4)
    assert not together.is_inference()


@pytest.mark.parametrize("lengths", [[5], [9, 9, 9], [1, 100, 1, 100, 50], [3, 1, 2] * 20, list(range(1, 65))])
def test_texts_are_parted_into_groups_of_like_length_at_the_least_cost(lengths: list[int]) -> None:
    def cost(groups: list[list[int]]) -> int:
        return sum(len(rows) * max(lengths[row] for row in rows) + encoder._PASS_TOKENS for rows in groups)

    groups = encoder.like_lengths(lengths)
    assert sorted(row for rows in groups for row in rows) == list(range(len(lengths)))
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    assert [row for rows in groups for row in rows] == order
    for size in range(1, len(lengths) + 1):  # no even cut does better
        assert cost(groups) <= cost([order[start : start + size] for start in range(0, len(order), size)])


@pytest.mark.parametrize("passes_at_once", [1, 2])
def test_that_callers_are_answered_is_told_after_all_of_a_pass_and_of_the_end(passes_at_once: int) -> None:
    futures: list[Future[list[Prediction]]] = []
    seen: list[int] = []

    def answered() -> None:
        seen.append(sum(future.done() for future in futures))

    with BatchedPredictor(a_system(), passes_at_once=passes_at_once, answered=answered) as predictor:
        for text in TEXTS:
            futures.append(predictor.submit([text]))
        futures.append(predictor.submit(["cat"], branches=["hot"]))
        for future in futures:
            future.result()
    assert max(seen) == len(futures)
    assert len(seen) == predictor.stats().num_passes + 1  # the end is the last


def test_those_who_wait_when_it_is_closed_are_told_of() -> None:
    told = threading.Event()
    predictor = BatchedPredictor(a_system(), passes_at_once=2, linger_seconds=3600.0, answered=told.set)
    predictor.predict(TEXTS[:1])
    told.clear()
    waiting = [predictor.submit([text]) for text in TEXTS]
    predictor.close()
    assert told.is_set()
    assert all(future.done() for future in waiting)
