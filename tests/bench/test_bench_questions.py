"""The questions of the bench: their chats are whole, and the measuring counts what stands in the context."""

from pathlib import Path

import pytest

from interconnected_ai.bench import memory_questions
from interconnected_ai.bench.memory_questions import BUDGETS, ENGLISH, NUM_MESSAGES, RUSSIAN, answered_kinds, chat_of
from interconnected_ai.text import estimate_tokens


@pytest.mark.parametrize(("language", "asked"), [("en", ENGLISH), ("ru", RUSSIAN)])
def test_a_chat_has_600_messages_that_fit_the_larger_budget_and_all_that_is_asked_for(
    language: str, asked: tuple[memory_questions.Asked, ...]
) -> None:
    chat = chat_of(language)
    assert len(chat) == NUM_MESSAGES
    assert chat == chat_of(language)
    assert BUDGETS[0] < sum(estimate_tokens(text) for _, text in chat) < BUDGETS[1]
    assert len(asked) == 10
    assert [one.kind for one in asked].count("superseded") == 3
    for one in asked:
        for place, text in (*one.evidence, *one.before):
            assert chat[place] == ("user", text)
        if one.before:
            assert one.before[0][0] < one.evidence[0][0]


@pytest.mark.parametrize(("language", "asked"), [("en", ENGLISH), ("ru", RUSSIAN)])
def test_a_question_counts_when_all_its_evidence_is_in_the_context(
    tmp_path: Path, language: str, asked: tuple[memory_questions.Asked, ...]
) -> None:
    found = answered_kinds(tmp_path / "memory.db", language, asked, None)
    assert set(found) == set(BUDGETS)
    assert len(found[BUDGETS[0]]) <= len(found[BUDGETS[1]]) <= 10
    assert "superseded" in found[BUDGETS[1]]
