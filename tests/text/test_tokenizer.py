"""Words to ids and back: nothing is lost, nothing unknown, and nobody can spell a special token by accident."""

import contextlib
import json
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from interconnected_ai.errors import ConfigError, DataError, PromptError, StorageError, TokenizerError, UnknownNameError
from interconnected_ai.text import END, Tokenizer, role_token
from properties import examples

TEXTS = [
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "The quick brown fox jumps over the lazy dog; it's 10 o'clock.",
    "def add(a: int, b: int) -> int:\n    return a + b\n",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 600, roles=["code", "медик"])


# Assigned characters alone: the composition of others changes with the Unicode version of whoever asks.
any_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cn", "Cs"]), max_size=60)
pieces = st.sampled_from(
    [END, role_token("code"), "<|", "|>", "<|role=", "й", "и\u0306", "ё", "\r\n", "\t", "\x00", " "]
)
awkward_text = (
    st.lists(pieces | st.text(max_size=3), max_size=12)
    .map("".join)
    .filter(lambda text: not any(unicodedata.category(letter) == "Cn" for letter in text))
)


@examples(300)
@given(text=any_text | awkward_text)
@example(text="\x00\x01\x7f\x85\ufeff\u200b\u2028")
@example(text="<|end|><|role=code|><|role=медик|> <|END|>")
@example(text="и\u0306 е\u0308 Å ﬁ 가 각 🇷🇺 👩‍👩‍👧")
@example(text="  two  spaces \n\n\n and   ends  ")
def test_decoding_what_was_encoded_gives_the_text_in_nfc(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert tokenizer.encode_batch([text]) == [ids]


@examples(100)
@given(text=awkward_text)
def test_ordinary_text_never_becomes_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    special = {tokenizer.end_id, tokenizer.role_id("code"), tokenizer.role_id("медик")}
    assert special.isdisjoint(tokenizer.encode(text))
    assert special.isdisjoint(tokenizer.encode_batch([text])[0])


@examples(100)
@given(text=awkward_text)
def test_when_asked_for_special_tokens_are_read_as_ids_and_the_rest_as_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, special=True)
    assert ids.count(tokenizer.end_id) == text.count(END)
    parts = re.split(r"(<\|end\|>|<\|role=code\|>)", text)
    assert tokenizer.decode(ids, skip_special=False) == "".join(unicodedata.normalize("NFC", part) for part in parts)
    assert tokenizer.encode("a", special=True) == tokenizer.encode("a")


def test_a_prompt_of_roles_is_written_with_one_id_for_each(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|role=code|>def<|end|>", special=True)
    assert ids == [tokenizer.role_id("code"), *tokenizer.encode("def"), tokenizer.end_id]
    assert tokenizer.decode(ids) == "def"
    assert tokenizer.decode(ids, skip_special=False) == "<|role=code|>def<|end|>"


def test_both_ways_to_write_a_letter_are_the_same_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("ещё мягкий") == tokenizer.encode(unicodedata.normalize("NFD", "ещё мягкий"))


def test_special_tokens_stand_first_and_every_byte_has_a_token(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token(i) for i in range(3)] == ["<|end|>", "<|role=code|>", "<|role=медик|>"]
    assert (tokenizer.end_id, tokenizer.role_id("code"), tokenizer.roles) == (0, 1, ["code", "медик"])
    assert len({tuple(tokenizer.encode(chr(letter))) for letter in range(128)}) == 128


def test_end_adds_the_end_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("чаю", end=True) == [*tokenizer.encode("чаю"), tokenizer.end_id]
    assert tokenizer.encode_batch(["чаю", ""], end=True) == [tokenizer.encode("чаю", end=True), [tokenizer.end_id]]
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_a_character_cut_in_half_is_shown_as_such_until_the_rest_comes(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("🙂")
    assert len(ids) > 1
    assert [tokenizer.decode(ids[:n]) for n in (1, len(ids) - 1)] == ["\ufffd", "\ufffd"]
    assert tokenizer.decode(ids) == "🙂"


def test_an_id_that_no_token_has_is_shown_as_a_replacement_character(tokenizer: Tokenizer) -> None:
    word = tokenizer.encode("чаю")
    assert tokenizer.decode([*word, tokenizer.vocab_size, -1, *word]) == "чаю\ufffd\ufffdчаю"
    for unknown in (tokenizer.vocab_size, -1):
        with pytest.raises(
            PromptError, match=rf"token id {unknown}: the tokenizer has the ids 0 to {tokenizer.vocab_size - 1}"
        ):
            tokenizer.token(unknown)


def test_half_a_character_in_the_text_is_refused_with_its_place(tokenizer: Tokenizer) -> None:
    for read in (
        tokenizer.encode,
        lambda text: tokenizer.encode_batch(["a", text]),
        lambda text: Tokenizer.train([text]),
    ):
        with pytest.raises(DataError, match=r"half a character, U\+D83D at position 2"):
            read("ab\ud83d")


# --- training -------------------------------------------------------------------------------------------------------


def test_the_same_texts_give_the_same_tokenizer_in_any_process() -> None:
    program = (
        "from interconnected_ai.text import Tokenizer\n"
        "print(Tokenizer.train(['мама мыла раму, the cat sat on the mat'] * 9, 300, roles=['a']).sha256)"
    )
    run = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True) for _ in range(2)
    ]
    assert run[0].stdout == run[1].stdout


def test_few_words_give_fewer_tokens_than_were_allowed() -> None:
    assert Tokenizer.train([], 1000).vocab_size == 257
    assert 257 < Tokenizer.train(["кот"], 1000).vocab_size < 270
    assert Tokenizer.train(TEXTS, 300).vocab_size == 300


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="the 256 bytes and 3 special tokens need 259 at least"):
        Tokenizer.train(TEXTS, 258, roles=["a", "b"])
    assert Tokenizer.train(TEXTS, 259, roles=["a", "b", "a"]).roles == ["a", "b"]


@pytest.mark.parametrize("role", ["", " ", "a b", "-a", "a|>", "и\u0306", "x" * 64])
def test_a_role_of_other_characters_is_refused(role: str) -> None:
    with pytest.raises(ConfigError, match="needs 1 to 63 letters"):
        role_token(role)


# --- roles ----------------------------------------------------------------------------------------------------------


def test_added_roles_stand_behind_all_tokens_and_change_nothing_else(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    grown = Tokenizer.load(tmp_path / "tokenizer.json")
    assert grown.add_roles(["law", "code", "law"]) == 1
    assert grown.roles == ["code", "медик", "law"]
    assert grown.role_id("law") == tokenizer.vocab_size == grown.vocab_size - 1
    assert grown.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    assert grown.encode(role_token("law")) == tokenizer.encode(role_token("law"))
    assert grown.encode(role_token("law"), special=True) == [grown.role_id("law")]
    assert grown.sha256 != tokenizer.sha256


def test_an_unknown_role_lists_the_known_ones_nearest_first(tokenizer: Tokenizer) -> None:
    with pytest.raises(UnknownNameError, match="unknown role 'cod'; known, nearest first: 'code', 'медик'"):
        tokenizer.role_id("cod")


# --- on disk --------------------------------------------------------------------------------------------------------


def test_a_saved_tokenizer_comes_back_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "new" / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "new" / "tokenizer.json")
    assert loaded.sha256 == tokenizer.sha256
    assert loaded.roles == tokenizer.roles
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)
    assert loaded.encode(END) == tokenizer.encode(END) != [loaded.end_id]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tokenizer.json"]


def test_transformers_reads_the_file_and_makes_the_same_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), split_special_tokens=True)
    for text in [*TEXTS[:3], "и\u0306\r\n\x00 🙂", END]:
        assert theirs.encode(text) == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text), clean_up_tokenization_spaces=False) == unicodedata.normalize(
            "NFC", text
        )


def test_no_damage_to_the_file_is_taken_for_a_tokenizer_or_breaks_in_another_way(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(60):
        path.write_bytes(whole[: dice.randrange(len(whole) - 2)])
        with pytest.raises(TokenizerError):
            Tokenizer.load(path)
    for _ in range(200):
        place = dice.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([dice.randrange(256)]) + whole[place + 1 :])
        with contextlib.suppress(TokenizerError):
            assert (
                Tokenizer.load(path).end_id == 0
            )  # another letter in some token: a tokenizer still, with another hash


def _without_bytes(content: dict) -> dict:
    kept = {token: number for token, number in content["model"]["vocab"].items() if token != "A"}
    return {**content, "model": {**content["model"], "vocab": kept}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: {**content, "added_tokens": []}, "no special token '<|end|>'"),
        (_without_bytes, "1 of 256 bytes have no token"),
        (lambda content: [], "is not a tokenizer"),
        (
            lambda content: {**content, "model": {"type": "WordLevel", "vocab": {END: 0}, "unk_token": "?"}},
            "byte-level BPE",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(tokenizer: Tokenizer, tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))  # type: ignore[operator]
    with pytest.raises(TokenizerError, match=message.replace("|>", r"\|>").replace("<|", r"<\|")):
        Tokenizer.load(path)


def test_an_absent_file_and_a_file_that_is_not_utf8_are_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer at .* needs the tokenizer.json of an expert"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(TokenizerError, match="it is not UTF-8"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(StorageError, match="could not write"):
        tokenizer.save(tmp_path / "tokenizer.json")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_text_is_found_without_torch_and_tokenizers() -> None:
    program = "import sys, interconnected_ai.text; sys.exit('torch' in sys.modules or 'tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
