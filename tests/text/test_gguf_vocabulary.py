"""Vocabularies of GGUF files: what is refused, the bytes of tokens, what ends an answer, and how words are cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from interconnected_ai.errors import TokenizerError
from interconnected_ai.text import GgufVocabulary, PretrainedTokenizer, Tokenizer, gguf_entries, token_bytes
from interconnected_ai.text.gguf import CUTS
from properties import examples

TEXT = ["the cat sat on the mat and the dog ran", "Привет, мир! 12345 日本語", "don't I'LL  two\n\n\ttabs"] * 4


def byte_level(pre: str = "gpt-2", **more: Any) -> tuple[Tokenizer, GgufVocabulary]:
    """A tokenizer of ours and the entries that `write_gguf` gives it."""
    own = Tokenizer.train(TEXT, 400)
    tokens = tuple(own.token(number) for number in range(own.vocab_size))
    kinds = tuple(3 if number == own.end_id else 1 for number in range(own.vocab_size))
    entries = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": tuple(own.merges),
        "tokenizer.ggml.eos_token_id": own.end_id,
        "tokenizer.ggml.add_bos_token": False,
    }
    return own, GgufVocabulary.of(entries | more)


def sentence_piece(**more: Any) -> GgufVocabulary:
    words = ["▁", "t", "h", "e", "th", "the", "▁the", "▁t", "é", "▁▁"]
    tokens = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words)
    kinds = (2, 3, 3, *(6,) * 256, *(1,) * len(words))
    scores = (*(0.0,) * 259, *(-float(place) for place in range(len(words))))
    named = {"model": "llama", "tokens": tokens, "token_type": kinds, "scores": scores}
    return GgufVocabulary.of({f"tokenizer.ggml.{name}": value for name, value in named.items()} | more)


@examples(40)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_tokenizer_of_ours_reads_the_same_out_of_its_gguf(text: str) -> None:
    own, found = _OWN
    wanted = own.encode(text)
    fast = _FAST
    ids = fast.encode("".join(own.decode(wanted)), add_special_tokens=False).ids  # NFC is the reader's affair
    assert ids == wanted
    assert b"".join(found.pieces[token] for token in ids).decode() == own.decode(wanted)


def test_pieces_are_the_bytes_of_our_own_tokenizer() -> None:
    own, found = _OWN
    assert found.pieces == token_bytes(own)
    assert (found.end_id, found.end_ids, found.begin_id) == (own.end_id, (own.end_id,), None)


@pytest.mark.parametrize("pre", sorted(CUTS))
def test_every_way_of_cutting_words_keeps_the_text(pre: str) -> None:
    _, found = byte_level(pre)
    fast = found.tokenizer()
    for text in [*TEXT[:3], "a\r\nb\u2028c 𝕏½ e\u0301", " \n \t ", "HTTPServer2024's", "[]{}<>|`~\\"]:
        ids = fast.encode(text, add_special_tokens=False).ids
        assert b"".join(found.pieces[token] for token in ids).decode() == text


def test_numbers_are_cut_as_the_models_were_taught() -> None:
    def words(pre: str) -> list[str]:
        cutter = byte_level(pre)[1].tokenizer().pre_tokenizer
        return [word for word, _ in cutter.pre_tokenize_str("ab 12345")]

    assert words("gpt-2") == ["ab", "Ġ12345"]
    assert words("smollm") == ["ab", "Ġ", "1", "2", "3", "4", "5"]
    assert words("llama-bpe") == ["ab", "Ġ", "123", "45"]
    assert words("qwen2") == ["ab", "Ġ", "1", "2", "3", "4", "5"]


def test_text_that_spells_a_special_token_stays_text() -> None:
    own, found = byte_level()
    ids = found.tokenizer().encode("a<|end|>b", add_special_tokens=False).ids
    assert own.end_id not in ids
    assert b"".join(found.pieces[token] for token in ids) == b"a<|end|>b"


def test_sentence_piece_merges_by_score_and_spells_unknown_letters_in_bytes() -> None:
    found = sentence_piece()
    ids = found.tokenizer().encode("the théж", add_special_tokens=False).ids
    assert [found.tokens[token] for token in ids] == ["▁the", "▁", "th", "é", "<0xD0>", "<0xB6>"]
    assert b"".join(found.pieces[token] for token in ids).decode() == " the théж"
    assert (found.begin_id, found.end_ids) == (1, (2,))
    plain = sentence_piece(**{"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.add_bos_token": False})
    ids = plain.tokenizer().encode("the", add_special_tokens=False).ids
    assert ([plain.tokens[token] for token in ids], plain.begin_id) == (["the"], None)


def test_an_answer_ends_at_every_token_that_llamacpp_ends_it_at() -> None:
    _, found = byte_level()
    tokens = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", *found.tokens[3:])
    ends = GgufVocabulary.of(
        {**found.metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eos_token_id": 1}
    ).end_ids
    assert ends == (1, 0, 2)
    harmony = ("<|end|>", "<|return|>", "<|call|>", *found.tokens[3:])
    ends = GgufVocabulary.of(
        {**found.metadata, "tokenizer.ggml.tokens": harmony, "tokenizer.ggml.eos_token_id": 1}
    ).end_ids
    assert ends == (1, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "rwkv"}, r"model='rwkv': known are gpt2 .* and llama"),
        ({"pre": "llama_bpe"}, r"pre='llama_bpe'.*nearest: llama-bpe"),
        ({"tokens": ("a", "a")}, "two tokens of one text"),
        ({"tokens": ()}, "no tokenizer in it"),
        ({"token_type": (1,)}, "token_type has 1 entries for"),
        ({"model": None}, "no tokenizer in it"),
    ],
)
def test_what_is_no_vocabulary_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokenizerError, match=words):
        byte_level(**{f"tokenizer.ggml.{name}": value for name, value in changes.items()})[1].tokenizer()


def test_tokens_without_a_text_are_told_apart_by_their_numbers() -> None:
    _, found = byte_level()
    empty = GgufVocabulary.of({**found.metadata, "tokenizer.ggml.tokens": (*found.tokens[:-2], "", "")})
    assert empty.tokens[-2:] == (f"[EMPTY_{empty.vocab_size - 2}]", f"[EMPTY_{empty.vocab_size - 1}]")
    assert empty.tokenizer().get_vocab_size() == empty.vocab_size


def test_ids_that_no_token_has_are_not_taken_for_ends() -> None:
    _, found = byte_level(**{"tokenizer.ggml.eot_token_id": 10**6, "tokenizer.ggml.eos_token_id": -1})
    assert (found.end_id, len(found.end_ids)) == (None, 1)  # <|end|> by its text


_OWN = byte_level()
_FAST = _OWN[1].tokenizer()


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3", "tekken"])
def test_a_tokenizer_becomes_entries_that_read_as_the_same_tokenizer(pre: str) -> None:
    own, found = byte_level(pre)
    names = {"eos_token": "<|end|>"}
    tokenizer = PretrainedTokenizer(found.tokenizer(), names=names, end_ids=[own.end_id])
    entries = gguf_entries(tokenizer, own.vocab_size + 3, template="{{ messages }}")
    again = GgufVocabulary.of(entries)
    assert (again.pre, again.end_ids, again.begin_id) == (pre, (own.end_id,), None)
    assert again.pieces[: own.vocab_size] == found.pieces
    assert again.kinds[-3:] == (5, 5, 5)
    assert entries["tokenizer.chat_template"] == "{{ messages }}"
    for text in [*TEXT[:3], "a\r\nb\u2028c 𝕏½", "HTTPServer2024's", "<|end|>"]:
        assert again.tokenizer().encode(text, add_special_tokens=False).ids == tokenizer.encode(text)


def test_sentence_pieces_become_scores_that_merge_alike() -> None:
    found = sentence_piece()
    tokenizer = PretrainedTokenizer(found.tokenizer(), names={"bos_token": "<s>", "eos_token": "</s>"}, leads=True)
    again = GgufVocabulary.of(gguf_entries(tokenizer, tokenizer.vocab_size))
    assert (again.model, again.begin_id, again.end_ids) == ("llama", 1, (2,))
    assert (again.pieces, again.kinds) == (found.pieces, found.kinds)
    for text in ["the théж", "  the", "t h e", "thethe\n"]:
        assert again.tokenizer().encode(text, add_special_tokens=False).ids == tokenizer.encode(text)


def test_a_tokenizer_that_llamacpp_has_not_is_refused() -> None:
    own, found = byte_level()
    fast = found.tokenizer()
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(use_regex=False)]
    )
    with pytest.raises(TokenizerError, match=r"llama\.cpp has no name for"):
        gguf_entries(PretrainedTokenizer(fast, end_ids=[own.end_id]), own.vocab_size)
    with pytest.raises(TokenizerError, match=r"has \d+ tokens, the model 100 rows"):
        gguf_entries(PretrainedTokenizer(found.tokenizer(), end_ids=[own.end_id]), 100)
    words = PretrainedTokenizer(FastTokenizer(models.WordLevel({"a": 0, "b": 1}, "a")), end_ids=[1], pieces=[b"a", b""])
    with pytest.raises(TokenizerError, match="holds BPE tokenizers, this one is WordLevel"):
        gguf_entries(words, 2)
