"""Forgetting, making anew, moving out and in."""

import json
from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError, DataError, StorageError, UnknownNameError
from interconnected_ai.memory import Capacities, Message, ThreeLevelMemory, transfer
from memory_stores import WORDS, MakeMemory, bytes_of, message_of


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
    assert memory.forget(user="bob", session="s2", everything=True).num_messages == 2
    assert [(s.user, s.session, s.num_messages) for s in memory.sessions(everyone=True)] == [
        ("bob", "s1", 1),
        ("ann", "s1", 1),
        ("ann", "s2", 1),
    ]
    memory.forget(user="ann", everything=True)
    assert [(s.user, s.session) for s in memory.sessions(everyone=True)] == [("bob", "s1")]
    assert memory.pins(user="ann") == []


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
@pytest.mark.parametrize("name", ["user", "session", "before", "containing", "id"])
def test_a_blank_condition_is_refused_and_nothing_is_forgotten(make: MakeMemory, name: str, blank: str) -> None:
    memory = make()
    memory.add("user", "alpha", id="a")
    ids, named = ([blank], {}) if name == "id" else ([], {name: blank})
    for call in (memory.forget, memory.forgettable):
        with pytest.raises(ConfigError, match="is blank, which names nothing"):
            call(*ids, **named)
        with pytest.raises(ConfigError, match="is blank, which names nothing"):
            call("a", *ids, **named)
    assert memory.stats().num_messages == 1


def test_what_is_not_there_is_an_error_that_names_the_nearest_and_nothing_is_forgotten(make: MakeMemory) -> None:
    memory = make()
    for user in ("ann", "bob"):
        for session in ("trip", "work"):
            memory.add("user", "alpha", id=f"{session}-1", user=user, session=session)
    number = memory.pin("pinned", user="ann").number
    for ids, named, words in (
        ((), {"user": "anna", "everything": True}, "unknown user 'anna'; known, nearest first: 'ann', 'bob'"),
        ((), {"user": "ann", "session": "trips", "everything": True},
         "unknown session of user 'ann' 'trips'; known, nearest first: 'trip'"),
        (("trip-1", "trip-2"), {"user": "ann"}, "unknown message id of user 'ann' 'trip-2'; known, nearest first: 'trip-1'"),
        (("work-1",), {"user": "ann", "session": "trip"}, "unknown message id of user 'ann' 'work-1'"),
        ((), {"user": "ann", "pin": number + 1}, f"unknown pin of user 'ann' '{number + 1}'; known, nearest first: '{number}'"),
        ((), {"user": "bob", "pin": number}, "unknown pin of user 'bob'"),
        ((), {"session": "trip", "everything": True}, "unknown user 'default'"),
    ):  # fmt: skip
        for call in (memory.forget, memory.forgettable):
            with pytest.raises(UnknownNameError) as refused:
                call(*ids, **named)
            assert str(refused.value).startswith(words)
    assert (memory.stats(everyone=True).num_messages, len(memory.pins(user="ann"))) == (4, 1)


def test_it_is_said_beforehand_how_much_will_be_forgotten(make: MakeMemory) -> None:
    memory = make()
    for session in ("trip", "work", "home"):
        memory.add("user", f"alpha {session}", session=session, id=session, time=100)
        memory.add("user", "bravo", session=session, time=200)
        memory.pin("pinned", session=session)
    everywhere = memory.pin("everywhere").number
    for ids, named, found in (
        (("trip", "work"), {}, (2, 2, 0)),
        ((), {"containing": "BRAVO"}, (3, 3, 0)),
        ((), {"containing": "nowhere"}, (0, 0, 0)),
        ((), {"before": 150, "session": "trip"}, (1, 1, 0)),
        ((), {"pin": everywhere}, (0, 0, 1)),
        ((), {"session": "trip", "everything": True}, (2, 1, 1)),
        ((), {"user": "default", "everything": True}, (4, 2, 2)),  # what the lines above have left
    ):
        told = memory.forgettable(*ids, **named)
        assert (told.num_messages, told.num_sessions, told.num_pins) == found
        if ids or "containing" in named or "before" in named:
            continue  # only the last three are carried out, so that their counts do not hang together
        gone = memory.forget(*ids, **named)
        assert (gone.num_messages, gone.num_pins) == (told.num_messages, told.num_pins)
    assert memory.sessions(everyone=True) == []


def test_an_export_of_whom_nobody_knows_writes_nothing_and_a_file_is_replaced_only_when_asked(
    make: MakeMemory, tmp_path: Path
) -> None:
    memory, file = make(), tmp_path / "backup.jsonl"
    memory.add("user", "alpha", user="ann", session="trip")
    memory.export_jsonl(file)
    whole = file.read_bytes()
    for named in ({"session": "trips"}, {"user": "anna"}, {"user": "ann", "session": "work"}):
        for overwrite in (False, True):
            with pytest.raises(UnknownNameError, match=r"nearest first: '(trip|ann)'"):
                memory.export_jsonl(file, overwrite=overwrite, **named)
    with pytest.raises(ConfigError, match="session=' ' is blank"):
        memory.export_jsonl(file, session=" ", overwrite=True)
    with pytest.raises(StorageError, match="exists; use --overwrite"):
        memory.export_jsonl(file)
    assert file.read_bytes() == whole
    memory.add("user", "bravo", user="ann", session="trip")
    assert memory.export_jsonl(file, overwrite=True).num_messages == 2
    assert file.read_bytes().startswith(whole)


def test_a_file_that_comes_while_an_export_is_written_stays(
    make: MakeMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, file = make(), tmp_path / "backup.jsonl"
    memory.add("user", "alpha")
    row_of = transfer._message_row

    def and_another_writes(message: Message) -> dict[str, str]:
        file.write_text("somebody else's")
        return row_of(message)

    monkeypatch.setattr(transfer, "_message_row", and_another_writes)
    with pytest.raises(StorageError, match="exists"):
        memory.export_jsonl(file)
    assert file.read_text() == "somebody else's"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bad_row_is_named_by_its_line_of_the_file_and_no_other(make: MakeMemory, tmp_path: Path, end: str) -> None:
    memory, file = make(), tmp_path / "chat.jsonl"
    good = '{"role": "user", "content": "one\u2028two"}'
    for bad, words in (
        (b'{"role": "user", "content":', "line 4: not JSON: Expecting value, at character 28 of it"),
        ("привет".encode("cp1251"), "line 4: not UTF-8"),
        (b'{"role": 3}', "line 4: role is 3"),
    ):
        file.write_bytes(f"{good}{end}{end}{good}{end}".encode() + bad + end.encode() + good.encode())
        with pytest.raises(DataError) as refused:
            memory.import_jsonl(file)
        assert words in str(refused.value)
        assert "line 1" not in str(refused.value)
        assert "line 2" not in str(refused.value)


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
        "nonsense": "line 2: not JSON",
        "[1]": "needed is an object",
        '{"role": "user"}': "content is missing",
        '{"messages": 3}': "must be a list",
    }.items():
        file.write_text('{"role": "user", "content": "fine"}\n' + line)
        with pytest.raises(DataError, match=words):
            memory.import_jsonl(file)
    with pytest.raises(DataError, match="cannot read"):
        memory.import_jsonl(tmp_path / "absent.jsonl")


def test_a_bad_line_stops_an_import_before_anything_is_written(make: MakeMemory, tmp_path: Path) -> None:
    memory, file = make(), tmp_path / "chat.jsonl"
    good = [json.dumps({"role": "user", "content": f"message {number}"}) for number in range(3)]
    file.write_text("\n".join([*good, "nonsense"]))
    with pytest.raises(DataError, match="line 4: not JSON"):
        memory.import_jsonl(file)
    assert not memory.sessions()
    skipped = memory.import_jsonl(file, skip_bad=True)
    assert (skipped.num_messages, skipped.num_bad) == (3, 1)
    file.write_text("\n".join([*good, json.dumps({"role": "user", "content": "mended"})]))
    moved = memory.import_jsonl(file)
    assert (moved.num_messages, moved.num_present) == (1, 3)
    assert [m.content for m in memory.messages()] == ["message 0", "message 1", "message 2", "mended"]


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


def test_a_whole_session_or_user_goes_only_by_the_word_for_it(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "alpha", session="trip", id="a")
    for named in ({"session": "trip"}, {"user": "default"}, {"user": "default", "session": "trip"}):
        for call in (memory.forget, memory.forgettable):
            with pytest.raises(ConfigError, match="everything=True"):
                call(**named)
    for ids, named in (((), {}), (("a",), {}), ((), {"containing": "alpha"}), ((), {"pin": 1})):
        with pytest.raises(ConfigError, match=r"everything|say what"):
            memory.forget(*ids, everything=True, **named)
    assert memory.stats().num_messages == 1


def test_words_are_forgotten_wherever_they_stand(make: MakeMemory) -> None:
    memory = make(extract=lambda text: [{"relation": "went to", "value": "Zanzibar"}] if "island" in text else [])
    memory.add("user", "We saw Zanzibar.", session="zanzibar trip", id="said")
    memory.add("user", "We swam.", session="zanzibar trip", id="other")
    memory.add("user", "That island, Zanzibar, again.", session="learnt", id="learnt")
    memory.add("user", "Nothing of it.", session="learnt", id="kept")
    memory.pin("Remember ZANZIBAR", user="default")
    memory.pin("zanzibar here", session="learnt")
    memory.pin("another word")
    memory.pin("zanzibar of another user", user="ann")
    memory.catch_up()
    told = memory.forgettable(containing="Zanzibar")
    gone = memory.forget(containing="Zanzibar")
    assert (told.num_messages, told.num_sessions, told.num_pins) == (2, 2, 2)
    assert (gone.num_messages, gone.num_facts, gone.num_pins, gone.num_sessions) == (2, 1, 2, 1)
    left = [s.session for s in memory.sessions()]
    assert len(left) == 2
    assert "learnt" in left
    assert [m.id for name in left for m in memory.messages(session=name) if name != "learnt"] == ["other"]
    assert [m.id for m in memory.messages(session="learnt")] == ["kept"]
    assert [pin.text for pin in memory.pins()] == ["another word"]
    assert len(memory.pins(user="ann")) == 1


def test_the_name_of_an_empty_session_is_words_too(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
        memory.add("user", "alpha", session="zanzibar", id="a")
        memory.forget("a", session="zanzibar")
        gone = memory.forget(containing="zanzibar")
        assert (gone.num_messages, gone.num_sessions, gone.bytes_erased) == (0, 1, True)
    assert b"zanzibar" not in bytes_of(tmp_path)
