"""Token ids of GGUF files: ours are llama.cpp's own, for every way of cutting words that both know."""

import random
from pathlib import Path
from typing import Any

import pytest
import transformers

from interconnected_ai.text import GgufVocabulary, PretrainedTokenizer
from interconnected_ai.text.gguf import CUTS

xllamacpp = pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny  # noqa: E402

from interconnected_ai.experts.engines.llama_server import LlamaServer  # noqa: E402
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf  # noqa: E402

_PARTS = [
    *"abcXYZ 019_'\".,!?-/\n\t\r ", "  ", "   ", "\n\n", " \n", "the", " cat", "Привет", " мир", "日本語", "です", "😀", "é",
    "e\u0301", "½", "٣٤", "12345", "'ll", "'S", "HTTPServer", "\u00a0", "\u2028", "ß", "ǅ", "$", "<|", "|>", "...", "한국어",
]  # fmt: skip
TEXTS = ["", " ", "\n", *("".join(random.Random(seed).choices(_PARTS, k=1 + seed % 24)) for seed in range(300))]


def served(entries: dict[str, Any], place: Path) -> LlamaServer:
    network = tiny.network(vocab_size=len(entries["tokenizer.ggml.tokens"]), num_hidden_layers=1)
    write_causal_gguf(network, entries, place)
    return LlamaServer(xllamacpp, place, 1, 256, 1)


@pytest.mark.parametrize("pre", sorted({cuts: pre for pre, cuts in reversed(CUTS.items())}.values()))
def test_byte_level_ids_are_llamacpps(pre: str, tmp_path: Path) -> None:
    entries = tiny.entries(**{"tokenizer.ggml.pre": pre})
    server, fast = served(entries, tmp_path / "tiny.gguf"), GgufVocabulary.of(entries).tokenizer()
    for text in TEXTS:
        assert fast.encode(text, add_special_tokens=False).ids == server.tokenize(text), repr(text)


def test_every_name_of_a_way_of_cutting_words_is_known_to_llamacpp(tmp_path: Path) -> None:
    for pre in CUTS:
        entries = tiny.entries(**{"tokenizer.ggml.pre": pre})
        server, fast = served(entries, tmp_path / f"{pre}.gguf"), GgufVocabulary.of(entries).tokenizer()
        for text in TEXTS[::30]:
            assert fast.encode(text, add_special_tokens=False).ids == server.tokenize(text), (pre, text)


@pytest.mark.parametrize("adds_space", [True, False])
def test_sentence_piece_ids_are_llamacpps(adds_space: bool, tmp_path: Path) -> None:
    words = ["▁", *"thecaté", "th", "the", "▁the", "▁c", "at", "▁cat", "▁▁", "▁▁▁▁", "При", "П", "р", "и", "ри"]
    words = list(dict.fromkeys(words))
    tokens = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words, "<|mark|>")
    named = {
        "model": "llama",
        "tokens": tokens,
        "token_type": (2, 3, 3, *(6,) * 256, *(1,) * len(words), 4),
        "scores": (*(0.0,) * 259, *(-float(place) for place in range(len(words))), 0.0),
        "add_space_prefix": adds_space,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    entries = {f"tokenizer.ggml.{name}": value for name, value in named.items()}
    server = served(entries, tmp_path / "tiny.gguf")
    vocabulary = GgufVocabulary.of(entries)
    fast = vocabulary.tokenizer()
    parts = ["the", " cat", "  ", " ", "Привет", "é", "at", "th", "日", "\n", "</s>", "<|mark|>", "<|mark|> the"]
    texts = ["".join(random.Random(seed).choices(parts, k=1 + seed % 9)) for seed in range(200)]
    for text in texts:
        ids = fast.encode(text, add_special_tokens=False).ids
        assert ids == server.tokenize(text), repr(text)
        spelled = b"".join(vocabulary.pieces[token] for token in ids).decode()
        assert spelled.replace(" ", "") == text.replace(" ", "")
    whole = PretrainedTokenizer.from_gguf(tmp_path / "tiny.gguf")
    for text in ["the</s> cat", "<s> the", "a<|mark|> cat</s>"]:
        assert whole.encode(text, special=True) == server.tokenize(text, special=True), text


def test_special_tokens_are_read_where_they_are_wanted_alone(tmp_path: Path) -> None:
    entries = tiny.entries()
    server = served(entries, tmp_path / "tiny.gguf")
    tokenizer = PretrainedTokenizer.from_gguf(tmp_path / "tiny.gguf")
    for text in ["a<|end|>b", "<|end|><|end|>", " <|end|> ", "<|end"]:
        assert tokenizer.encode(text) == server.tokenize(text)
        assert tokenizer.encode(text, special=True) == server.tokenize(text, special=True)
        assert (tiny.OWN.end_id in tokenizer.encode(text, special=True)) == ("<|end|>" in text)


@pytest.mark.slow
def test_ids_of_the_embedded_base_are_llamacpps_and_transformers() -> None:
    from interconnected_ai.errors import MissingExtraError
    from interconnected_ai.experts.bases import embedded_base

    try:
        place = embedded_base().path
    except MissingExtraError as error:
        pytest.skip(str(error))
    server, tokenizer = LlamaServer(xllamacpp, place, 1, 256, 1), PretrainedTokenizer.from_gguf(place)
    other = transformers.AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name)
    for text in TEXTS:
        assert tokenizer.encode(text) == server.tokenize(text), repr(text)
    # transformers reads the file's words as GPT-2's, without SmolLM's cut at every digit: ordinary text alone is the same
    for text in [
        "It's 1234 apples; don't!",
        "def f(x):\n    return x + 1\n",
        "Привет, мир!",
        "a  b\n\nc",
        "日本語 é 😀",
    ]:
        assert tokenizer.encode(text) == other(text, add_special_tokens=False).input_ids, repr(text)
    chat = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.encode(chat, special=True) == server.tokenize(chat, special=True) == other(chat).input_ids
