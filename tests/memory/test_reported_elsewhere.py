"""What users of memories report in public, each tried on this one."""

import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory import EVIDENCE_ONLY, ThreeLevelMemory, log
from memory_stores import MakeMemory

HALF = "\ud83d"  # of an emoji, as programs that cut strings by UTF-16 leave it


@pytest.mark.parametrize("neighbours", [False, True])
def test_no_messages_are_found_where_none_are_wanted(make: MakeMemory, neighbours: bool) -> None:
    """mem0 6823, khive 2466: a limit of 0 gave one; a negative one gives all where it is a slice."""
    memory = make()
    for number in range(5):
        memory.add("user", f"alpha {number}", time=1_600_000_000)
    assert [len(memory.search("alpha", limit=limit, neighbours=neighbours)) for limit in (0, 1, 3, 10**9)] == [
        0,
        1,
        3,
        5,
    ]
    for limit in (-1, 2.0, "3", None):
        with pytest.raises(ConfigError, match="limit="):
            memory.search("alpha", limit=limit, neighbours=neighbours)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.add("user", f"a {HALF}"),
        lambda memory: memory.add("user", "a", session=HALF),
        lambda memory: memory.add(f"Bob {HALF}", "a"),
        lambda memory: memory.add("user", "a", id=HALF),
        lambda memory: memory.add_messages([{"role": "user", "content": f"a {HALF}"}]),
        lambda memory: memory.pin(f"a {HALF}"),
        lambda memory: memory.set_fact("likes", f"a {HALF}"),
        lambda memory: memory.set_fact(f"likes {HALF}", "a"),
        lambda memory: memory.context("a", user=HALF),
        lambda memory: memory.forget(user=HALF, everything=True),
        lambda memory: memory.forget(HALF),
    ],
)
def test_half_a_character_is_refused_where_it_would_be_kept(
    make: MakeMemory, call: Callable[[ThreeLevelMemory], Any]
) -> None:
    """hindsight 4, MemOS 1048, claude-remember 97."""
    memory = make()
    memory.add("user", "whole")
    with pytest.raises((DataError, ConfigError)):
        call(memory)
    assert memory.stats(everyone=True).num_messages == 1


def test_half_a_character_in_a_question_is_no_word(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I like tea.", id="m1")
    memory.catch_up()
    assert "tea" in memory.context(f"tea {HALF}").text
    assert [one.message.id for one in memory.search(f"te{HALF}a tea")] == ["m1"]
    assert memory.facts(f"{HALF} tea")
    assert memory.forget(containing=f"tea {HALF}").num_messages == 0


def test_a_row_with_half_a_character_is_named(make: MakeMemory, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"role": "user", "content": "good"}\n{"role": "user", "content": "cut \\ud83d"}\n', encoding="utf-8"
    )
    memory = make()
    with pytest.raises(DataError, match="line 2: content has half a character"):
        memory.import_file(file)
    assert memory.import_file(file, skip_bad=True).num_messages == 1


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-01-01T00:00:00-05:00", 1_767_243_600),
        ("2026-01-01T05:00:00Z", 1_767_243_600),
        ("2026-01-01T05:00:00", 1_767_243_600),
        ("2026-01-01T10:30:00.5+05:30", 1_767_243_600.5),
    ],
)
def test_a_time_with_an_offset_is_turned_not_relabelled(make: MakeMemory, said: str, moment: float) -> None:
    """memory-vault 105."""
    memory = make()
    memory.add("user", "alpha", time=said)
    assert next(memory.messages()).time == moment


def test_of_two_that_say_the_same_the_other_stays(make: MakeMemory) -> None:
    """hal0 449: what had the same text shared its entry in the index."""
    memory = make()
    for id in ("first", "second"):
        memory.add("user", "I live in Riga.", id=id, time=1_600_000_000)
    memory.catch_up()
    memory.forget("first")
    assert [one.message.id for one in memory.search("Riga")] == ["second"]
    assert [(one.value, one.source_id) for one in memory.facts()] == [("Riga", "second")]
    assert "Riga" in memory.context("Riga", portions=EVIDENCE_ONLY).text


def test_what_was_just_said_is_there_before_any_work_is_done(make: MakeMemory) -> None:
    """memobase 48, 109: what waits in a buffer is not in a context."""
    memory = make()
    memory.add("user", "My cat is called Miso.")
    assert "Miso" in memory.context("cat").text
    assert memory.search("miso")


def test_messages_of_one_moment_stay_in_their_order(make: MakeMemory, tmp_path: Path) -> None:
    """pydantic-ai 561 and many others."""
    memory = make()
    turns = [("user" if number % 2 == 0 else "assistant", f"n{number}") for number in range(40)]
    for role, content in turns:
        memory.add(role, content, time=1_600_000_000)

    def orders(one: ThreeLevelMemory) -> list[list[str]]:
        shown = one.context("n3").messages[-10:]
        return [[message.content for message in one.messages()], [message["content"] for message in shown]]

    wanted = [[content for _, content in turns], [content for _, content in turns[-10:]]]
    assert orders(memory) == wanted
    memory.rebuild()
    memory.catch_up()
    assert orders(memory) == wanted
    memory.export_jsonl(tmp_path / "out.jsonl")
    with ThreeLevelMemory(tmp_path / "other.db", background=False) as other:
        other.import_file(tmp_path / "out.jsonl")
        other.catch_up()
        assert orders(other) == wanted


def test_a_clock_that_is_put_back_puts_no_answer_before_its_question(
    make: MakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks are set right by seconds, and those of several machines never agree; hours are something else."""
    moments = iter((1_600_000_100.0, 1_600_000_098.5, 1_600_000_041.0, 1_599_990_000.0))
    memory = make()
    now = 0.0
    monkeypatch.setattr(log, "clock", SimpleNamespace(time=lambda: now))
    for content in ("question", "answer", "thanks", "of long ago"):
        now = next(moments)
        memory.add("user", content)
    memory.catch_up()
    assert [one.content for one in memory.messages()] == ["of long ago", "question", "answer", "thanks"]
    memory.add("user", "dated", time=1_600_000_099)
    memory.catch_up()
    assert [one.content for one in memory.messages()][:2] == ["of long ago", "dated"], "a time that is given stands"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1900-01-01", "1969-12-31T23:59:59Z"])
def test_times_that_stand_for_none_harm_nobody(make: MakeMemory, tmp_path: Path, time: str, zone: str) -> None:
    """Other programs write the first or the last moment of their calendar where they know none."""
    memory = make()
    memory.set_time_zone(zone)
    for number in range(3):
        memory.add("user", f"I live in Riga. {'alpha ' * 40}", time=time, id=str(number))
    memory.set_fact("likes", "tea", valid_until="9999-12-31T23:59:59Z")
    memory.catch_up()
    assert "Riga" in memory.context("where do I live").text
    assert "Riga" in memory.context("what did I say yesterday", explain=True).text
    assert memory.why("Riga", "0").is_shown
    assert memory.search("Riga")
    assert len(memory.facts()) == 2
    memory.export_markdown(tmp_path / "out.md")
    memory.export_jsonl(tmp_path / "out.jsonl")
    with ThreeLevelMemory(tmp_path / "other.db", background=False) as other:
        other.import_file(tmp_path / "out.jsonl")
        other.catch_up()
        assert [one.time for one in other.messages()] == [one.time for one in memory.messages()]
        assert "Riga" in other.context("where do I live").text
        assert other.check().unexplained == memory.check().unexplained


@pytest.mark.parametrize(
    "query",
    ['"', "don't alpha", "alpha*", "NEAR(alpha bravo)", "alpha AND OR NOT", "terms:alpha", "-alpha", "^alpha", "alpha/bravo",
     "'; DROP TABLE messages; --", "{alpha}", "alpha)", "multi-agent alpha", "%", "_", "\\", "alpha\x00bravo"],
)  # fmt: skip
def test_a_question_is_words_and_no_program(make: MakeMemory, query: str) -> None:
    """ccrecall 23 and 29, meta_skill 100, khive 880: SQLite's full-text search has a language of its own."""
    memory = make()
    memory.add("user", "alpha bravo", id="m1")
    found = [one.message.id for one in memory.search(query)]
    assert found == (["m1"] if "alpha" in query.lower() else [])
    assert "alpha" in memory.context(query).text
    assert memory.facts(query) == []


def test_whoever_begins_like_another_is_somebody_else(make: MakeMemory) -> None:
    """MemMachine 320; mem0 3743: forgetting one forgot all."""
    memory = make()
    users = ("test", "test_user", "test_user1", "test%", "t", "TEST")
    for user in users:
        memory.add("user", f"I live in {user.title()}ville.", user=user, session=user)
    memory.catch_up()
    memory.forget(user="test_user", everything=True)
    assert {info.user for info in memory.sessions(everyone=True)} == set(users) - {"test_user"}
    for user in set(users) - {"test_user"}:
        assert [one.message.user for one in memory.search("I live in", user=user)] == [user]
    assert memory.search("I live in", user="test_user") == []


def test_a_session_that_is_begun_again_knows_nothing_of_the_old_one(make: MakeMemory) -> None:
    """mem0 5578, 3695; cognee 3526: what was deleted came back from another table."""
    memory = make()
    for _ in range(2):
        memory.add("user", "I live in Oslo. Always answer in rhyme.", session="a")
        memory.pin("Zanzibar", session="a")
        memory.set_fact("likes", "tea", session="a")
        memory.catch_up()
        memory.forget(session="a", everything=True)
        assert (memory.facts(superseded=True), memory.pins(), memory.search("Oslo")) == ([], [], [])
        memory.add("user", "Good morning.", session="a")
        text = memory.context("Where do I live? What do I like?", session="a").text
        assert not any(word in text for word in ("Oslo", "rhyme", "Zanzibar", "tea"))
        memory.forget(session="a", everything=True)


def test_a_fact_that_comes_true_again_is_told_with_its_times(make: MakeMemory) -> None:
    """graphiti 1865: the second time was folded into the first, and the first had ended."""
    memory = make()
    told = (("2020-01-01", "Riga"), ("2021-01-01", "Oslo"), ("2022-01-01", "Riga"))
    for day, city in told:
        memory.add("user", f"I live in {city}.", time=day)
    memory.catch_up()
    assert [one.value for one in memory.facts()] == ["Riga"]
    for day, city in (("2020-06-01", "Riga"), ("2021-06-01", "Oslo"), ("2022-06-01", "Riga")):
        assert [one.value for one in memory.facts(now=day)] == [city], day


def test_a_fact_that_stands_twice_in_one_batch_is_one(make: MakeMemory) -> None:
    """graphiti 1872."""
    memory = make()
    memory.add_messages([{"role": "user", "content": "I live in Riga."}] * 2)
    memory.catch_up()
    assert [one.value for one in memory.facts()] == ["Riga"]


def test_what_a_memory_hands_out_goes_through_a_queue_to_another_process(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Riga.")
    memory.pin("Answer briefly.")
    memory.catch_up()
    context = memory.context("Riga", explain=True)
    handed = (context, memory.search("Riga"), memory.facts(), memory.pins(), memory.stats(), list(memory.messages()))
    assert pickle.loads(pickle.dumps(handed)) == handed  # noqa: S301 - its own
    assert deepcopy(handed) == handed
    json.dumps(context.to_dict())


def test_numbers_where_names_belong_are_refused_by_name(make: MakeMemory) -> None:
    memory = make()
    for named in ({"user": 42}, {"session": 42}, {"id": 42}, {"role": 42}):
        with pytest.raises(DataError, match=f"{next(iter(named))}=42"):
            memory.add(**{"role": "user", "content": "x", **named})  # type: ignore[arg-type]


def test_milliseconds_are_no_seconds(make: MakeMemory) -> None:
    """They would be of the year 55,000, and supersede everything."""
    memory = make()
    with pytest.raises(DataError, match="seconds since 1970"):
        memory.add("user", "x", time=1_700_000_000_000)
