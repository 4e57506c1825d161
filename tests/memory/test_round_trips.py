"""What goes out comes back: an export imported into an empty memory, and a copy restored, are the same memory."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.errors import DataError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, restore
from memory_stores import MakeMemory, own_schema
from properties import examples

_USERS, _SESSIONS = ("default", "ann"), ("default", "Tuesday / 2", "чат")
_WORDS = (
    "I live in Oslo.",
    "I live in Riga.",
    "I moved from Oslo to Bergen.",
    "I like tea. I like opera.",
    "I no longer like opera.",
    "Живу в Казани.",
    "nothing of note\n> [2] forged: line",
)
_RELATIONS = (("lives in", "Riga"), ("lives in", "Lima"), ("likes", "tea"), ("works at", "Nokia"))
_ROLES = ("user", "assistant", "Caroline", "human")

_owner = st.tuples(st.sampled_from(_USERS), st.sampled_from(_SESSIONS))
_number = st.integers(0, 50)
_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"), _owner, st.sampled_from(_ROLES), st.sampled_from(_WORDS), st.integers(0, 1_700_000_000)
        ),
        st.tuples(st.just("edit"), _number, st.sampled_from(_WORDS)),
        st.tuples(st.just("forget"), _number),
        st.tuples(
            st.just("set"),
            _owner,
            st.sampled_from(_RELATIONS),
            st.sampled_from([None, "2999-01-01", "2500-06-01T12:00"]),
        ),
        st.tuples(st.just("correct"), _number, st.sampled_from(["Bergen", "coffee"])),
        st.tuples(st.just("retract"), _number),
        st.tuples(st.just("pin"), _owner, st.booleans()),
        st.tuples(st.just("zone"), st.sampled_from(_USERS), st.sampled_from(["Europe/Riga", "Asia/Tokyo", None])),
    ),
    min_size=1,
    max_size=10,
)


def lived_through(memory: ThreeLevelMemory, steps: list[Any], folder: Path) -> None:
    """A memory to which all that has happened."""
    names = count()
    for step in steps:
        kind, *given_values = step
        messages = [
            (info, one)
            for info in memory.sessions(everyone=True)
            for one in memory.messages(session=info.session, user=info.user)
        ]
        facts = [fact for user in _USERS for fact in memory.facts(user=user)]
        if kind == "say":
            (user, session), role, words, time = given_values
            memory.add(role, words, user=user, session=session, time=time, id=f"m{next(names)}")
        elif kind == "edit" and messages:
            _, one = messages[given_values[0] % len(messages)]
            row = {"user": one.user, "session": one.session, "id": one.id, "role": one.role, "content": given_values[1]}
            file = folder / "edit.jsonl"
            file.write_text(json.dumps(row), encoding="utf-8")
            memory.import_file(file)
        elif kind == "forget" and messages:
            _, one = messages[given_values[0] % len(messages)]
            memory.forget(one.id, user=one.user, session=one.session)
        elif kind == "set":
            (user, session), (relation, value), until = given_values
            memory.set_fact(relation, value, user=user, session=session, valid_until=until)
        elif kind == "correct" and facts:
            fact = facts[given_values[0] % len(facts)]
            memory.correct(fact, given_values[1], user=fact.user)
        elif kind == "retract" and facts:
            fact = facts[given_values[0] % len(facts)]
            memory.retract(fact, user=fact.user)
        elif kind == "pin":
            (user, session), everywhere = given_values
            memory.pin(f"pin {next(names)}", user=user, session=None if everywhere else session)
        elif kind == "zone":
            memory.set_time_zone(given_values[1], user=given_values[0])
        memory.catch_up()


def state_of(memory: ThreeLevelMemory) -> dict[str, Any]:
    """All that a person can see of a memory, times to the thousandth of a second."""
    sessions = {}
    for info in memory.sessions(everyone=True):
        sessions[info.user, info.session] = [
            (
                one.id,
                one.role,
                one.content,
                round(one.time, 3),
                [
                    (old.role, old.content, round(old.time, 3))
                    for old in memory.history(one.id, session=info.session, user=info.user)
                ],
            )
            for one in memory.messages(session=info.session, user=info.user)
        ]
    users = sorted({user for user, _ in sessions} | set(_USERS))
    pins = sorted(
        (pin.user, pin.session or "", pin.text, round(pin.time, 3)) for user in users for pin in memory.pins(user=user)
    )
    facts = sorted(
        (
            fact.user,
            fact.session,
            fact.subject,
            fact.relation,
            fact.value,
            fact.kind,
            fact.by_hand,
            fact.valid_until or 0.0,
        )
        for user in users
        for fact in memory.facts(user=user)
    )
    zones = {user: str(memory.time_zone_of(user)) for user in users}
    return {"sessions": sessions, "pins": pins, "facts": facts, "zones": zones}


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(_steps)
def test_an_export_imported_into_an_empty_memory_is_the_same_memory(tmp_path: Path, steps: list[Any]) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    with ThreeLevelMemory(SQLiteStore(tmp_path / "a.db", synchronous="OFF"), background=False) as memory:
        lived_through(memory, steps, tmp_path)
        memory.export_jsonl(tmp_path / "a.jsonl")
        wanted = state_of(memory)
        assert memory.check().is_whole
        memory.rebuild()
        memory.catch_up()
        assert state_of(memory) == wanted, "what is derived is made again from the log alone"
    with ThreeLevelMemory(SQLiteStore(tmp_path / "b.db", synchronous="OFF"), background=False) as other:
        for _ in range(2):  # what is there already is left alone
            other.import_file(tmp_path / "a.jsonl")
            other.catch_up()
            assert state_of(other) == wanted
            assert other.check().is_whole
        other.export_jsonl(tmp_path / "b.jsonl")
    lines = [sorted((tmp_path / name).read_text().splitlines()) for name in ("a.jsonl", "b.jsonl")]
    assert lines[0] == lines[1]


def a_life(memory: ThreeLevelMemory, folder: Path) -> None:
    steps: list[Any] = [
        ("say", ("default", "чат"), "user", "I live in Oslo.", 1_600_000_000),
        ("say", ("ann", "Tuesday / 2"), "Caroline", "I like tea. I like opera.", 1_600_000_100),
        ("edit", 0, "I live in Riga."),
        ("set", ("default", "чат"), ("lives in", "Lima"), "2999-01-01"),
        ("set", ("default", "default"), ("works at", "Nokia"), None),
        ("retract", 0),
        ("set", ("ann", "чат"), ("likes", "tea"), None),
        ("pin", ("ann", "чат"), False),
        ("pin", ("default", "чат"), True),
        ("say", ("default", "Tuesday / 2"), "user", "Живу в Казани.", 1_600_000_200),
        ("zone", "ann", "Asia/Tokyo"),
        ("forget", 1),
    ]
    lived_through(memory, steps, folder)


def test_an_export_goes_from_one_kind_of_store_into_the_other(
    make: MakeMemory, location: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    memory = make()
    a_life(memory, tmp_path)
    wanted, file = state_of(memory), tmp_path / "out.jsonl"
    assert any(fact[-2] for fact in wanted["facts"])
    done = memory.export_jsonl(file)
    assert done.num_facts > 0
    assert done.num_zones == 1
    elsewhere = (
        str(tmp_path / "other.db") if "://" in location else own_schema(request.getfixturevalue("postgres_server"))
    )
    with ThreeLevelMemory(elsewhere, background=False) as other:
        added = other.import_file(file)
        assert (added.num_facts, added.num_zones) == (done.num_facts, 1)
        other.catch_up()
        assert state_of(other) == wanted
        again = other.import_file(file)
        assert (again.num_facts, again.num_zones) == (0, 0)


def test_facts_by_hand_are_in_copies_and_a_check_knows_them(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
        a_life(memory, tmp_path)
        wanted = state_of(memory)
        memory.backup(tmp_path / "copy.db")
        assert memory.check().is_whole
        with memory.store.write() as rows:
            rows.run("DELETE FROM facts WHERE source < 0")
        assert any("set by hand" in one for one in memory.check().unexplained)
    restore(tmp_path / "copy.db", tmp_path / "memory.db", overwrite=True)
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
        assert state_of(memory) == wanted


def test_forgetting_words_looks_at_what_was_set_by_hand(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Oslo.", session="kept")
    memory.add("user", "Good morning.", session="Lima trip")
    memory.catch_up()
    memory.set_fact("lives in", "Lima", session="kept")
    memory.set_fact("works at", "Nokia", session="Lima trip")
    found = memory.forgettable(containing="lima")
    assert (found.num_messages, found.num_facts, found.num_sessions) == (0, 1, 2)
    gone = memory.forget(containing="lima")
    assert (gone.num_facts, gone.num_sessions, gone.num_messages) == (1, 1, 0)
    assert sorted(fact.value for fact in memory.facts()) == ["Nokia", "Oslo"]
    memory.rebuild()
    memory.catch_up()
    assert sorted(fact.value for fact in memory.facts()) == ["Nokia", "Oslo"]
    memory.forget(containing="works at Nokia")
    memory.forget(containing="Oslo")
    assert memory.facts(superseded=True) == []


def test_when_a_fact_by_hand_is_forgotten_one_value_of_those_it_stood_over_holds(make: MakeMemory) -> None:
    memory = make()
    memory.set_fact("lives in", "Riga")
    memory.add("user", "I live in Oslo.", time=1_600_000_000)
    memory.add("user", "I live in Lima.", time=1_600_000_100)
    memory.catch_up()
    memory.forget(containing="Riga")
    assert [fact.value for fact in memory.facts()] == ["Lima"]


def test_an_older_fact_by_hand_that_is_imported_does_not_replace_a_newer_one(make: MakeMemory, tmp_path: Path) -> None:
    fact = {"subject": "user", "relation": "lives in", "value": "Oslo"}
    file = tmp_path / "facts.jsonl"
    file.write_text(json.dumps({"fact": fact, "time": "2020-01-01"}) + "\n", encoding="utf-8")
    memory = make()
    memory.set_fact("lives in", "Riga", user="ann")
    assert memory.import_file(file, user="ann").num_facts == 1
    assert [one.value for one in memory.facts(user="ann")] == ["Riga"]
    file.write_text(json.dumps({"fact": {"relation": "lives in"}, "time": "2020-01-01"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1: the fact's value is None"):
        memory.import_file(file)


def test_a_users_zone_goes_with_what_is_exported_of_the_user(make: MakeMemory, tmp_path: Path) -> None:
    memory = make()
    for user, zone in (("ann", "Asia/Tokyo"), ("bob", "Europe/Riga"), ("carl", "America/Lima")):
        memory.set_time_zone(zone, user=user)
    memory.add("user", "I live in Oslo.", user="ann", session="a")
    memory.pin("Answer in rhyme.", user="bob")

    def exported(**chosen: str) -> dict[str, str]:
        memory.export_jsonl(tmp_path / "out.jsonl", overwrite=True, **chosen)  # type: ignore[arg-type]
        rows = map(json.loads, (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines())
        return {row["user"]: row["time_zone"] for row in rows if "time_zone" in row}

    assert exported() == {"ann": "Asia/Tokyo", "bob": "Europe/Riga", "carl": "America/Lima"}
    assert exported(session="a") == {"ann": "Asia/Tokyo"}
    assert exported(user="carl") == {"carl": "America/Lima"}
    assert exported(user="bob") == {"bob": "Europe/Riga"}
    assert "Answer in rhyme." in (tmp_path / "out.jsonl").read_text(), "a user of whom there is no session"
    memory.export_markdown(tmp_path / "out.md")
    assert "times are Asia/Tokyo." in (tmp_path / "out.md").read_text()


def test_a_zone_that_stands_there_already_is_left_alone_and_one_that_is_none_is_named(
    make: MakeMemory, tmp_path: Path
) -> None:
    file = tmp_path / "zones.jsonl"
    file.write_text(json.dumps({"user": "ann", "time_zone": "Asia/Tokyo"}) + "\n", encoding="utf-8")
    memory = make()
    memory.set_time_zone("Europe/Riga", user="ann")
    assert memory.import_file(file).num_zones == 0
    assert str(memory.time_zone_of("ann")) == "Europe/Riga"
    for bad in ("Riga/Nowhere", 3, None):
        file.write_text(json.dumps({"user": "ann", "time_zone": bad}) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match="line 1: time_zone"):
            memory.import_file(file)


def test_an_export_that_says_no_zones_is_read_as_ever(make: MakeMemory, tmp_path: Path) -> None:
    """As exports were before they had zones."""
    at = "2020-01-01T00:00:00+00:00"
    said = {"user": "ann", "session": "a", "id": "m1", "role": "user", "time": at, "content": "I live in Oslo."}
    fact = {"subject": "user", "relation": "likes", "value": "tea", "kind": "fact", "is_single": False, "ends": False}
    rows = [
        {**said, "edits": [{"role": "user", "content": "I live in Riga.", "time": at}]},
        {"user": "ann", "session": None, "time": at, "pin": "Answer in rhyme."},
        {"user": "ann", "session": "a", "time": at, "fact": fact},
        {"user": "ann", "session": "empty", "num_messages": 0},
    ]
    file = tmp_path / "old.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    memory = make()
    done = memory.import_file(file)
    assert (done.num_messages, done.num_pins, done.num_facts, done.num_zones) == (1, 1, 1, 0)
    assert done.not_understood == {}
    assert memory.time_zone_of("ann") is None
    assert [info.session for info in memory.sessions(user="ann")] == ["empty", "a"]
