"""What overflows moves on: three levels that add up to the log, and their summaries."""

import re
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
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
