"""Order is by time, not by arrival: history that comes late takes its place, what is dated ahead has none to take."""

import time
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from memory_stores import MakeMemory, count_words, explained, hashed, message_of
from properties import examples

TOWNS = ("Oslo", "Riga", "Kazan")


def said(number: int) -> str:
    return f"I live in {TOWNS[number % 3]}. I like thing{number}. {message_of(number, number % 7)}"


def state_of(memory: ThreeLevelMemory) -> object:
    facts = memory.facts(superseded=True)
    values = {fact.number: (fact.value, fact.time) for fact in facts}
    return (
        [(m.id, m.place, m.level, m.content) for m in memory.messages()],
        [(s.first_place, s.last_place, s.level, s.first_time, s.last_time, s.text) for s in memory.summaries()],
        [(f.value, f.source_id, f.superseded_by and values[f.superseded_by]) for f in facts],
        [(f.message.id, round(f.score, 6)) for f in memory.search("thing3 Kazan alpha", now=0)],
        memory.context("where do I live, thing5", budget_tokens=300).text,
    )


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrival=st.permutations(range(14)), caught_up=st.sets(st.integers(0, 13), max_size=3))
def test_whatever_the_order_of_arrival_the_memory_is_the_same(
    tmp_path: Path, arrival: list[int], caught_up: set[int]
) -> None:
    found = []
    for name, order in (("in order", list(range(14))), ("as they came", arrival)):
        file = tmp_path / f"{name} {abs(hash((tuple(arrival), tuple(caught_up))))}.db"
        with ThreeLevelMemory(
            SQLiteStore(file, synchronous="OFF"),
            Capacities(40, 40, 4_000),
            count_tokens=count_words,
            background=False,
            encode=hashed(),
        ) as memory:
            for place, number in enumerate(order):
                memory.add("user", said(number), id=str(number), time=1_700_000_000 + 3_600 * number)
                if name == "as they came" and place in caught_up:
                    memory.catch_up()
            last = memory.context("x", budget_tokens=4_000).messages[-1]["content"]
            assert last == said(13)
            assert memory.catch_up() == 0
            assert memory.check().unexplained == ()
            explained(memory)
            found.append(state_of(memory))
            memory.rebuild()
            memory.catch_up()
            found.append(state_of(memory))
        file.unlink()
    assert found[0] == found[1]
    assert found[2] == found[0]
    assert found[3] == found[0]


def test_history_that_is_imported_late_takes_its_place_with_its_edits_and_vectors(
    make: MakeMemory, tmp_path: Path
) -> None:
    memory = make(encode=hashed(), capacities=Capacities(200, 400, 4_000))
    for number in range(20, 40):
        memory.add("user", message_of(number), id=str(number), time=1_700_000_000 + number)
    memory.catch_up()
    file = tmp_path / "old.jsonl"
    line = '{{"role": "user", "content": "{}", "id": "{}", "time": {}}}\n'
    file.write_text("".join(line.format(message_of(n), n, 1_700_000_000 + n) for n in range(20)))
    memory.import_file(file)
    assert [m["content"] for m in memory.context("x", budget_tokens=3_000).messages[-10:]] == [
        message_of(number) for number in range(30, 40)
    ]
    file.write_text(line.format("other words", 7, 1_700_000_007))
    memory.import_file(file)
    memory.catch_up()
    assert [(m.id, m.place) for m in memory.messages()] == [(str(n), n + 1) for n in range(40)]
    assert memory.history("7")[0].content == message_of(7)
    assert memory.search("other words")[0].message.id == "7"
    for number in (3, 33):
        hit = memory.search(message_of(number))[0]
        assert (hit.message.id, "vectors" in hit.legs) == (str(number), True)
    stats = memory.stats()
    assert stats["current"].num_tokens <= 200
    assert [m.level for m in memory.messages()] == sorted(
        (m.level for m in memory.messages()), key=["long", "stale", "current"].index
    )
    assert memory.check().is_whole


def test_equal_times_keep_the_order_in_which_they_came(make: MakeMemory) -> None:
    memory = make()
    for session in ("one", "two"):
        for town in TOWNS:
            memory.add("user", f"I live in {town}", session=session, id=town, time="2026-01-01")
    memory.add("user", "long ago", session="one", time="2025-01-01")
    memory.catch_up()
    assert [m.id for m in memory.messages(session="one")][1:] == list(TOWNS)
    assert [(f.value, f.session) for f in memory.facts()] == [("Kazan", "two")]


def test_a_message_that_is_dated_ahead_is_kept_and_flagged_and_supersedes_nothing(make: MakeMemory) -> None:
    memory = make()
    ahead = time.time() + 3 * 86_400
    memory.add("user", "I live in Mars.", id="ahead", time=ahead)
    memory.catch_up()
    assert [f.value for f in memory.facts()] == ["Mars"]
    memory.add("user", "I live in Riga.", id="now")
    memory.add("user", "I'll be in the office on Monday.", id="soon", time=time.time() + 3_600)
    for _ in range(2):
        memory.catch_up()
        assert [f.value for f in memory.facts()] == ["Riga"]
        assert {m.id: m.is_ahead for m in memory.messages()} == {"ahead": True, "now": False, "soon": False}
        assert memory.stats().num_ahead == 1
        found = memory.check()
        assert found.is_whole
        assert "message 'ahead' in session 'default' of user 'default' is dated ahead" in found.remarks[0]
        shown = memory.context("where do I live", budget_tokens=500)
        assert "user (dated ahead): I live in Mars." in shown.text
        assert shown.messages[-1]["content"] == "I'll be in the office on Monday."
        assert "дата из будущего" in memory.context("Где я живу?", budget_tokens=500).text
        memory.rebuild()


def test_a_clock_that_is_always_ahead_keeps_the_order_of_arrival(make: MakeMemory) -> None:
    memory = make()
    for number in range(5):
        memory.add("user", f"word{number}", id=str(number), time=f"{2999 - number}-01-01")
    memory.catch_up()
    assert [m.id for m in memory.messages()] == list("01234")
    assert [m["content"] for m in memory.context("x", budget_tokens=200).messages] == [f"word{n}" for n in range(5)]


def test_a_context_of_a_moment_shows_the_facts_that_hold_then(make: MakeMemory) -> None:
    memory = make(fact_days={"plans": 30})
    memory.add("user", "I live in Oslo. I plan to visit Iceland.", time="2026-01-01")
    memory.add("user", "I moved to Riga.", session="other", time="2026-03-01")
    memory.add("user", "I no longer live in Riga.", time="2026-05-01")
    memory.catch_up()
    memory.set_fact("works at", "Nokia", valid_until="2999-01-01")

    def facts_at(now: str) -> str:
        text = memory.context("where do I live and what do I plan", session="new", now=now, budget_tokens=2_000).text
        return text.split("Facts:")[1].split("Earlier messages:")[0] if "Facts:" in text else ""

    assert "Oslo" in facts_at("2026-01-15")
    assert "Iceland" in facts_at("2026-01-15")
    assert "Riga" not in facts_at("2026-01-15")
    assert "Iceland" not in facts_at("2026-02-15")
    assert "lives in: Riga (before: Oslo)" in facts_at("2026-03-15")
    assert "lives in" not in facts_at("2026-05-15")
    assert "Nokia" in facts_at("2026-05-15")
    assert "Nokia" not in facts_at("3000-01-01")
    assert [f.value for f in memory.facts(now="2025-01-01")] == ["Nokia"]
