"""What overflows moves on: three levels that add up to the log, and their summaries."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import Boundaries
from memory_stores import SMALL, MakeMemory, count_words, message_of
from properties import examples


def test_the_documents_150_messages_fill_three_levels_and_nothing_is_lost(make: MakeMemory) -> None:
    memory = make(capacities=SMALL)
    for number in range(150):
        memory.add("user", message_of(number))
    assert memory.catch_up() == 0
    stats = memory.stats()
    assert stats["current"].num_tokens <= 1_000
    assert sum(level.num_tokens for level in stats) == stats.num_tokens == 150 * 18
    assert sum(level.num_messages for level in stats) == stats.num_messages == 150
    assert [m.content for m in memory.messages()] == [message_of(n) for n in range(150)]
    for level in ("stale", "long"):
        assert 0 < stats[level].stored_tokens < stats[level].num_tokens / 4
    assert re.search(r"Current memory: \d+ pieces, \d+ tokens \(\d+\.\d% used\)", str(stats))
    assert f"All tokens in the system: {150 * 18}" in str(stats)


@examples(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 400), max_size=60), capacity=st.integers(1, 900))
def test_levels_never_hold_more_than_they_may_and_add_up_to_the_log(
    tmp_path: Path, sizes: list[int], capacity: int
) -> None:
    file = tmp_path / f"{abs(hash((tuple(sizes), capacity)))}.db"
    capacities = Capacities(capacity, capacity, capacity)
    with ThreeLevelMemory(
        SQLiteStore(file, synchronous="OFF"), capacities, count_tokens=count_words, background=False
    ) as memory:
        for number, size in enumerate(sizes):
            memory.add("user", message_of(number, size))
            stats = memory.stats()
            assert stats["current"].num_tokens <= capacity
            assert sum(level.num_tokens for level in stats) == sum(sizes[: number + 1])
        levels = [m.level for m in memory.messages()] if sizes else []
        assert levels == sorted(levels, key=["long", "stale", "current"].index)
        assert memory.catch_up() == 0
        covered = [place for s in memory.summaries() for place in range(s.first_place, s.last_place + 1)]
        assert covered == list(range(1, len(covered) + 1))
        assert len(covered) == sum(level != "current" for level in levels)
    file.unlink()


def test_summaries_are_shorter_by_the_documents_ratios_and_in_the_language_of_their_source(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(1_000, 2_000, 4_000))
    for number in range(220):
        memory.add(
            "user",
            f"Сегодня мы решили вопрос номер {number} с Иваном Петровым: срок сдачи перенесли на {number % 28 + 1} мая. "
            "Потом долго обсуждали погоду и разные мелочи, ничего особенного не произошло, всё было как всегда.",
        )
    memory.catch_up()
    made = [s for s in memory.summaries() if s.method == "extractive"]
    stale = [s.source_tokens / s.num_tokens for s in made if s.level == "stale"]
    assert 5 <= sum(stale) / len(stale) <= 10
    assert min(s.source_tokens / s.num_tokens for s in made if s.level == "long") > 10
    assert all(re.search("[а-я]", s.text) for s in made)
    assert all("решили" in s.text for s in made)


def test_a_long_level_over_its_capacity_merges_its_oldest_summaries_and_keeps_every_place(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(200, 400, 600))
    for number in range(400):
        memory.add("user", message_of(number))
    memory.catch_up()
    kept = memory.summaries()
    assert any(s.method == "merged" for s in kept)
    assert sum(s.source_tokens for s in kept) + memory.stats()["current"].num_tokens == 400 * 18
    assert [s.first_place for s in kept[1:]] == [s.last_place + 1 for s in kept[:-1]]
    assert memory.stats()["long"].share > 1


def test_summaries_are_not_merged_across_one_that_is_to_be_made_anew(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(90, 180, 10_000))
    for number in range(90):
        memory.add("user", message_of(number, 6), id=f"m{number}", time=number)
    memory.catch_up()
    timeline = [s for s in memory.summaries() if s.level == "long"]
    within = timeline[len(timeline) // 2 - 1]  # merging is by twos, so this one would be the second of a pair
    shorter = make(capacities=Capacities(90, 180, 360))
    with memory.store.write() as rows:  # asked for before the forgetting asks for its summary
        want(rows, "merge", 1)
    shorter.forget(f"m{within.first_place - 1}")
    shorter.catch_up()
    kept = memory.summaries()
    assert any(s.method == "merged" for s in kept)
    assert all(one.last_place < after.first_place for one, after in pairwise(kept))
    assert sum(s.source_tokens for s in kept) + memory.stats()["current"].num_tokens == 89 * 6


def test_places_up_to_a_boundary_stand_before_it() -> None:
    levels = Boundaries(1, 0, 0, 0, stale_upto=5, long_upto=3)
    assert [levels.level_of(place) for place in range(1, 8)] == ["long"] * 3 + ["stale"] * 2 + ["current"] * 2


def test_messages_that_are_read_in_portions_all_have_their_summary(
    make: MakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interconnected_ai.memory.levels._READ_AT_ONCE", 4)
    memory = make(capacities=Capacities(100, 1_000, 1_000))
    for number in range(30):
        memory.add("user", message_of(number, 3))
    memory.add("user", message_of(30, 95))
    memory.catch_up()
    covered = [place for s in memory.summaries() for place in range(s.first_place, s.last_place + 1)]
    assert covered == [m.place for m in memory.messages() if m.level != "current"]
    assert [s.source_tokens for s in memory.summaries()][:7] == [
        12
    ] * 7  # four messages, less than a fifth of the level


@pytest.mark.parametrize(("capacity", "source_tokens"), [(20_000, 2_000), (5_000, 1_000), (1_000, 500)])
def test_a_summary_stands_for_two_thousand_tokens_or_a_fifth_of_a_small_level(
    make: MakeMemory, capacity: int, source_tokens: int
) -> None:
    memory = make(capacities=Capacities(capacity, 100_000, 1_000), count_tokens=lambda text: 500 * bool(text))
    for number in range(60):
        memory.add("user", f"message {number}", time=number)
    made = memory.summaries()
    assert {s.source_tokens for s in made} == {source_tokens}
    assert [(s.first_time, s.last_time) for s in made] == [(s.first_place - 1, s.last_place - 1) for s in made]
    assert capacity - source_tokens < memory.stats()["current"].num_tokens <= capacity


def test_a_level_that_is_just_full_does_not_overflow(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(54, 36, 1_000))
    for number in range(3):
        memory.add("user", message_of(number))
    assert [s.level for s in memory.summaries()] == []
    for number in range(3, 5):
        memory.add("user", message_of(number))
    assert [s.level for s in memory.summaries()] == ["stale", "stale"]
    memory.add("user", message_of(5))
    assert [s.level for s in memory.summaries()] == ["long", "stale", "stale"]
    assert [(level.num_messages, level.num_tokens) for level in memory.stats()] == [(3, 54), (2, 36), (1, 18)]
