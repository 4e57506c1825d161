"""The sentences that facts are measured on, and what the rules find in them."""

import pytest

from interconnected_ai.bench.facts import GOALS, LANGUAGES, Label, Labelled, Part, bench_facts, rates_of, sentences_of

PARTS: tuple[Part, ...] = ("tuning", "checking", "reported")  # whose rates are held to the goals
# Precision and recall, below which what was held apart may not fall: they are short of the goals and are printed as they are.
HELD = {
    "chats_ru": (0.84, 0.58),
    "talk_ru": (0.91, 0.71),
    "letters_ru": (0.96, 0.68),
    "later_ru": (0.93, 0.83),
    "asides_ru": (0.92, 0.93),
    "chats_en": (0.96, 0.57),
    "talk_en": (0.97, 0.69),
    "letters_en": (0.92, 0.55),
    "later_en": (0.95, 0.89),
    "replies_en": (0.97, 0.72),
    "asides_en": (0.96, 0.84),
    "corners_en": (0.95, 0.82),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_more_than_1000_labelled_sentences_a_language_none_twice_each_in_one_part(language: str) -> None:
    every = sentences_of(language)
    assert len({sentence.text for sentence in every}) == len(every) > 1000
    parts = [sentences_of(language, part) for part in (*PARTS, "held")]
    assert sum(map(len, parts)) == len(every)
    assert len(parts[2]) > 200


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", PARTS)
def test_facts_of_every_part_are_as_true_as_is_wanted(part: Part, language: str) -> None:
    found = bench_facts(part)
    for key, _, wanted, at_most in GOALS:
        value = found[f"{key}_{language}"]
        assert value <= wanted if at_most else value >= wanted, (key, found["wrong"])


@pytest.mark.parametrize("file", HELD)
def test_sentences_held_apart_are_read_no_worse_than_they_were_and_stand_beside_what_is_reported(file: str) -> None:
    found = bench_facts("reported")
    rates = found["by_file"][f"{file} (held)"]
    precision, recall = HELD[file]
    assert rates["facts_precision"] >= precision
    assert rates["facts_recall"] >= recall
    assert rates["facts_in_fact_free"] <= GOALS[2][2]
    assert rates["num_sentences"] > 70
    held = {sentence.text for sentence in sentences_of(file[-2:], "held")}
    assert held.isdisjoint(
        row["text"] for row in found["wrong"]
    )  # their errors are not shown: no rule is chosen on them


def test_a_missed_fact_costs_recall_a_wrong_one_precision_and_one_that_may_be_found_nothing() -> None:
    home, taste = Label("lives in", ("Riga", "Riga, Latvia"), ends=False), Label("likes", ("tea",), ends=False)
    free = Labelled("I love opera.", (), "tuning")
    rates, wrong = rates_of([Labelled("I live in Riga.", (home, taste), "tuning"), free])
    assert (rates["facts_precision"], rates["facts_recall"], rates["facts_in_fact_free"]) == (0.5, 0.5, 1.0)
    assert len(wrong) == 2
    allowed = Label("likes", ("opera",), ends=False, may=True)
    rates, wrong = rates_of([Labelled("I love opera.", (allowed,), "tuning")])
    assert (rates["num_facts"], rates["facts_in_fact_free"], wrong) == (0, 0.0, [])
