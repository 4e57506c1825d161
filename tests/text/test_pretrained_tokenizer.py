"""Tokenizers that come with pretrained models: byte-level and SentencePiece's, their bytes, ends and starts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import PromptError, TokenizerError
from interconnected_ai.text import PretrainedTokenizer, TextTokenizer, Tokenizer, token_bytes
from properties import examples

TEXTS = ["the expert reads the text, then the next one", "слово за словом", "naïve café 12345 \n\t  x"] * 20
few = examples(40)


def byte_level() -> FastTokenizer:
    """As GPT-2's and Llama 3's are."""
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator(TEXTS, trainer)
    fast.add_tokens([AddedToken("    ", normalized=False)])  # an ordinary token that is written as it is
    return fast


def sentence_piece() -> FastTokenizer:
    """As Llama 2's is: "▁" for a space, bytes for what is unknown, a start token before every text."""
    letters = sorted({letter for text in TEXTS for letter in text.replace(" ", "▁")})
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, "th", "he", "the", "▁the"]
    merges = [("t", "h"), ("h", "e"), ("th", "e"), ("▁", "the")]
    vocab = {word: number for number, word in enumerate(dict.fromkeys(words))}
    fast = FastTokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.add_special_tokens(["<unk>", "<s>", "</s>"])
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return fast


CHATTY = PretrainedTokenizer(byte_level(), names={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
LLAMA = PretrainedTokenizer(sentence_piece(), names={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


@pytest.mark.parametrize("tokenizer", [CHATTY, LLAMA, Tokenizer.train(TEXTS, 300)])
def test_every_tokenizer_has_what_an_expert_asks_of_one(tokenizer: TextTokenizer) -> None:
    assert isinstance(tokenizer, TextTokenizer)
    assert len(tokenizer.pieces) == tokenizer.vocab_size
    assert tokenizer.end_id == tokenizer.end_ids[0]
    assert all(tokenizer.pieces[token] == b"" for token in tokenizer.special_tokens.values())
    assert tokenizer.token(tokenizer.start_id) in tokenizer.special_tokens


@few
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_byte_level_text_comes_back_and_its_bytes_are_those_of_its_tokens(text: str) -> None:
    ids = CHATTY.encode(text)
    assert CHATTY.decode(ids) == text
    assert b"".join(token_bytes(CHATTY)[token] for token in ids) == text.encode()


@few
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=20))
def test_a_sentence_piece_text_comes_back_after_the_space_that_it_begins_with(text: str) -> None:
    ids = LLAMA.encode(text)
    assert b"".join(token_bytes(LLAMA)[token] for token in ids) == (f" {text}".encode() if text else b"")
    assert LLAMA.decode(ids) == (f" {text}" if text else "")
    assert LLAMA.decode(ids).removeprefix(" ") == sentence_piece().decode(ids).removeprefix(" ")


@pytest.mark.parametrize(("tokenizer", "end"), [(CHATTY, "<|im_end|>"), (LLAMA, "</s>")])
def test_text_that_spells_a_special_token_stays_text_unless_asked_for(tokenizer: PretrainedTokenizer, end: str) -> None:
    text = f"the {end} text"
    assert tokenizer.end_id not in tokenizer.encode(text)
    assert tokenizer.end_id not in tokenizer.encode_batch([text])[0]
    assert tokenizer.end_id in tokenizer.encode(text, special=True)
    assert tokenizer.encode(text, end=True)[-1] == tokenizer.end_id
    assert end in tokenizer.decode(tokenizer.encode(text, special=True), skip_special=False)
    assert end not in tokenizer.decode(tokenizer.encode(text, special=True))


def test_a_text_begins_with_the_start_token_where_the_tokenizer_puts_it_there_itself() -> None:
    assert LLAMA.lead_ids == (1,)
    assert LLAMA.start_id == 1
    assert CHATTY.lead_ids == ()
    assert CHATTY.token(CHATTY.start_id) == "<|endoftext|>"  # <|im_start|> opens a turn, no document
    assert (
        PretrainedTokenizer(sentence_piece(), names={"bos_token": "<s>", "eos_token": "</s>"}, leads=False).lead_ids
        == ()
    )


def test_a_folder_says_where_answers_end_and_what_the_tokens_are_for(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    named = {"eos_token": {"content": "<|im_end|>", "lstrip": False}, "pad_token": "<|endoftext|>", "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2, 9_999]}))
    read = PretrainedTokenizer.from_folder(tmp_path)
    assert read.end_ids == (2, 0)
    assert dict(read.special_names) == {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def test_a_saved_tokenizer_is_the_same_again(tmp_path: Path) -> None:
    for name, tokenizer in {"a": CHATTY, "b": LLAMA}.items():
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name)
        assert PretrainedTokenizer.from_folder(tmp_path / name).sha256 == tokenizer.sha256


def test_what_is_no_tokenizer_of_a_language_model_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer at .*needed is a tokenizer.json"):
        PretrainedTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="is not a tokenizer"):
        PretrainedTokenizer.from_folder(tmp_path)
    byte_level().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match="names no token that ends a text"):
        PretrainedTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(TokenizerError, match=r"tokenizer_config.json is not JSON"):
        PretrainedTokenizer.from_folder(tmp_path)
    pieces = FastTokenizer(models.WordPiece({"[UNK]": 0, "the": 1}, unk_token="[UNK]"))
    with pytest.raises(TokenizerError, match="WordPiece tokenizer is neither byte-level nor SentencePiece's"):
        _ = PretrainedTokenizer(pieces, end_ids=[0]).pieces
    with pytest.raises(TokenizerError, match=r"end_ids=\[-1\]"):
        PretrainedTokenizer(byte_level(), end_ids=[-1])
    with pytest.raises(PromptError, match="token id 9999: the tokenizer has the ids 0 to"):
        CHATTY.token(9_999)


def test_an_id_that_no_token_has_and_half_a_character_are_shown_as_such() -> None:
    half = CHATTY.encode("ж")[0] if len(CHATTY.encode("ж")) > 1 else CHATTY.encode("☃")[0]
    assert CHATTY.decode([half]) == "\ufffd"
    assert CHATTY.decode([9_999, *CHATTY.encode("x"), -1]) == "\ufffdx\ufffd"
