"""Work left for later: leased, retried, done once; summarisers that fail."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from memory_stores import MakeMemory, count_words


def test_a_job_of_a_dead_process_is_taken_over_when_its_lease_is_over(tmp_path: Path) -> None:
    from interconnected_ai.memory.jobs import LEASE_SECONDS, finish, take, want

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
    from interconnected_ai.memory.jobs import LEASE_SECONDS, renew, take, want

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
    from interconnected_ai.memory.jobs import finish, take, want

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
    assert asked.wait(20)
    memory.add("user", "added while it hangs", id="meanwhile")
    assert memory.context("hangs").source_ids[-1] == "meanwhile"
    assert memory.catch_up(30) == 0
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
