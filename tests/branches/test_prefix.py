"""The text that an encoder wants before every other: in its tokens, its fingerprint, its folder, the key of its vectors."""

import json
from pathlib import Path

import pytest

from conftest import make_encoder, make_system
from interconnected_ai.branches import Encoder
from interconnected_ai.branches.prefix import prefix_of
from interconnected_ai.errors import ConfigError, EncoderError
from interconnected_ai.training import FeatureCache


def with_prefix(prefix: str, *, max_seq_len: int = 32) -> Encoder:
    plain = make_encoder()
    return Encoder(plain.model, plain.tokenizer, prefix=prefix, max_seq_len=max_seq_len)


def test_every_text_begins_with_the_prefix_and_is_cut_after_it() -> None:
    encoder = with_prefix("please ", max_seq_len=5)
    please, cat, dog = (encoder.tokenizer.convert_tokens_to_ids(word) for word in ("please", "cat", "dog"))
    assert encoder.tokenize(["cat", "cat dog cat dog"]) == [[2, please, cat, 3], [2, please, cat, dog, 3]]
    assert [len(ids) for ids in encoder.tokenize(["cat dog cat dog"], cut=False)] == [7]


def test_two_encoders_that_differ_in_their_prefix_are_two_encoders() -> None:
    assert make_encoder().fingerprint == with_prefix("").fingerprint != with_prefix("please ").fingerprint
    assert with_prefix("please ").fingerprint == with_prefix("please ").fingerprint != with_prefix("show ").fingerprint


def test_stored_vectors_of_another_prefix_are_never_taken(tmp_path: Path) -> None:
    plain, prefixed = (
        FeatureCache(tmp_path, make_system("one", encoder=e)) for e in (make_encoder(), with_prefix("show "))
    )
    assert plain.build(["cat dog"]) == prefixed.build(["cat dog"]) == 1
    assert [len(cache.read(["cat dog"])[0]) for cache in (plain, prefixed)] == [4, 5]


def test_a_limit_that_the_prefix_fills_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_seq_len=3: .* 'please ' before every text, .* needs 4 or more"):
        with_prefix("please ", max_seq_len=3)
    assert with_prefix("please ", max_seq_len=4).max_seq_len == 4
    with pytest.raises(ConfigError, match=r"max_seq_len=2: .* around every text 2 tokens .* needs 3 or more"):
        with_prefix("", max_seq_len=2)
    assert with_prefix("", max_seq_len=3).max_seq_len == 3


@pytest.mark.parametrize("include_encoder", [True, False])
def test_a_system_comes_back_with_its_encoders_prefix(tmp_path: Path, include_encoder: bool) -> None:
    encoder = with_prefix("please ")
    system = make_system(encoder=encoder)
    system.save_pretrained(tmp_path / "saved", include_encoder=include_encoder)
    again = type(system).from_pretrained(
        tmp_path / "saved", encoder=None if include_encoder else with_prefix("please ")
    )
    assert again.encoder.prefix == "please "
    assert [p.branches for p in again.predict(["cat dog"])] == [p.branches for p in system.predict(["cat dog"])]


@pytest.mark.parametrize(
    ("content", "prefix"),
    [
        ({"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}, "query: "),
        ({"prompts": {"query": "query: "}, "default_prompt_name": None}, ""),
        ({"prompts": {}}, ""),
        (None, ""),
    ],
)
def test_the_default_prompt_of_a_sentence_transformers_folder_is_the_prefix(
    tmp_path: Path, content: object, prefix: str
) -> None:
    if content is not None:
        (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(content), encoding="utf-8")
    assert prefix_of(tmp_path) == prefix


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"default_prompt_name": "q"}', '{"default_prompt_name": "q", "prompts": {"q": 5}}']
)
def test_a_damaged_prompt_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text(content, encoding="utf-8")
    with pytest.raises(EncoderError, match=r"config_sentence_transformers\.json"):
        prefix_of(tmp_path)


def test_texts_that_were_left_whole_once_leave_the_limit_as_it_was() -> None:
    encoder = with_prefix("please ", max_seq_len=5)
    limit = encoder.tokenizer.backend_tokenizer.truncation
    assert limit["max_length"] == 5
    encoder.tokenize(["cat dog cat dog"], cut=False)
    assert encoder.tokenizer.backend_tokenizer.truncation == limit
