"""What a card shows of what was learnt: few prompts, short ones first, and languages by their share."""

from pathlib import Path

import pytest
from tests.training.test_adapter_chats import a_config, chat_rows, pair_rows
from tests.training.tiny_base import tiny_base

from interconnected_ai.experts import expert_card
from interconnected_ai.training import Foretold, read_adapter_run, train_adapter
from interconnected_ai.training.portrait import Portrait, spread


def test_rows_are_taken_evenly_and_never_more_than_asked_for() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([], 5) == []


def test_short_prompts_come_first_once_each_and_long_ones_end_at_a_word() -> None:
    prompts = ["What is a tensor?"] * 3 + ["word " * 100, "hi", "How   are\nyou today?"]
    found = Portrait.of((prompt, prompt) for prompt in prompts)
    assert found.examples[:2] == ("What is a tensor?", "How are you today?")
    assert found.examples[2:] == (" ".join(["word"] * 24),)


def test_languages_are_those_of_a_tenth_of_the_rows_and_more() -> None:
    english, russian = "This is a sentence about the sun.", "Это предложение о солнце и дожде."

    def languages(*rows: tuple[str, int]) -> tuple[str, ...]:
        return Portrait.of(("", text) for text, number in rows for _ in range(number)).languages

    assert languages((english, 30), (russian, 20)) == ("en", "ru")
    assert languages((english, 95), (russian, 5)) == ("en",)
    assert languages((russian, 9), ("12345 ...", 90)) == ("ru",)
    assert languages(("Das ist nicht der Hund und das ist die Katze.", 9)) == ()
    assert languages() == ()


def test_documents_are_shown_by_their_first_sentences() -> None:
    found = Portrait.of_documents(["Return the sum. It is a number.", "Возвращает среднее значение. Это число."])
    assert found.examples == ("Return the sum.", "Возвращает среднее значение.")
    assert Portrait.from_mapping(found.to_dict()) == found


@pytest.mark.parametrize("rows", [chat_rows, pair_rows])
def test_an_adapters_card_holds_prompts_of_the_rows_that_it_learnt(rows, tmp_path: Path) -> None:
    config = a_config(tmp_path, tiny_base(tmp_path / "base"), rows(60), training={"epochs": 1})
    run = train_adapter(config)
    card = expert_card(run.folder)
    corpus = read_adapter_run(run.folder).corpus
    assert corpus is not None
    asked = {row.get("instruction", row.get("prompt")) for row in rows(60)}
    assert 1 <= len(card.examples) <= 5
    assert set(card.examples) <= asked
    assert card.examples == corpus.portrait.examples
    assert card.languages == corpus.portrait.languages == ("en",)
    is_of_answers = isinstance(run.fit.validation, Foretold)  # of preferences there is no such figure
    assert (card.bits_per_byte is not None) == is_of_answers
