"""Work left for later: leased, retried, done once; summarisers that fail."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory, jobs
from interconnected_ai.memory.calls import QUIET_SECONDS, TURN_SECONDS, Calls
from interconnected_ai.memory.jobs import LEASE_SECONDS, MAX_ATTEMPTS, finish, give_up, hand_back, renew, take, want
from memory_stores import MakeMemory, count_words


def test_a_job_of_a_dead_process_is_taken_over_when_its_lease_is_over(tmp_path: Path) -> None:

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "facts", 1)
        want(rows, "facts", 1)
    dead = take(store, "dead", ("facts",), now=1_000)
    assert dead is not None
    assert take(store, "living", ("facts",), now=1_001) is None
    living = take(store, "living", ("facts",), now=1_001 + LEASE_SECONDS)
    assert living is not None
    with store.write() as rows:
        assert not finish(rows, dead)  # it was not dead after all: its result comes too late
        assert finish(rows, living)
    assert take(store, "living", ("facts",), now=9_000) is None
    store.close()


def test_a_long_job_is_held_as_long_as_it_gets_on(tmp_path: Path) -> None:

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "embed", 1)
    slow = take(store, "slow", ("embed",), now=1_000)
    assert slow is not None
    with store.write() as rows:
        assert renew(rows, slow, 1_000 + LEASE_SECONDS / 2)
    assert take(store, "other", ("embed",), now=1_001 + LEASE_SECONDS) is None
    assert take(store, "other", ("embed",), now=1_001 + 2 * LEASE_SECONDS) is not None
    with store.write() as rows:
        assert not renew(rows, slow, 2_000)
    store.close()


def test_a_job_that_was_wanted_again_while_it_ran_is_done_again(tmp_path: Path) -> None:

    store = SQLiteStore(tmp_path / "memory.db", synchronous="OFF")
    with store.write() as rows:
        want(rows, "facts", 1)
    job = take(store, "worker", ("facts",), now=1_000)
    assert job is not None
    with store.write() as rows:
        want(rows, "facts", 1)
        assert not finish(rows, job)
    assert take(store, "worker", ("facts",), now=1_000) is not None
    store.close()


def test_adding_does_not_wait_for_the_summariser_and_a_hanging_one_is_replaced(tmp_path: Path) -> None:
    release, asked = threading.Event(), threading.Event()

    def hangs(text: str, *, max_tokens: int) -> str:
        asked.set()
        release.wait(30)
        return text

    memory = ThreeLevelMemory(
        SQLiteStore(tmp_path / "m.db", synchronous="OFF"),
        Capacities(50, 500, 500),
        count_tokens=count_words,
        summarize=hangs,
        summarize_timeout_seconds=0.2,
    )
    for number in range(30):
        memory.add("user", f"On day {number} we decided to meet Anna at 15:{number:02}.")
    assert asked.wait(300)
    memory.add("user", "added while it hangs", id="meanwhile")
    assert memory.context("hangs").source_ids[-1] == "meanwhile"
    assert memory.catch_up(300) == 0
    release.set()
    assert memory.summaries()
    assert {s.method for s in memory.summaries()} == {"extractive"}
    memory.close()


SUMMARISERS = {
    "empty": lambda text, max_tokens: "  ",
    "longer": lambda text, max_tokens: text + text,
    "greeting": lambda text, max_tokens: "Hello, how can I help you today?",
    "another language": lambda text, max_tokens: (
        "Люди встретились. " + " ".join(re.findall(r"[A-Z]\w+|\d+:\d+|\d+", text)[:3])
    ),
    "drops a number": lambda text, max_tokens: re.sub(r"\d+:\d+", "", GOOD(text, max_tokens=max_tokens)),
    "no text": lambda text, max_tokens: 7,
    "raises": lambda text, max_tokens: 1 / 0,
}


def GOOD(text: str, *, max_tokens: int) -> str:
    """Keeps every name, number and date, and little else."""
    return "They met " + ", ".join(dict.fromkeys(re.findall(r"(?<=meet )\w+ at \d+:\d+|(?<=day )\d+", text))) + "."


@pytest.mark.parametrize("name", SUMMARISERS)
def test_a_summary_that_cannot_stand_for_its_source_is_refused(make: MakeMemory, name: str) -> None:
    def summarize(text: str, *, max_tokens: int) -> Any:
        return SUMMARISERS[name](text, max_tokens)

    memory = make(capacities=Capacities(500, 2_000, 500), summarize=summarize)
    for number in range(60):
        memory.add(
            "user", f"Then on day {number} we decided to meet Anna at 15:{number:02}, and nothing else happened at all."
        )
    assert memory.catch_up() == 0
    assert {s.method for s in memory.summaries()} == {"extractive"}
    assert all("Anna" in s.text for s in memory.summaries())


def test_a_summary_that_holds_everything_is_taken(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(500, 2_000, 500), summarize=GOOD)
    for number in range(60):
        memory.add(
            "user", f"Then on day {number} we decided to meet Anna at 15:{number:02}, and nothing else happened at all."
        )
    memory.catch_up()
    assert {s.method for s in memory.summaries()} == {"summarize"}
    assert all(s.text.startswith("They met") for s in memory.summaries())


# Traffic that never stops


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_work_waits_for_a_pause_and_has_its_turn_after_the_longest_wait_without_one() -> None:
    clock = Clock()
    calls = Calls("memory.db", longest_wait_seconds=5.0, clock=clock, sleep=clock.sleep)
    calls.give_way(lambda: False)
    assert clock.now == 0.0  # nobody was ever served
    with calls.serve():
        calls.give_way(lambda: False)
        assert 5.0 <= clock.now < 5.1
        calls.give_way(lambda: False)
        assert clock.now < 5.1  # the turn goes on …
        clock.now += TURN_SECONDS
        began = clock.now
        calls.give_way(lambda: False)
        assert began + 5.0 <= clock.now < began + 5.1  # … and ends
    clock.now += TURN_SECONDS
    began = clock.now
    calls.give_way(lambda: False)
    assert clock.now == began  # long enough after the last call


def test_work_begins_as_soon_as_nobody_was_served_for_a_moment() -> None:
    clock = Clock()
    calls = Calls("memory.db", longest_wait_seconds=5.0, clock=clock, sleep=clock.sleep)
    with calls.serve():
        pass
    calls.give_way(lambda: False)
    assert QUIET_SECONDS < clock.now < 2 * QUIET_SECONDS
    with calls.serve():
        calls.give_way(lambda: True)  # stopped: no waiting
    assert clock.now < 2 * QUIET_SECONDS


def test_jobs_are_done_although_calls_are_served_without_a_pause(make: MakeMemory) -> None:
    memory = make(background=True, capacities=Capacities(50, 100, 100), longest_wait_seconds=0.01)
    with memory._calls.serve():  # a call that does not end
        for number in range(30):
            memory.add("user", f"I like thing{number}.")
        for _ in range(6_000):
            if not memory.stats().num_jobs:
                break
            threading.Event().wait(0.01)
        assert memory.stats().num_jobs == 0
        assert len(memory.facts()) == 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_died_of_a_fault_begins_anew_with_the_next_message(
    make: MakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make(background=True)
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "take", lambda *_: 1 / 0)
        memory.add("user", "I like tea.")
        died = memory._worker._hand.thread
        assert died is not None
        died.join(300)
        assert not died.is_alive()
    memory.add("user", "I like plums.")
    for _ in range(6_000):
        if not memory.stats().num_jobs:
            break
        threading.Event().wait(0.01)
    assert {fact.value for fact in memory.facts()} == {"tea", "plums"}


def test_a_busy_session_does_not_keep_its_place_before_all_others(make: MakeMemory) -> None:
    store = make().store
    with store.write() as rows:
        want(rows, "facts", 1)
        want(rows, "facts", 2)
    first = take(store, "worker", ("facts",), now=1_000)
    assert first is not None
    assert first.session == 1
    with store.write() as rows:
        want(rows, "facts", 1)
        assert not finish(rows, first)
    order = [take(store, "worker", ("facts",), now=1_000) for _ in range(3)]
    assert [job and job.session for job in order] == [2, 1, None]


def test_facts_are_learnt_although_a_message_comes_while_each_is_read(make: MakeMemory) -> None:
    def extract(content: str) -> list[dict[str, str]]:
        memory.add("assistant", "and another one")
        return [{"relation": "said", "value": content}]

    memory = make(extract=extract)
    memory.add("user", "one")
    memory.add("user", "two")
    assert memory._worker.do_next()
    assert [fact.value for fact in memory.facts()] == ["one", "two"]
    assert memory.stats().num_jobs == 1


def test_a_job_that_is_handed_back_counts_as_never_taken_even_when_it_was_wanted_meanwhile(make: MakeMemory) -> None:
    store = make().store
    for wanted_again in (False, True):
        with store.write() as rows:
            want(rows, "facts", 1)
        job = take(store, "worker", ("facts",), now=1_000)
        assert job is not None
        if wanted_again:
            with store.write() as rows:
                want(rows, "facts", 1)
        hand_back(store, job)
        with store.read() as rows:
            assert rows.one("SELECT attempts, leased_until FROM jobs") == (0, 0.0)


def test_a_job_that_fails_is_tried_later_and_later_and_five_times_at_most(make: MakeMemory) -> None:
    store, now = make().store, 1_000.0
    with store.write() as rows:
        want(rows, "facts", 1)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        job = take(store, "worker", ("facts",), now=now)
        assert job is not None
        assert job.attempt == attempt
        give_up(store, job, ValueError("no"), now)
        assert take(store, "worker", ("facts",), now=now + 2.0**attempt - 0.5) is None
        now += 2.0**attempt
    assert take(store, "worker", ("facts",), now=now + 10_000) is None
    with store.read() as rows:
        assert rows.one("SELECT attempts, error FROM jobs") == (MAX_ATTEMPTS, "ValueError: no")
    with store.write() as rows:
        want(rows, "facts", 1)  # asked for anew, it is tried anew
    assert take(store, "worker", ("facts",), now=now) is not None


def test_a_job_is_free_at_the_moment_its_lease_is_over_and_not_before(make: MakeMemory) -> None:
    store = make().store
    with store.write() as rows:
        want(rows, "facts", 1)
        want(rows, "embed", 1)
    job = take(store, "one", ("facts",), now=1_000)
    assert job is not None
    assert take(store, "two", ("facts",), now=1_000 + LEASE_SECONDS) is None
    again = take(store, "two", ("facts",), now=1_000.5 + LEASE_SECONDS)
    assert again is not None
    assert (again.number, again.attempt, again.owner) == (job.number, 2, "two")
    give_up(store, job, ValueError("late"), 2_000)  # it is another's
    hand_back(store, job)
    with store.read() as rows:
        assert rows.one("SELECT error, attempts, owner FROM jobs WHERE kind = 'facts'") == ("", 2, "two")
