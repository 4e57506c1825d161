"""A context says of each message why it is there, and the memory of any message why it is not."""

import json
from dataclasses import asdict

import pytest

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory import Capacities, Portions, ThreeLevelMemory
from memory_stores import MakeMemory, hashed, message_of

pytest.importorskip("Stemmer", reason='needs the extra "memory"')


def told(memory: ThreeLevelMemory) -> None:
    """A talk in which one message tells of volcanoes and the rest of nothing."""
    memory.add("user", "My sister studies volcanoes in Iceland.", id="sister")
    for number in range(40):
        memory.add("assistant" if number % 2 else "user", message_of(number), id=str(number))


def test_reasons_are_given_for_each_shown_message_in_its_order_when_they_are_asked_for(make: MakeMemory) -> None:
    memory = make()
    told(memory)
    plain = memory.context("Who studies volcanoes?", budget_tokens=400)
    explained = memory.context("Who studies volcanoes?", budget_tokens=400, explain=True)
    assert plain.reasons == ()
    assert (explained.text, explained.messages, explained.source_ids) == (plain.text, plain.messages, plain.source_ids)
    in_full = [reason.id for reason in explained.reasons if "only part of it" not in reason.text]
    assert in_full == list(explained.source_ids)
    assert json.loads(json.dumps(explained.to_dict()))["reasons"][0]["id"] == explained.reasons[0].id
    assert all(one.text for one in explained.reasons)


def test_what_was_found_names_its_words_legs_score_and_rank(make: MakeMemory) -> None:
    memory = make()
    told(memory)
    context = memory.context("Who studies volcanoes?", budget_tokens=200, explain=True)
    (reason,) = [one for one in context.reasons if one.id == "sister"]
    assert (reason.part, reason.cause, reason.rank, reason.legs) == ("evidence", "found", 1, ("speech",))
    assert reason.words == ("studies", "volcanoes")
    assert reason.score is not None
    assert reason.score > 0
    assert reason.text.startswith("it is found by the words studies, volcanoes; ranked 1st of ")


def test_the_last_messages_say_so_and_neighbours_that_they_are_near(make: MakeMemory) -> None:
    memory = make()
    told(memory)
    reasons = {one.id: one for one in memory.context("volcanoes", budget_tokens=400, explain=True).reasons}
    assert reasons["39"].cause == reasons["39"].part == "last"
    assert reasons["0"].cause == "neighbour"
    assert reasons["0"].words == ()
    assert "near a message that was found" in reasons["0"].text


def test_a_russian_word_is_found_in_another_form_and_named_as_it_was_asked(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "Мои дети любят вулканы.", id="children")
    (reason,) = memory.context("Что любит ребёнок?", explain=True).reasons
    assert reason.words == ("любит", "ребенок")


def test_misspelt_words_are_told_as_words_alike(make: MakeMemory) -> None:
    memory = make()
    told(memory)
    reason = memory.why("volcanos icelandd", "sister")
    assert reason.is_shown
    assert "words like those that were asked" in memory.why("vulcanoez", "sister").text


def test_meaning_and_time_are_named_as_legs(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("user", "alpha bravo", id="a", time="2024-03-05")
    for number in range(5):
        memory.add("user", f"charlie delta {number}", time="2024-04-05")
    memory.catch_up()
    assert "alike in meaning" in memory.why("alpha", "a").text
    assert (
        "of the time that the question speaks of"
        in memory.why("what was said in March 2024?", "a", now="2024-06-01").text
    )


def test_what_no_word_leads_to_is_not_found(make: MakeMemory) -> None:
    memory = make()
    told(memory)
    reason = memory.why("volcanoes", "20", budget_tokens=120)
    assert (reason.is_shown, reason.part, reason.cause, reason.rank) == (False, None, "not found", None)
    assert reason.text == "it shares no word with the question, and is not searched by meaning"


def test_what_comes_too_late_for_the_budget_names_its_rank(make: MakeMemory) -> None:
    memory = make()
    for number in range(60):
        memory.add("user", f"The volcano number {number} " + message_of(number), id=str(number))
    reasons = [memory.why("volcano", str(number), budget_tokens=200) for number in range(60)]
    over = [one for one in reasons if one.cause == "over budget"]
    assert over
    ranks = [one.rank for one in reasons]
    assert sorted(rank for rank in ranks if rank is not None) == list(range(1, 61))
    assert f"ranked {max(one.rank or 0 for one in over)}th of 60, and the budget was full before its turn" in {
        one.text.split("; ")[-1] for one in over
    }


def test_a_message_of_another_session_says_which(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Riga.", session="a", id="m1")
    memory.add("user", "Hello.", session="b", id="m2")
    reason = memory.why("Riga", "m1", session="b")
    assert reason.session == "a"
    assert reason.cause == "other session" or reason.is_shown


@pytest.mark.parametrize("id", ["theirs", "forgotten", "never"])
def test_of_what_is_not_the_users_nothing_is_told_whatever_it_is(id: str, make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Riga.", id="mine")
    memory.add("user", "The code is 1234.", id="forgotten")
    memory.add("user", "The code is 5678.", id="theirs", user="bob")
    memory.forget("forgotten")
    reason = memory.why("code", id)
    assert reason.cause == "unknown"
    assert asdict(reason) == {
        **asdict(memory.why("code", "x")),
        "id": id,
        "text": memory.why("code", "x").text.replace("'x'", repr(id)),
    }


def test_what_is_only_summarised_names_the_summary(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(100, 400, 400))
    for number in range(60):
        memory.add("user", f"On day {number} we decided to meet Anna at 15:{number:02} in Riga.", id=str(number))
    memory.catch_up()
    alone = Portions(num_last=2, fills=False)  # nothing else takes the room
    reasons = [memory.why("nothing like it", str(n), budget_tokens=2_400, portions=alone) for n in range(60)]
    summarised = [one for one in reasons if one.cause == "summarised"]
    assert summarised
    assert all(one.part == "timeline" and not one.is_shown and "a summary of #" in one.text for one in summarised)


def test_what_was_superseded_names_what_is_true(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "I live in Moscow.", id="old", time=1_000_000)
    memory.add("user", "I live in Kazan.", id="new", time=2_000_000)
    memory.catch_up()
    assert "that lives in: Moscow was superseded by Kazan, in #2" in memory.why("Where do I live?", "old").text
    assert "superseded" not in memory.why("Where do I live?", "new").text


def test_asking_why_is_as_strict_as_every_other_reading(make: MakeMemory) -> None:
    memory = make()
    with pytest.raises(DataError, match="user"):
        memory.why("x", "y", user="")
    with pytest.raises(DataError, match="id"):
        memory.why("x", " ")
    with pytest.raises(ConfigError, match="budget_tokens=0"):
        memory.why("x", "y", budget_tokens=0)
