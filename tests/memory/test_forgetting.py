"""Forgetting, making anew, moving out and in."""

import json
from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory import Capacities, ThreeLevelMemory
from memory_stores import WORDS, MakeMemory, message_of


def test_what_is_forgotten_is_gone_from_everywhere(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(200, 300, 300))
    memory.add("user", "My cat Zanzibar lives in Timbuktu.", id="secret")
    memory.add("user", "I live in Timbuktu.", id="secret2")
    for number in range(80):
        memory.add("user", message_of(number))
    memory.catch_up()
    assert "Timbuktu" in json.dumps([f.value for f in memory.facts()]) + memory.context("Timbuktu").text
    gone = memory.forget("secret", "secret2")
    assert (gone.num_messages, gone.num_facts > 0, gone.num_summaries > 0, gone.bytes_erased) == (2, True, True, True)
    memory.catch_up()
    left = [
        *(m.content for m in memory.messages()),
        *(s.text for s in memory.summaries()),
        *(f.value for f in memory.facts(superseded=True)),
    ]
    assert not any("Timbuktu" in text or "Zanzibar" in text for text in left)
    assert memory.search("Zanzibar Timbuktu") == []
    stats = memory.stats()
    assert sum(level.num_tokens for level in stats) == stats.num_tokens == 80 * 18
    memory.add("user", "after", id="after")
    assert [m.place for m in memory.messages()][-1] == 83


def test_forgetting_takes_what_is_named_and_only_that(make: MakeMemory) -> None:
    memory = make()
    for user in ("ann", "bob"):
        for session in ("s1", "s2"):
            memory.add("user", f"{user} {session} old", user=user, session=session, time=100)
            memory.add("user", f"{user} {session} new", user=user, session=session, time=200)
            memory.pin("pin", user=user, session=session)
    with pytest.raises(ConfigError, match="say what"):
        memory.forget()
    assert memory.forget(user="ann", before=150).num_messages == 2
    assert memory.forget(user="bob", containing="S1 NEW").num_messages == 1
    assert memory.forget(user="bob", session="s2").num_messages == 2
    assert [(s.user, s.session, s.num_messages) for s in memory.sessions()] == [
        ("bob", "s1", 1),
        ("ann", "s1", 1),
        ("ann", "s2", 1),
    ]
    memory.forget(user="ann")
    assert [(s.user, s.session) for s in memory.sessions()] == [("bob", "s1")]
    assert memory.pins(user="ann") == []
    assert memory.forget("no such id", user="bob").num_messages == 0


def test_a_superseded_fact_holds_again_when_its_successor_is_forgotten(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Moscow.", id="old")
    memory.add("user", "I live in Kazan.", id="new")
    memory.catch_up()
    memory.forget("new")
    assert [(f.value, f.contradicts) for f in memory.facts(superseded=True)] == [("Moscow", ())]


def test_everything_derived_is_the_same_after_a_rebuild(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(300, 500, 5_000))
    for number in range(60):
        memory.add(
            "user",
            f"I like {WORDS[number % 18]} number {number}. {message_of(number)}",
            id=str(number),
            time=1_000 + number,
        )
    memory.pin("pinned")
    memory.catch_up()

    def state() -> tuple[object, ...]:
        return (
            [(s.level, s.first_place, s.last_place, s.text) for s in memory.summaries()],
            [(f.relation, f.value, f.source_id, f.superseded_by is None) for f in memory.facts(superseded=True)],
            memory.context("alpha bravo number 7", budget_tokens=400).text,
            [(f.message.id, f.score) for f in memory.search("charlie n7x")],
            [str(level) for level in memory.stats()],
        )

    before = state()
    assert memory.rebuild() == 60
    memory.catch_up()
    after = state()
    assert after == before


def test_export_and_import_give_the_same_memory_and_importing_twice_adds_nothing(
    make: MakeMemory, tmp_path: Path, location: str
) -> None:
    memory = make()
    memory.add("user", "Ёж и\nновая строка", id="a", user="ann", session="s1", time=100.5)
    memory.add("Bob", "hello \u2028 there", user="ann", session="s2", time=200)
    memory.pin("pinned", user="ann", session="s1")
    done = memory.export_jsonl(tmp_path / "out.jsonl")
    assert (done.num_messages, done.num_pins) == (2, 1)
    with ThreeLevelMemory(tmp_path / "copy.db", background=False) as copy:
        assert copy.import_jsonl(tmp_path / "out.jsonl").num_messages == 2
        again = copy.import_jsonl(tmp_path / "out.jsonl")
        assert (again.num_messages, again.num_pins, again.num_present) == (0, 0, 2)
        assert copy.export_jsonl(tmp_path / "again.jsonl").num_messages == 2
    assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "out.jsonl").read_text()


def test_plain_chat_files_are_imported_and_a_bad_line_is_named(make: MakeMemory, tmp_path: Path) -> None:
    memory = make()
    file = tmp_path / "chat.jsonl"
    file.write_text(
        '{"role": "user", "content": "hello"}\n\n{"session": "s2", "messages": '
        '[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]}\n'
    )
    assert memory.import_jsonl(file).num_messages == 3
    assert memory.import_jsonl(file).num_messages == 0
    assert [m.content for m in memory.messages(session="s2")] == ["one", "two"]
    for line, words in {
        "nonsense": "line 2 is not JSON",
        "[1]": "needed is an object",
        '{"role": "user"}': "content is None",
        '{"messages": 3}': "must be a list",
    }.items():
        file.write_text('{"role": "user", "content": "fine"}\n' + line)
        with pytest.raises(DataError, match=words):
            memory.import_jsonl(file)
    with pytest.raises(DataError, match="cannot read"):
        memory.import_jsonl(tmp_path / "absent.jsonl")


def test_what_stands_before_a_bad_line_has_been_added(make: MakeMemory, tmp_path: Path) -> None:
    memory, file = make(), tmp_path / "chat.jsonl"
    good = [json.dumps({"role": "user", "content": f"message {number}"}) for number in range(3)]
    file.write_text("\n".join([*good, "nonsense"]))
    with pytest.raises(DataError, match="line 4 is not JSON"):
        memory.import_jsonl(file)
    assert [m.content for m in memory.messages()] == ["message 0", "message 1", "message 2"]
    file.write_text("\n".join([*good, json.dumps({"role": "user", "content": "mended"})]))
    moved = memory.import_jsonl(file)
    assert (moved.num_messages, moved.num_present) == (1, 3)


def test_the_counts_of_a_session_are_those_of_its_log_after_forgetting(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(100, 200, 10_000))
    for number in range(60):
        memory.add("user", message_of(number), id=f"m{number}")
    memory.forget("m0", "m50", "m59")
    log = list(memory.messages())
    tokens = [sum(m.num_tokens for m in log if m.level == level) for level in ("current", "stale", "long")]
    assert all(tokens)
    with memory.store.read() as rows:
        counts = rows.one("SELECT num_messages, current_tokens, stale_tokens, long_tokens FROM sessions")
        assert counts == (57, *tokens)
        assert rows.one("SELECT num_words FROM sessions") == rows.one("SELECT sum(num_words) FROM messages")
