"""How a model's makers advise to sample: followed by conversations that ask for nothing, and by nothing else."""

import json
from pathlib import Path

import pytest
from tests.experts.causal_folders import causal_folder, small_llama
from tests.experts.gguf_files import write
from tests.experts.tiny_llamas import saved_base, tiny_adapter, tiny_llama

from interconnected_ai import GenerationConfig
from interconnected_ai.experts import Expert, SharedBase
from interconnected_ai.experts.chat.advice import advised_in_folder, advised_in_gguf
from interconnected_ai.types import ChatMessage

ASKED = [ChatMessage("user", "the expert reads")]
SURE = {"temperature": 1e-6}  # as good as greedy, and told from temperature 1 in any answer


def advising(folder: Path, **advice: object) -> Path:
    place = folder / "generation_config.json"
    kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    place.write_text(json.dumps({**kept, **advice}), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return causal_folder(tmp_path / "model")


def test_a_chat_that_asks_for_nothing_is_sampled_as_advised(folder: Path) -> None:
    plain = Expert.from_pretrained(folder).chat(ASKED, seed=1, max_new_tokens=12)
    expert = Expert.from_pretrained(advising(folder, do_sample=True, **SURE))
    followed = expert.chat(ASKED, seed=1, max_new_tokens=12)
    greedy = expert.chat(ASKED, temperature=0.0, max_new_tokens=12)
    assert followed.generation.token_ids == greedy.generation.token_ids != plain.generation.token_ids
    assert expert.chat(ASKED, GenerationConfig(max_new_tokens=12), seed=1).generation == plain.generation


@pytest.mark.parametrize("asked", [{"temperature": 1.0}, {"top_p": 1.0}, {"top_k": 320}, {"min_p": 1e-9}])
def test_who_says_how_to_sample_is_not_advised(folder: Path, asked: dict[str, float]) -> None:
    plain = Expert.from_pretrained(folder).chat(ASKED, seed=1, max_new_tokens=12, **asked)
    expert = Expert.from_pretrained(advising(folder, do_sample=True, **SURE))
    assert expert.chat(ASKED, seed=1, max_new_tokens=12, **asked).generation == plain.generation


def test_texts_are_continued_as_they_were(folder: Path) -> None:
    plain = Expert.from_pretrained(folder).generate("the expert", seed=1, max_new_tokens=12)
    assert Expert.from_pretrained(advising(folder, **SURE)).generate("the expert", seed=1, max_new_tokens=12) == plain


def test_a_model_that_is_not_to_be_sampled_advises_nothing(folder: Path) -> None:
    assert advised_in_folder(advising(folder, do_sample=False, temperature=0.6)) == {}
    assert advised_in_folder(advising(folder, do_sample=True, top_k=0, top_p=0.9)) == {"temperature": 0.6, "top_p": 0.9}


@pytest.mark.parametrize("odd", [{"temperature": "warm"}, {"top_p": 7}, {"temperature": -1.0, "top_p": 0.9}])
def test_advice_that_cannot_be_followed_is_told_and_left_out(folder: Path, odd: dict[str, object]) -> None:
    with pytest.warns(UserWarning, match=r"generation_config\.json advises how to sample, and it cannot be followed"):
        assert advised_in_folder(advising(folder, do_sample=True, **odd)) == {}


def test_a_gguf_file_advises_by_its_metadata_or_by_the_card_of_its_model(tmp_path: Path) -> None:
    assert advised_in_gguf({"general.sampling.temp": 0.5, "general.sampling.top_k": 20}) == {
        "temperature": 0.5,
        "top_k": 20,
    }
    named = {"general.organization": "HuggingFaceTB", "general.basename": "smollm2"}
    assert advised_in_gguf(named) == {"temperature": 0.2, "top_p": 0.9}
    assert advised_in_gguf({**named, "general.sampling.temp": 0.5}) == {"temperature": 0.5}
    assert advised_in_gguf({}) == {}
    file = write(small_llama(), tmp_path / "model.gguf")
    assert Expert.from_pretrained(file, engine="torch").template.sampling == {}


def test_an_adapter_is_sampled_as_its_base(tmp_path: Path) -> None:
    short = [ChatMessage("user", "a")]
    base = saved_base(tmp_path / "base")
    advising(base.path, do_sample=True, **SURE)
    with SharedBase.open(base.path) as shared:
        shared.add("one", tiny_adapter(tiny_llama(), 1))
        followed = shared.stream_chat(short, adapter="one", seed=1, max_new_tokens=4).result()
        greedy = shared.stream_chat(short, adapter="one", temperature=0.0, max_new_tokens=4).result()
    assert followed.generation.token_ids == greedy.generation.token_ids
