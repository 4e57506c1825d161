"""Perplexity and bits per byte say what they should."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from expert_texts import documents, small_tokenizer
from torch.nn import functional as F

from interconnected_ai.errors import DataError
from interconnected_ai.experts import ExpertModel
from interconnected_ai.text import END
from interconnected_ai.training.corpus import Corpus, Texts
from interconnected_ai.training.expert import HeldOut, measure


def make_expert(vocab_size: int, max_seq_len: int = 16) -> ExpertModel:
    return ExpertModel(
        vocab_size,
        d_model=16,
        n_layers=1,
        n_heads=2,
        max_seq_len=max_seq_len,
        generator=torch.Generator().manual_seed(1),
    )


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary() -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size)
    torch.nn.init.zeros_(model.head.weight)
    texts = documents(3)
    found = measure(model, HeldOut.of(texts, words))
    assert found.perplexity == pytest.approx(words.vocab_size, rel=1e-5)
    num_bytes = sum(len(text.encode()) for text in texts)
    assert found.num_bytes == num_bytes
    assert found.bits_per_byte == pytest.approx(found.num_tokens * math.log2(words.vocab_size) / num_bytes, rel=1e-5)


@pytest.mark.parametrize("seq_len", [5, 16])
def test_every_token_is_predicted_once_from_its_window(seq_len: int) -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size)
    held = HeldOut.of(documents(3), words)
    tokens = torch.from_numpy(held.tokens.astype(np.int64))
    expected = 0.0
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, seq_len):
            window = tokens[start : start + seq_len + 1]
            expected += float(F.cross_entropy(model.eval()(window[None, :-1])[0], window[1:], reduction="sum"))
    found = measure(model, held, seq_len=seq_len)
    assert found.nats == pytest.approx(expected, rel=1e-5)
    assert found.num_tokens == len(tokens) - 1


def test_random_documents_stand_for_a_long_side(tmp_path: Path) -> None:
    words = small_tokenizer()
    texts = Texts.of_documents(documents(60), validation_fraction=0.5, test_fraction=0.0)
    side = Corpus.prepare(texts, words, tmp_path).validation
    every, some = HeldOut.side(side), HeldOut.side(side, most_tokens=300)
    assert every is not None
    assert some is not None
    assert every.num_bytes == side.num_bytes
    assert 200 < some.num_tokens <= 300 < every.num_tokens
    assert int((some.tokens == words.end_id).sum()) == some.num_documents + 1
    assert some.num_bytes / some.num_tokens == pytest.approx(every.num_bytes / every.num_tokens, rel=0.01)
    whole = set(words.decode(every.tokens.tolist(), skip_special=False).split(END))
    assert set(words.decode(some.tokens.tolist(), skip_special=False).split(END)) <= whole


def test_an_empty_side_is_nothing_to_measure_on(tmp_path: Path) -> None:
    texts = Texts.of_documents(documents(10), test_fraction=0.0)
    assert HeldOut.side(Corpus.prepare(texts, small_tokenizer(), tmp_path).test) is None


def test_measuring_leaves_the_models_mode_alone() -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size).train()
    measure(model, HeldOut.of(documents(1), words))
    assert model.training


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text to measure on"):
        HeldOut.of(["", ""], small_tokenizer())
