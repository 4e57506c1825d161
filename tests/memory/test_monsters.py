"""Monstrous messages and callables that do not keep their word."""

import json
from typing import Any

import pytest

from interconnected_ai.errors import DataError
from memory_stores import MakeMemory


@pytest.mark.parametrize(
    "content",
    [
        "слово " * 180_000,
        "x" * 1_000_000,
        "Sentence number one. " * 50_000,
        "\x00\x01\x02" * 1000,
        "👩‍👩‍👧" * 20_000,
        "a\n" * 200_000,
    ],
    ids=["words", "one word", "sentences", "control", "emoji", "lines"],
)
def test_a_message_of_a_megabyte_is_kept_whole_and_stops_nothing(make: MakeMemory, content: str) -> None:
    memory = make(count_tokens=lambda text: len(text) // 4 + 1)
    memory.add("user", "before", id="before")
    memory.add("user", content, id="monster")
    memory.add("user", "after", id="after")
    found = memory.context("слово sentence", budget_tokens=1_000)
    assert found.num_tokens <= 1_000
    assert {"before", "after"} <= set(found.source_ids)
    assert memory.catch_up() == 0
    assert [m.content for m in memory.messages()] == ["before", content, "after"]
    assert sum(level.num_tokens for level in memory.stats()) == memory.stats().num_tokens


@pytest.mark.parametrize("returned", ["seven", -1, 1.5, None])
def test_a_token_counter_that_does_not_count_is_refused(make: MakeMemory, returned: Any) -> None:
    memory = make(count_tokens=lambda text: returned)
    with pytest.raises((DataError, TypeError)):
        memory.add("user", "x")


def test_errors_kept_with_jobs_are_told_in_stats(make: MakeMemory) -> None:
    memory = make(extract=lambda content: json.loads("{"))
    memory.add("user", "x")
    assert memory.catch_up() == 1
    with memory.store.read() as rows:
        assert rows.one("SELECT attempts FROM jobs")[0] == 1  # tried again later, not at once
