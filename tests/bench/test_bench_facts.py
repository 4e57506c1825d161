"""The sentences that facts are measured on, and what the rules find in them."""

import pytest

from interconnected_ai.bench.facts import GOALS, LANGUAGES, Label, Labelled, Part, bench_facts, rates_of, sentences_of

PARTS: tuple[Part, ...] = ("tuning", "checking", "reported")


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_more_than_700_labelled_sentences_a_language_none_twice_each_in_one_part(language: str) -> None:
    every = sentences_of(language)
    assert len({sentence.text for sentence in every}) == len(every) > 700
    parts = [sentences_of(language, part) for part in PARTS]
    assert sum(map(len, parts)) == len(every)
    assert len(parts[2]) > 200


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", PARTS)
def test_facts_of_every_part_are_as_true_as_is_wanted(part: Part, language: str) -> None:
    found = bench_facts(part)
    for key, _, wanted, at_most in GOALS:
        value = found[f"{key}_{language}"]
        assert value <= wanted if at_most else value >= wanted, (key, found["wrong"])


def test_a_missed_fact_costs_recall_a_wrong_one_precision_and_one_that_may_be_found_nothing() -> None:
    home, taste = Label("lives in", ("Riga", "Riga, Latvia"), ends=False), Label("likes", ("tea",), ends=False)
    free = Labelled("I love opera.", (), "tuning")
    rates, wrong = rates_of([Labelled("I live in Riga.", (home, taste), "tuning"), free])
    assert (rates["facts_precision"], rates["facts_recall"], rates["facts_in_fact_free"]) == (0.5, 0.5, 1.0)
    assert len(wrong) == 2
    allowed = Label("likes", ("opera",), ends=False, may=True)
    rates, wrong = rates_of([Labelled("I love opera.", (allowed,), "tuning")])
    assert (rates["num_facts"], rates["facts_in_fact_free"], wrong) == (0, 0.0, [])
