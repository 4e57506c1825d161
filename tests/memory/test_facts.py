"""Facts, what supersedes them, and pins."""

from types import SimpleNamespace

import pytest

from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.memory import SQLiteStore
from interconnected_ai.memory.fact_rules import Statement
from interconnected_ai.memory.facts import statement_of
from interconnected_ai.memory.postgres import PostgresStore
from memory_stores import MakeMemory


def test_a_newer_fact_supersedes_the_older_and_the_contradiction_is_visible(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Moscow.", time="2026-01-01", id="old")
    memory.add("user", "I moved to Kazan.", time="2026-02-01", id="new")
    memory.add("user", "Я люблю оперу.", time="2026-02-02")
    memory.add("user", "Я больше не люблю оперу.", time="2026-02-03")
    memory.catch_up()
    assert [(f.relation, f.value) for f in memory.facts()] == [("lives in", "Kazan"), ("dislikes", "оперу")]
    every = {f.value + f.relation: f for f in memory.facts(superseded=True)}
    assert len(every) == 4
    old, new = every["Moscowlives in"], every["Kazanlives in"]
    assert (old.superseded_by, old.source_id, new.contradicts) == (new.number, "old", (old.number,))
    assert "Kazan (before: Moscow)" in memory.context("where do I live", budget_tokens=500).text


def test_an_older_fact_that_comes_late_does_not_supersede_a_newer_one(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Kazan.", time="2026-02-01")
    memory.add("user", "I live in Moscow.", time="2025-02-01")
    memory.catch_up()
    assert [f.value for f in memory.facts()] == ["Kazan"]
    assert {f.value for f in memory.facts(superseded=True)} == {"Kazan", "Moscow"}


def test_recalled_text_is_never_learnt_again(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "My name is Anna. I live in Riga.")
    memory.catch_up()
    recalled = memory.context("where do I live", budget_tokens=500).text
    for _ in range(3):
        memory.add("assistant", "I live in Paris. My name is Bot.")
        memory.add("user", recalled)
        memory.add("user", "You said:\n> I live in Oslo\nis that so?")
    memory.catch_up()
    assert [f.value for f in memory.facts(superseded=True)] == ["Anna", "Riga"]


def test_an_extract_callable_makes_the_facts_and_its_nonsense_is_refused(
    make: MakeMemory, caplog: pytest.LogCaptureFixture
) -> None:
    memory = make(
        extract=lambda content: (
            [{"relation": "said", "value": content, "is_single": True}, {"relation": "age", "value": "made up"}]
            if content != "bad"
            else [{"relation": ""}]
        )
    )
    memory.add("user", "four")
    memory.add("user", "seventh")
    memory.catch_up()
    assert [(f.subject, f.relation, f.value) for f in memory.facts()] == [("user", "said", "seventh")]
    memory.add("user", "bad")
    assert memory.catch_up() == 1
    assert "needed are mappings or records with relation and value" in caplog.text
    assert memory.stats().num_jobs == 1
    with memory.store.read() as rows:
        (error,) = rows.one("SELECT error FROM jobs") or ("",)
    assert error.startswith("DataError: extract returned {'relation': ''}")


def test_facts_are_found_by_a_query(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "У меня аллергия на арахис. Я работаю в больнице.")
    memory.catch_up()
    assert [f.value for f in memory.facts("арахиса")] == ["арахис"]


def test_pins_come_along_always_belong_to_their_session_and_have_a_limit(make: MakeMemory) -> None:
    memory = make()
    everywhere, here = memory.pin("Speak Russian"), memory.pin("Only here", session="s1")
    assert "> Speak Russian" in memory.context("x", session="s2", budget_tokens=60).text
    assert [p.text for p in memory.pins(session="s1")] == ["Speak Russian", "Only here"]
    assert [p.text for p in memory.pins(session="s2")] == ["Speak Russian"]
    with pytest.raises(ConfigError, match="1000 tokens"):
        memory.pin("word " * 1_000)
    assert memory.forget(pin=everywhere.number).num_pins == 1
    assert memory.pins() == [here]


def test_a_store_of_before_values_had_hashes_knows_its_facts_again(make: MakeMemory, location: str) -> None:
    memory = make()
    for said in ("I like opera.", "I like the sea.", "I live in Riga."):
        memory.add("user", said)
    memory.catch_up()
    memory.close()
    older = SQLiteStore(location) if "://" not in location else PostgresStore(location)
    with older.write() as rows:
        for index in ("facts_of_user", "facts_in_force", "facts_by_kind", "facts_that_meet"):
            rows.run(f"DROP INDEX {index}")
        for column in ("value_hash", "user_name", "is_single", "repeats", "own_until"):
            rows.run(f"ALTER TABLE facts DROP COLUMN {column}")
        rows.run("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
        rows.run("ALTER TABLE facts DROP COLUMN valid_until")
        rows.run("DROP TABLE hand_facts")
    older.close()
    again = make()
    for said in ("I like OPERA.", "I no longer like the sea.", "I live in Oslo."):
        again.add("user", said)
    again.catch_up()
    assert [(f.relation, f.value) for f in again.facts()] == [
        ("likes", "opera"),
        ("dislikes", "the sea"),
        ("lives in", "Oslo"),
    ]
    assert len(again.facts(superseded=True)) == 5


def test_values_that_share_a_hash_are_still_told_apart(make: MakeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.memory.facts.hash_of", lambda value: 7)
    memory = make()
    for said in ("I like opera.", "I like the sea.", "I no longer like operas."):
        memory.add("user", said)
    memory.catch_up()
    assert [(f.relation, f.value) for f in memory.facts()] == [("likes", "the sea"), ("dislikes", "operas")]


def test_a_fact_forgotten_between_two_leaves_the_links_of_the_others(make: MakeMemory) -> None:
    memory = make()
    for town in ("Riga", "Oslo", "Kazan"):
        memory.add("user", f"I live in {town}.", id=town)
    memory.add("user", "I live in Paris.", id="Paris", time=1)  # told last, but of long ago
    memory.catch_up()
    memory.forget("Oslo")
    facts = {fact.value: fact for fact in memory.facts(superseded=True)}
    paris, riga, kazan = facts["Paris"], facts["Riga"], facts["Kazan"]
    assert (paris.contradicts, paris.superseded_by) == ((), riga.number)
    assert (riga.contradicts, riga.superseded_by) == ((paris.number,), kazan.number)
    assert (kazan.contradicts, kazan.superseded_by) == ((riga.number,), None)
    memory.forget("Paris", "Kazan")
    assert {f.value: (f.superseded_by, f.contradicts) for f in memory.facts(superseded=True)} == {"Riga": (None, ())}


@pytest.mark.parametrize(
    ("said", "value", "is_kept"),
    [
        ("I live in Oslo with my dog", "Oslo", True),
        ("I live in Oslo with my dog", "OSLO", True),
        ("I live in Oslo with my dog", "Oslo, Norway", False),
        ("I like hiking and old maps", "hiking, old maps", True),
        ("I like hiking and old maps", "hikes", True),
        ("I like hiking and old maps", "maps and hiking", False),
        ("I have 15 dogs and 2 cats", "15 cats", False),
        ("I have 15 dogs and 2 cats", "2 cats", True),
        ("I have a dog", "a cat", False),
        ("Живу в Казани, завёл пса", "Казань", True),
        ("Живу в Казани, завёл пса", "пёс", True),
        ("Живу в Казани, завёл пса", "кот", False),
        ("Люблю новую музыку", "новая музыка", True),
        ("Люблю новую музыку", "старая музыка", False),
        ("我住在北京，我喜欢猫", "北京", True),
        ("我住在北京，我喜欢猫", "猫", True),
        ("我住在北京，我喜欢猫", "上海", False),
        ("We run v2.13.0 now", "v2.13.0", True),
        ("We run v2.13.0 now", "v2.14.0", False),
        ("Call me Will", "Will", True),
        ("I love the café", "cafe", True),
    ],
)
def test_a_fact_of_a_model_is_kept_only_where_its_value_stands_in_the_message(
    make: MakeMemory, said: str, value: str, is_kept: bool
) -> None:
    memory = make(extract=lambda content: [{"relation": "about", "value": value}])
    memory.add("user", said)
    memory.catch_up()
    assert [fact.value for fact in memory.facts()] == ([value] if is_kept else [])


def test_what_an_extract_may_return_is_a_mapping_a_record_or_a_statement() -> None:
    full = Statement("Bob", "likes", "tea", "preference", is_single=True)
    given = {"subject": "Bob", "relation": " likes ", "value": " tea ", "kind": "preference", "is_single": True}
    assert statement_of(full, "user") is full
    assert statement_of(given, "user") == full
    assert statement_of(SimpleNamespace(**given), "user") == full
    assert statement_of({"relation": "likes", "value": "tea"}, "user") == Statement("user", "likes", "tea", "fact")
    for bad in (
        {"relation": "likes"},
        {"relation": "likes", "value": 7},
        {"relation": " ", "value": "tea"},
        "likes tea",
    ):
        with pytest.raises(DataError, match="needed are mappings or records"):
            statement_of(bad, "user")


def test_what_somebody_says_is_over_holds_no_more_and_what_begins_in_its_place_does(make: MakeMemory) -> None:
    memory = make()
    said = ("I live in Oslo.", "I own a red Toyota Corolla.", "Я работаю в Яндексе.", "I moved from Oslo to Riga.")
    for day, text in enumerate((*said, "I sold my Toyota.", "Уволился из Яндекса.", "I sold my Toyota."), start=1):
        memory.add("user", text, time=f"2026-01-{day:02}")
    memory.catch_up()
    assert [(f.relation, f.value) for f in memory.facts()] == [("lives in", "Riga")]
    every = [(f.kind, f.relation, f.value) for f in memory.facts(superseded=True)]
    assert every.count(("end", "has", "Toyota")) == 1
    assert "Riga (before: Oslo)" in memory.context("where do I live", budget_tokens=500).text
    memory.add("user", "I own a Toyota again.", time="2026-02-01")
    memory.catch_up()
    assert [f.relation for f in memory.facts()] == ["lives in", "has"]


def test_an_end_ends_what_was_said_before_it_whenever_that_is_told(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I no longer work at Nokia.", time="2026-02-01", id="end")
    memory.add("user", "I work at Nokia.", time="2026-01-01")
    memory.add("user", "I have a dog.", time="2026-03-01")
    memory.add("user", "I no longer have a dog.", time="2026-02-15")
    memory.catch_up()
    assert [(f.relation, f.value) for f in memory.facts()] == [("has", "dog")]
    memory.forget("end")
    assert {(f.relation, f.value) for f in memory.facts()} >= {("has", "dog")}


def test_a_value_in_another_case_or_with_trailing_words_is_the_same_value(make: MakeMemory) -> None:
    memory = make()
    same = (
        ("Я живу в Казани.", "Живу в Казань уже год", "в Казани живём с прошлого года"),
        ("I'm learning Korean.", "I'm learning korean now"),
        ("У меня аллергия на кошек", "я аллергик на кошек, кстати"),
        ("I love old maps", "i really love old maps a lot btw"),
        ("Работаю бухгалтером", "Я бухгалтер"),
    )
    for text in (one for texts in same for one in texts):
        memory.add("user", text)
    memory.catch_up()
    assert len(memory.facts(superseded=True)) == len(same)


def test_a_fact_by_hand_is_not_overwritten_by_what_is_said_nor_lost_in_a_rebuild(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Oslo. I like opera.")
    memory.catch_up()
    made = memory.set_fact("lives in", "Riga")
    assert (made.by_hand, made.source_id, made.value) == (True, "by hand", "Riga")
    memory.add("user", "I moved to Paris. I moved out of Riga.")
    for _ in range(2):
        memory.catch_up()
        assert [(f.relation, f.value) for f in memory.facts() if f.relation == "lives in"] == [("lives in", "Riga")]
        memory.rebuild()
    memory.catch_up()
    assert "lives in: Riga" in memory.context("where do I live", budget_tokens=500).text


def test_what_is_retracted_or_corrected_is_not_learnt_again(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I like opera. I like the sea. I live in Oslo.")
    memory.catch_up()
    opera, sea, oslo = memory.facts()
    memory.retract(opera)
    assert memory.correct(sea.number, "the mountains").by_hand
    memory.correct(oslo, "Bergen")
    memory.add("user", "I like opera. I like the sea. I live in Oslo.")
    for _ in range(2):
        memory.catch_up()
        assert sorted(f.value for f in memory.facts()) == ["Bergen", "the mountains"]
        memory.rebuild()
    memory.catch_up()
    memory.set_fact("likes", "opera")
    assert sorted(f.value for f in memory.facts()) == ["Bergen", "opera", "the mountains"]


def test_only_the_user_of_a_fact_corrects_it_and_only_a_later_end_is_one(make: MakeMemory) -> None:
    memory = make()
    fact = memory.set_fact("lives in", "Riga")
    for user, number in (("eve", fact.number), ("default", fact.number + 1)):
        with pytest.raises(UnknownNameError, match="fact of user"):
            memory.retract(number, user=user)
    with pytest.raises(ConfigError, match="not after"):
        memory.set_fact("lives in", "Oslo", valid_until="2001-01-01")
    with pytest.raises(ConfigError, match="blank"):
        memory.correct(fact, " ")
    assert memory.facts() == [fact]


def test_facts_hold_until_their_time_is_over(make: MakeMemory) -> None:
    memory = make(fact_days={"plans": 30})
    memory.add("user", "I plan to visit Iceland. I live in Riga.", time="2026-01-01")
    memory.catch_up()
    memory.set_fact("works at", "Nokia", valid_until="2999-01-01")
    assert [f.value for f in memory.facts(now="2026-01-15")] == ["visit Iceland", "Riga", "Nokia"]
    assert [f.value for f in memory.facts(now="2026-02-15")] == ["Riga", "Nokia"]
    assert [f.value for f in memory.facts(now="3000-01-01")] == ["Riga"]
    memory.add("user", "I plan to visit Iceland.", time="2026-02-10")
    memory.catch_up()
    assert [f.value for f in memory.facts(now="2026-02-15")] == ["visit Iceland", "Riga", "Nokia"]


def test_what_an_end_had_closed_holds_again_when_the_end_is_forgotten(make: MakeMemory) -> None:
    memory = make()
    for id, text in (("has", "I own a red Toyota Corolla."), ("likes", "I like opera."), ("end", "I sold my Toyota.")):
        memory.add("user", text, id=id)
    memory.catch_up()
    assert [f.value for f in memory.facts()] == ["opera"]
    memory.forget("end")
    assert [f.value for f in memory.facts()] == ["red Toyota Corolla", "opera"]
    assert memory.check().is_whole


def test_what_is_said_after_a_fact_by_hand_is_over_is_learnt(make: MakeMemory) -> None:
    memory = make()
    memory.catch_up()
    riga = memory.set_fact("lives in", "Riga", valid_until="2999-01-01")
    memory.add("user", "I live in Oslo.")
    memory.catch_up()
    assert [f.value for f in memory.facts()] == ["Riga"]
    memory.retract(riga)
    assert [f.value for f in memory.facts()] == []
    memory.add("user", "I live in Paris.")
    for _ in range(2):
        memory.catch_up()
        assert [f.value for f in memory.facts()] == ["Paris"]
        memory.rebuild()


def test_facts_by_hand_go_with_their_session(make: MakeMemory) -> None:
    memory = make()
    memory.set_fact("lives in", "Riga", session="one")
    memory.set_fact("lives in", "Oslo", session="two")
    memory.forget(session="one", everything=True)
    memory.rebuild()
    assert [f.value for f in memory.facts(superseded=True)] == ["Oslo"]
