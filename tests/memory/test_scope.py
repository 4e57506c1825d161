"""A user's memory spans that user's sessions; one session can be read as if there were no other; nobody reads another's."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory import Capacities, Portions, SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.postgres import PostgresStore
from memory_stores import WORDS, MakeMemory, count_words, hashed, message_of
from properties import examples


def test_what_was_told_on_monday_in_one_chat_is_known_on_tuesday_in_another(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Berlin. My dog is called Rex.", session="monday", time="2026-03-02T10:00")
    memory.add("user", "Я работаю в Яндексе.", session="понедельник", time="2026-03-02T11:00")
    memory.catch_up()
    found = memory.context("what is my dog called", session="tuesday", budget_tokens=500)
    assert "Rex" in found.text
    assert "user lives in: Berlin" in found.text
    assert "[2026-03-02, another conversation]\n> user: I live in Berlin" in found.text
    russian = memory.context("Где я работаю?", session="вторник", budget_tokens=500).text
    assert "работает в: Яндексе" in russian
    assert "другой разговор" in russian
    alone = memory.context("what is my dog called", session="tuesday", budget_tokens=500, scope="session")
    assert (alone.text, alone.source_ids) == ("", ())


@pytest.mark.parametrize("later_first", [False, True])
def test_a_newer_fact_supersedes_an_older_one_of_another_chat_whichever_is_read_first(
    make: MakeMemory, later_first: bool
) -> None:
    memory = make()
    said = [("monday", "I live in Berlin", "2026-03-02"), ("tuesday", "I moved to Rome", "2026-03-03")]
    for session, text, time in reversed(said) if later_first else said:
        memory.add("user", text, session=session, time=time)
        memory.catch_up()
    for _ in range(2):
        assert [(f.value, f.session) for f in memory.facts()] == [("Rome", "tuesday")]
        assert "Rome (before: Berlin)" in memory.context("where do I live", session="new", budget_tokens=300).text
        assert [f.value for f in memory.facts(session="monday", scope="session")] == ["Berlin"]
        assert "Berlin" in memory.context("where do I live", session="monday", budget_tokens=300, scope="session").text
        memory.rebuild()
        memory.catch_up()


def test_a_value_that_was_said_in_three_chats_is_one_fact_and_holds_again_when_the_first_is_forgotten(
    make: MakeMemory,
) -> None:
    memory = make()
    for day, (session, text) in enumerate(
        [("a", "I live in Berlin"), ("b", "I live in Rome"), ("c", "I live in Berlin"), ("d", "I live in Berlin.")],
        start=1,
    ):
        memory.add("user", text, session=session, id=session, time=f"2026-03-{day:02}")
    memory.catch_up()
    every = [(f.value, f.session) for f in memory.facts(superseded=True)]
    assert every == [("Berlin", "a"), ("Rome", "b"), ("Berlin", "c")]
    assert [(f.value, f.session) for f in memory.facts(session="d", scope="session")] == [("Berlin", "d")]
    assert [f.value for f in memory.facts("Berlin", session="d", scope="session")] == ["Berlin"]
    memory.forget("c", session="c")
    assert [(f.value, f.session) for f in memory.facts()] == [("Berlin", "d")]
    assert [f.session for f in memory.facts("Berlin")] == ["d"]
    assert memory.check().is_whole


def test_the_present_session_goes_before_others_where_scores_tie(make: MakeMemory) -> None:
    memory = make()
    for session in ("one", "two", "three"):
        memory.add("user", "mango pickle", session=session, id=session, time="2026-01-01")
    for session in ("one", "two", "three"):
        assert memory.search("mango", session=session)[0].message.session == session
    assert [f.message.session for f in memory.search("mango", session="two", scope="session")] == ["two"]


def test_summaries_of_all_sessions_are_one_timeline(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(60, 100, 1_000))
    for session, year in (("late", 2026), ("early", 2025)):
        for number in range(12):
            memory.add("user", message_of(number), session=session, time=f"{year}-01-{number + 1:02}")
    memory.catch_up()
    every = memory.summaries(session="late")
    assert [s.session for s in every] == sorted((s.session for s in every), key=["early", "late"].index)
    assert {s.session for s in memory.summaries(session="late", scope="session")} == {"late"}
    shown = memory.context("n3x", session="late", budget_tokens=400, portions=Portions(timeline_tokens=400)).text
    assert re.search(r"> 2025-01-\d\d.* \(another conversation\): ", shown)


def test_vectors_of_all_sessions_are_compared_with_each_other(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    for number in range(12):
        memory.add("user", message_of(number), session=f"s{number % 4}", id=str(number))
    memory.catch_up()
    found = memory.search(message_of(7), session="s0")
    assert found[0].message.id == "7"
    assert "vectors" in found[0].legs
    assert {f.message.session for f in memory.search(message_of(7), session="s0", scope="session")} == {"s0"}


@pytest.mark.parametrize("scope", ["users", "", None, "USER"])
def test_a_scope_that_is_none_is_refused(make: MakeMemory, scope: str) -> None:
    memory = make()
    for read in (memory.search, memory.context, memory.facts):
        with pytest.raises(ConfigError, match="known are 'user', 'session'"):
            read("x", session="s", scope=scope)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="needs a session"):
        memory.search("x", scope="session")


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 17)), min_size=1, max_size=40),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
)
def test_no_scope_gives_words_of_another_user(
    tmp_path: Path, said: list[tuple[str, str, int]], query: list[str]
) -> None:
    file = tmp_path / f"{abs(hash((tuple(said), tuple(query))))}.db"
    with ThreeLevelMemory(
        SQLiteStore(file, synchronous="OFF"), Capacities(60, 60, 60), count_tokens=count_words, background=False
    ) as memory:
        for number, (user, session, word) in enumerate(said):
            secret = f"secret{user}{session}{number}"
            memory.add("user", f"I live in {secret}. I like {WORDS[word]} {secret}.", user=user, session=session)
            memory.pin(f"pin{user}{session}{number}", user=user, session=session)
        memory.catch_up()
        for user in "ab":
            for session in "xyz":
                for scope, letters in (("user", 1), ("session", 2)):
                    where = {"user": user, "session": session, "scope": scope}
                    seen = memory.context(" ".join([*query, "secret"]), budget_tokens=400, **where).text
                    seen += json.dumps([f.message.content for f in memory.search(" ".join(query), **where)])
                    for asked in (None, " ".join(query)):
                        seen += json.dumps([f.value for f in memory.facts(asked, superseded=True, **where)])
                    seen += json.dumps([s.text for s in memory.summaries(**where)])
                    assert {m[:letters] for m in re.findall(r"secret(..)", seen)} <= {(user + session)[:letters]}
                    assert set(re.findall(r"pin(..)", seen)) <= {user + session}
    file.unlink()


def as_it_was(memory: ThreeLevelMemory, location: str) -> None:
    """Make a store what one of the first version was: index and facts each session's own."""
    memory.close()
    store = SQLiteStore(location) if "://" not in location else PostgresStore(location)
    with store.write() as rows:
        for session, owner in rows.all("SELECT number, owner FROM sessions WHERE owner <> number"):
            store.move_terms(rows, session, owner, session)
        for index in ("facts_of_user", "facts_in_force", "facts_by_kind", "facts_that_meet", "messages_ahead"):
            rows.run(f"DROP INDEX {index}")
        rows.run("DELETE FROM facts WHERE repeats IS NOT NULL")
        rows.run("UPDATE facts SET superseded_by = NULL, contradicts = '[]'")
        for table, column in (
            ("facts", "user_name"), ("facts", "is_single"), ("facts", "repeats"), ("facts", "own_until"),
            ("sessions", "owner"), ("messages", "ahead"),
        ):  # fmt: skip
            rows.run(f"ALTER TABLE {table} DROP COLUMN {column}")
        rows.run("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
        if isinstance(store, SQLiteStore):
            rows.run("PRAGMA user_version = 1")
    store.close()


def state_of(memory: ThreeLevelMemory) -> object:
    facts = memory.facts(superseded=True)
    values = {fact.number: fact.value for fact in facts}
    return (
        [(f.value, f.session, f.superseded_by and values[f.superseded_by]) for f in facts],
        [f.message.id for f in memory.search("mango Berlin Rome", session="b")],
        memory.context("where do I live", session="c", budget_tokens=400).text,
        [m.is_ahead for m in memory.messages(session="b")],
    )


def test_a_store_of_the_first_version_opens_and_is_what_a_rebuild_makes_of_it(make: MakeMemory, location: str) -> None:
    memory = make()
    memory.add("user", "I live in Berlin. I like mango.", session="a", id="a", time="2026-03-02")
    memory.add("user", "I moved to Rome. I like opera and mango.", session="b", id="b", time="2026-03-03")
    memory.add("user", "mango of tomorrow", session="b", id="ahead", time="2999-01-01")
    memory.set_fact("works at", "Nokia", session="c")
    memory.catch_up()
    wanted = state_of(memory)
    as_it_was(memory, location)
    again = make()
    assert state_of(again) == wanted
    assert again.check().is_whole
    again.rebuild()
    again.catch_up()
    assert state_of(again) == wanted


def test_many_chats_of_one_user_are_looked_up_as_one(make: MakeMemory) -> None:
    memory = make()
    for number in range(40):
        memory.add("user", f"thing{number} in a chat of its own", session=f"chat {number}", id=str(number))
    with memory.store.read() as rows:
        assert rows.all("SELECT DISTINCT owner FROM sessions") == [(1,)]
    assert [f.message.id for f in memory.search("thing31", session="chat 3")] == ["31"]
    memory.forget(session="chat 0", everything=True)
    memory.add("user", "thing40 too", session="chat 40", id="40")
    memory.add("user", "thing41 of another", user="eve", id="41")
    assert [f.message.id for f in memory.search("thing40")] == ["40"]
    assert "41" not in {f.message.id for f in memory.search("thing41")}
    assert [f.message.id for f in memory.search("thing41", user="eve")] == ["41"]
