"""What is found, in what order, for any query at all."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import ThreeLevelMemory
from memory_stores import WORDS, MakeMemory, count_words, message_of
from properties import examples


def test_russian_words_are_found_in_any_form(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "Вчера мы с детьми ходили в зоопарк и видели ёжиков.", id="zoo")
    memory.add("user", "Купил сегодня новые лыжи.", id="ski")
    assert [f.message.id for f in memory.search("ежик в зоопарке")] == ["zoo"]
    assert [f.message.id for f in memory.search("лыжами")] == ["ski"]
    assert memory.search("ребёнок")[0].message.id == "zoo"  # дети: the dictionary knows, a stem could not


def test_codes_names_numbers_and_emoji_are_found_as_they_stand(make: MakeMemory) -> None:
    memory = make()
    for id, content in {
        "v": "we run v2.13.0 now",
        "d": "meet C-3PO",
        "m": "write to Anna@Example.org",
        "e": "🎉 it is done",
        "j": "会議は月曜日です",
    }.items():
        memory.add("user", content, id=id)
    for query, id in {"V2.13.0": "v", "c-3po": "d", "anna@example.org": "m", "🎉": "e", "月曜日": "j"}.items():
        assert memory.search(query)[0].message.id == id


def test_messages_are_found_by_ids_in_whatever_session_of_the_user_they_are(make: MakeMemory) -> None:
    memory = make()
    for session, id, content in (("a", "m1", "alpha"), ("b", "m2", "beta"), ("b", "m1", "of b")):
        memory.add("user", content, session=session, id=id)
    memory.add("user", "theirs", session="a", user="other", id="m3")
    assert [found.content for found in memory.find("m2", "none", "m3", "m1", "m2")] == ["beta", "alpha", "of b"]
    assert memory.find() == memory.find("m1", user="nobody") == []
    many = [f"n{number}" for number in range(600)]
    memory.add_messages([{"role": "user", "content": id, "id": id} for id in many], session="many")
    assert [found.id for found in memory.find(*reversed(many))] == many[::-1]
    memory.forget("m2", session="b")
    assert memory.find("m2") == []


def test_names_that_are_stop_words_and_words_of_other_scripts_are_found(make: MakeMemory) -> None:
    memory = make()
    for id, content in {
        "will": "Will moved to Oslo with his dog.",
        "verb": "I will move to Bergen with my dog, it may rain.",
        "tom": "Том подарил мне книгу.",
        "phone": "我的iPhone坏了，怎么办",
        "cat": "我家有一只猫",
        "korean": "서울에서 고양이를 키워요",
        "thai": "พรุ่งนี้ฉันจะไปเชียงใหม่",
        "arabic": "أعيش في القاهرة",
        "hebrew": "אני גר בחיפה",
        "accent": "We met in a café in Bogotá.",
        "wide": "ＡＢＣ１２３",
    }.items():
        memory.add("user", content, id=id)
    for query, id in {
        "What did Will do?": "will",
        "Кто такой Том?": "tom",
        "iphone": "phone",
        "猫": "cat",
        "고양이": "korean",
        "เชียงใหม่": "thai",
        "القاهرة": "arabic",
        "גר": "hebrew",
        "cafe bogota": "accent",
        "abc123": "wide",
    }.items():
        assert memory.search(query)[0].message.id == id, query


def test_a_misspelt_word_is_found_only_when_nothing_else_is(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "Моя собака любит гулять.", id="dog")
    memory.add("user", "the hippopotamus yawned", id="hippo")
    assert [f.message.id for f in memory.search("hipopotamus")] == ["hippo"]
    assert [f.message.id for f in memory.search("сабака")] == ["dog"]
    assert [f.message.id for f in memory.search("hipopotamus собаку")] == ["dog"]


def test_what_the_user_said_comes_before_what_the_assistant_said_of_it(make: MakeMemory) -> None:
    memory = make()
    memory.add("assistant", "Your flight to Lisbon leaves on Friday.", id="reply")
    memory.add("user", "My flight to Lisbon leaves on Friday.", id="speech")
    assert [f.message.id for f in memory.search("flight Lisbon")] == ["speech", "reply"]


def test_a_neighbour_of_the_words_asked_for_is_evidence_too(make: MakeMemory) -> None:
    memory = make()
    for number in range(30):
        memory.add("Ann" if number % 2 else "Bob", message_of(number))
    memory.add("Ann", "Which restaurant did you choose for the anniversary?", id="asked")
    memory.add("Bob", "The little one by the harbour.", id="answer")
    for number in range(30, 60):
        memory.add("Ann" if number % 2 else "Bob", message_of(number))
    assert [f.message.id for f in memory.search("anniversary restaurant")] == ["asked"]
    assert {f.message.id for f in memory.search("anniversary restaurant", neighbours=True, limit=2)} == {
        "asked",
        "answer",
    }
    assert {"asked", "answer"} <= set(memory.context("anniversary restaurant", budget_tokens=300).source_ids)


def test_a_speaker_named_in_the_question_is_favoured(make: MakeMemory) -> None:
    memory = make()
    memory.add("Bob", "I painted a sunrise.", id="bob")
    memory.add("Ann", "I painted a sunrise.", id="ann")
    assert memory.search("what did Ann paint", neighbours=True)[0].message.id == "ann"
    assert memory.search("what did Bob paint", neighbours=True)[0].message.id == "bob"


def test_a_time_in_the_question_brings_what_was_said_then(make: MakeMemory) -> None:
    memory = make()
    for day in range(1, 29):
        memory.add("user", f"{WORDS[day % 18]} for lunch", id=str(day), time=f"2026-03-{day:02}T12:00")
    found = memory.search("what did I have on March 14?", now="2026-04-02T10:00")
    assert [f.message.id for f in found] == ["14"]
    assert found[0].legs == ("time",)
    russian = memory.search("что было в прошлую среду?", now="2026-03-20T10:00")  # a Friday
    assert [f.message.id for f in russian] == ["18"]


NASTY = [
    '"',
    "'",
    "'; DROP TABLE messages; --",
    "a AND OR NOT NEAR(b",
    "terms:alpha*",
    "^alpha (",
    "alpha\0bravo",
    "%_?",
    "{}[]",
    "\\",
    "х" * 10_000,
    "alpha " * 2_000,
    "",
    "   ",
    "\ud800",
]


@pytest.mark.parametrize("query", NASTY, ids=range(len(NASTY)))
def test_any_query_is_safe(make: MakeMemory, query: str) -> None:
    memory = make()
    memory.add("user", "alpha bravo charlie", id="a")
    memory.search(query)
    memory.facts(query)
    found = memory.context(query, budget_tokens=100)
    assert found.source_ids == ("a",)
    assert memory.stats().num_messages == 1


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=60))
def test_any_query_at_all_is_safe(filled: ThreeLevelMemory, query: str) -> None:
    filled.count_tokens = count_words
    filled.search(query, limit=3)
    filled.context(query, budget_tokens=120)
