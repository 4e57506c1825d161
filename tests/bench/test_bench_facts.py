"""The sentences that facts are measured on, and what the rules find in them."""

import pytest

from interconnected_ai.bench.facts import GOALS, LANGUAGES, Labelled, bench_facts, rates_of, sentences_of


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_212_labelled_sentences_a_language_and_none_twice(language: str) -> None:
    assert len({sentence.text for sentence in sentences_of(language)}) == len(sentences_of(language)) == 212


@pytest.mark.parametrize("language", LANGUAGES)
def test_facts_of_the_tuning_half_are_as_true_as_is_wanted_and_the_others_hardly_less(language: str) -> None:
    for tuning, slack in ((True, 0.0), (False, 0.03)):
        found = bench_facts(tuning=tuning)
        for key, _, wanted, at_most in GOALS:
            value = found[f"{key}_{language}"]
            assert value <= wanted + slack if at_most else value >= wanted - slack, (key, found["wrong"])


def test_a_missed_fact_costs_recall_and_a_wrong_one_precision() -> None:
    sentences = [
        Labelled("I live in Riga.", (("lives in", "Riga", False), ("likes", "tea", False))),
        Labelled("I love opera.", ()),
    ]
    rates, wrong = rates_of(sentences)
    assert (rates["facts_precision"], rates["facts_recall"], rates["facts_in_fact_free"]) == (0.5, 0.5, 1.0)
    assert len(wrong) == 2
