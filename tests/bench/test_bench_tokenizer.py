"""The tokenizer's bench: it measures on text it was not trained on, and Russian costs what is promised."""

from pathlib import Path

import pytest

from interconnected_ai.bench.tokenizer import GOAL, Held, russian_sources, tokens_per_word
from interconnected_ai.errors import DataError
from interconnected_ai.text import Tokenizer


def test_tokens_per_word_counts_signs_and_spaces_among_the_tokens_and_not_among_the_words() -> None:
    bytes_alone = Tokenizer.train([], 257)
    assert tokens_per_word(bytes_alone, ["ab cd!"]) == 6 / 2
    assert tokens_per_word(bytes_alone, ["кот"]) == 6 / 1


def test_held_out_texts_are_a_tenth_of_the_bytes_and_none_of_them_is_trained_on() -> None:
    texts = [f"слово номер {number}" for number in range(1000)]
    held = Held.out_of("numbers", [*texts, *texts])
    assert sorted([*held.train, *held.test]) == sorted(texts)
    assert 0.08 < len(held.test) / len(texts) <= 0.1


def test_a_folder_without_the_data_sets_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not hold koziev/, xquad/, ru_intents/ and rumedbench/"):
        russian_sources(tmp_path)


def test_russian_complaints_and_requests_cost_at_most_1_6_tokens_a_word(shared_data: Path) -> None:
    sources = russian_sources(shared_data)
    held = [Held.out_of(name, texts) for name, texts in sources.items() if "intents" in name or "Top3" in name]
    tokenizer = Tokenizer.train([text for one in held for text in one.train], 32_000)
    for one in held:
        assert tokens_per_word(tokenizer, one.test) <= GOAL, one.name
