"""Sentences as clauses of the author and of kin, and what becomes of those of others."""

import pytest

from interconnected_ai.memory.fact_clauses_en import english_clauses
from interconnected_ai.memory.fact_clauses_ru import russian_clauses

ENGLISH = {
    "I actually still live in Cork": [("", "live in Cork")],
    "We've been living in Cork": [("", "been living in Cork")],
    "I'm 41 and work in Leeds": [("", "be 41"), ("", "work in Leeds")],
    "My wife, who's a vet, hates cooking": [("wife", "be a vet"), ("wife", "hate cooking")],
    "My brother Tom lives in Perth and his wife works at Bosch": [
        ("brother", "named Tom"),
        ("brother", "live in Perth"),
    ],
    "My aunt is a nurse, she speaks Greek": [("aunt", "be a nurse"), ("aunt", "speak Greek")],
    "Peter works as a plumber and lives in Hull": [],
    "I don't live in Hull anymore": [("", "nomore live in Hull")],
    "I would live in Hull, but I work in York": [("", "work in York")],
    "I like tea, cake, jam and scones": [("", "like tea, cake, jam and scones")],
}
RUSSIAN = {
    "Я всё ещё живу в Осаке": [("", "live в Осаке")],
    "в Осаке живу": [("", "live в Осаке")],
    "Мне 41, работаю в банке": [("", "мне 41"), ("", "work в банке")],
    "Жена работает врачом, она любит оперу": [("жена", "work врачом"), ("жена", "like оперу")],
    "Сосед говорит по-немецки, а Пётр живёт в Бонне": [("сосед", "speak по-немецки")],
    "Больше не живу в Перми": [("", "nomore-live в Перми")],
    "Соседи продали машину": [],
    "Машину продал": [("", "sold Машину")],
}


@pytest.mark.parametrize("said", ENGLISH)
def test_english_clauses_have_their_verb_first_and_know_whom_they_are_about(said: str) -> None:
    assert [(one.who, one.said) for one in english_clauses(said)] == ENGLISH[said]


@pytest.mark.parametrize("said", RUSSIAN)
def test_russian_clauses_have_their_verb_first_in_whatever_order_it_was_said(said: str) -> None:
    assert [(one.who, one.said) for one in russian_clauses(said)] == RUSSIAN[said]
