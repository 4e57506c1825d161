"""Perplexity and bits per byte say what they should: document by document, in windows that overlap."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from expert_texts import documents, small_tokenizer
from torch.nn import functional as F

from interconnected_ai.data import Corpus, Texts, TokenSide
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.experts import Expert, ExpertCard, ExpertModel, HeldOut, measure
from interconnected_ai.training import evaluate_expert, held_out


def make_expert(vocab_size: int, max_seq_len: int = 16) -> ExpertModel:
    return ExpertModel(
        vocab_size,
        d_model=16,
        n_layers=1,
        n_heads=2,
        max_seq_len=max_seq_len,
        generator=torch.Generator().manual_seed(1),
    )


def slow_nats(model: ExpertModel, row: list[int], seq_len: int, stride: int) -> float:
    """Token by token; the window moves on when a token does not fit."""
    nats, first = 0.0, 0
    with torch.no_grad():
        for place in range(1, len(row)):
            while place > first + seq_len:
                first += stride
            shares = model.eval()(torch.tensor([row[first:place]]))[0, -1]
            nats += float(F.cross_entropy(shares, torch.tensor(row[place])))
    return nats


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary() -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size)
    torch.nn.init.zeros_(model.head.weight)
    texts = documents(3)
    found = measure(model, HeldOut.of(texts, words))
    assert found.perplexity == pytest.approx(words.vocab_size, rel=1e-5)
    num_bytes = sum(len(text.encode()) for text in texts)
    assert found.num_bytes == num_bytes
    assert found.num_tokens == sum(len(words.encode(text)) for text in texts)  # start and end are not foretold
    assert found.bits_per_byte == pytest.approx(found.num_tokens * math.log2(words.vocab_size) / num_bytes, rel=1e-5)


@pytest.mark.parametrize(("seq_len", "stride"), [(5, None), (16, None), (16, 3), (16, 16), (1, 1)])
def test_every_token_is_foretold_once_from_its_own_document(seq_len: int, stride: int | None) -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size)
    texts = ["a", *documents(4), documents(1)[0][:20]]
    rows = [[words.end_id, *words.encode(text)] for text in texts]
    assert min(map(len, rows)) <= 3 < 2 * seq_len + 2 < max(map(len, rows))
    expected = sum(slow_nats(model, row, seq_len, stride or max(1, seq_len // 2)) for row in rows)
    found = measure(model, HeldOut.of(texts, words), seq_len=seq_len, stride=stride)
    assert found.nats == pytest.approx(expected, rel=1e-5)
    assert found.num_tokens == sum(map(len, rows)) - len(rows)
    assert found.num_documents == len(texts)


def test_many_documents_are_measured_like_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.experts.scoring._BATCH_TOKENS", 64)
    words = small_tokenizer()
    model = make_expert(words.vocab_size)
    texts = [text[: 7 * number + 3] for number, text in enumerate(documents(12))]
    alone = sum(measure(model, HeldOut.of([text], words)).nats for text in texts)
    assert measure(model, HeldOut.of(texts, words)).nats == pytest.approx(alone, rel=1e-5)


def test_an_expert_its_folder_and_its_corpus_give_one_figure(tmp_path: Path) -> None:
    words, texts = small_tokenizer(), documents(30)
    corpus = Corpus.prepare(Texts.of_documents(texts, validation_fraction=0.5, test_fraction=0.0), words, tmp_path)
    side = held_out(corpus.validation)
    assert side is not None
    read = [words.decode(document.tolist()) for document in side.documents]
    assert set(read) < set(texts)
    expert = Expert(make_expert(words.vocab_size), words, card=ExpertCard("e", training={"seq_len": 12}))
    expert.save_pretrained(tmp_path / "e")
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(read):
        (tmp_path / "texts" / f"{number}.txt").write_text(text, encoding="utf-8")
    found = expert.score(read)
    assert found.bits_per_byte == pytest.approx(measure(expert.model, side, seq_len=12).bits_per_byte, rel=1e-6)
    by_folder = evaluate_expert(tmp_path / "e", [str(tmp_path / "texts")])
    assert by_folder.bits_per_byte == pytest.approx(found.bits_per_byte, rel=1e-6)
    assert (by_folder.num_tokens, by_folder.num_bytes) == (found.num_tokens, found.num_bytes)


def test_random_documents_stand_for_a_long_side(tmp_path: Path) -> None:
    words = small_tokenizer()
    texts = Texts.of_documents(documents(60), validation_fraction=0.5, test_fraction=0.0)
    side = Corpus.prepare(texts, words, tmp_path).validation
    every, some = held_out(side), held_out(side, most_tokens=300)
    assert every is not None
    assert some is not None
    assert every.num_bytes == side.num_bytes
    assert 200 < some.num_tokens <= 300 < every.num_tokens
    assert some.num_bytes / some.num_tokens == pytest.approx(every.num_bytes / every.num_tokens, rel=0.01)
    whole = {words.decode(document.tolist()) for document in every.documents}
    assert {words.decode(document.tolist()) for document in some.documents} <= whole


def test_pieces_of_one_file_are_documents_without_end_tokens() -> None:
    tokens = np.array([9, 1, 2, 3, 4, 9, 5, 9], dtype=np.uint16)  # 1 2, continued by 3 4; then 5
    side = held_out(TokenSide(tokens, np.array([1, 3, 6]), num_bytes=5))
    assert side is not None
    assert [document.tolist() for document in side.documents] == [[1, 2], [3, 4], [5]]
    assert (side.start_id, side.num_tokens) == (9, 5)


def test_an_empty_side_is_nothing_to_measure_on(tmp_path: Path) -> None:
    texts = Texts.of_documents(documents(10), test_fraction=0.0)
    assert held_out(Corpus.prepare(texts, small_tokenizer(), tmp_path).test) is None


def test_measuring_leaves_the_models_mode_alone() -> None:
    words = small_tokenizer()
    model = make_expert(words.vocab_size).train()
    measure(model, HeldOut.of(documents(1), words))
    assert model.training


def test_no_text_and_windows_that_cannot_be_are_refused() -> None:
    words = small_tokenizer()
    with pytest.raises(DataError, match="no text to measure on"):
        HeldOut.of(["", ""], words)
    held, model = HeldOut.of(["a b"], words), make_expert(words.vocab_size)
    with pytest.raises(ConfigError, match="seq_len=17: needed is 1 to 16"):
        measure(model, held, seq_len=17)
    with pytest.raises(ConfigError, match="stride=9: needed is 1 to 8"):
        measure(model, held, seq_len=8, stride=9)
