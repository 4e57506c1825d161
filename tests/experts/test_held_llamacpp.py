"""Answers of llama.cpp held to a JSON schema, an expression or choices: the forms that torch holds to, on real GGUF files."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from expert_models import made, tokenizer

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts import CausalEngine, Expert, open_engine, save_expert
from interconnected_ai.text import GgufVocabulary, PretrainedTokenizer
from interconnected_ai.types import Generation

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
pytest.importorskip("llguidance")

from tests.experts import gguf_files as tiny

from interconnected_ai.experts.engines import llama_held
from interconnected_ai.experts.engines.llama_server import LlamaServer
from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf
from interconnected_ai.experts.export.gguf_lora import write_gguf_lora
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.storage import read_gguf

PROMPTS = [tiny.PROMPT, tiny.OWN.encode("Привет, 日本語"), tiny.OWN.encode("two"), tiny.OWN.encode("日")]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", "bé", None]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
CHOICES = ("yes", "no", "не знаю", 'say "no"\\', "yes, but\nno", "й")


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.network()


@pytest.fixture(scope="module")
def file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(model, tmp_path_factory.mktemp("held") / "tiny.gguf")


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[LlamaCppEngine]:
    with opened(file) as engine:
        yield engine


def opened(file: Path, **settings: Any) -> LlamaCppEngine:
    return LlamaCppEngine(LlamaFile.of_model(GgufModel.read(file)), tiny.OWN, threads=1, **settings)


def asked(**settings: Any) -> GenerationConfig:
    return GenerationConfig.from_mapping({"max_new_tokens": 150, "temperature": 1.0, **settings}, source="test")


def ask(engine: LlamaCppEngine, seed: int = 0, **settings: Any) -> Generation:
    return engine(PROMPTS[:1], asked(**settings), seed=seed)[0]


# What comes out


def test_a_random_model_answers_in_the_schema(engine: LlamaCppEngine) -> None:
    for seed in range(8):
        answer = ask(engine, seed, json_schema=PERSON)
        jsonschema.validate(json.loads(str(answer)), PERSON)
        assert (answer.ended, answer.satisfied) == ("eos", True)


@pytest.mark.parametrize("regex", ["[a-f]{3}-\\d{2}", "(да|нет)!?", "[^a-z]{4}", "😀{2}", '\\{"k": (1|2)\\}'])
def test_the_whole_answer_matches_the_expression(engine: LlamaCppEngine, regex: str) -> None:
    for seed in range(4):
        answer = ask(engine, seed, regex=regex)
        assert re.fullmatch(regex, str(answer)), str(answer)
        assert answer.satisfied


def test_the_answer_is_one_of_the_choices_and_each_is_reached(engine: LlamaCppEngine) -> None:
    found = {str(ask(engine, seed, choices=CHOICES, temperature=20.0)) for seed in range(60)}
    assert found == set(CHOICES)


def test_greedy_answers_are_those_of_torch(engine: LlamaCppEngine, model: Any) -> None:
    with CausalEngine(model, tiny.OWN) as on_torch:
        for settings in ({"choices": CHOICES}, {"regex": "[a-z]{1,3} [0-9]{3}"}, {"bad_words": ("a", "日")}):
            config = asked(temperature=0.0, max_new_tokens=12, **settings)
            for ours, theirs in zip(engine(PROMPTS, config), on_torch(PROMPTS, config), strict=True):
                assert (ours.text, ours.ended, ours.satisfied) == (theirs.text, theirs.ended, theirs.satisfied)
                assert ours.token_ids == theirs.token_ids


def test_choices_come_as_often_as_the_model_finds_them_likely(engine: LlamaCppEngine, model: Any) -> None:
    letters = ("a", "b", "d", "t")
    tokens = [tiny.OWN.encode(letter)[0] for letter in letters]
    wanted = tiny.logprobs(model, PROMPTS[2])[-1][tokens].softmax(-1).tolist()
    number = 250
    found = Counter(str(answer) for answer in engine([PROMPTS[2]] * number, asked(choices=letters), seed=3))
    for letter, share in zip(letters, wanted, strict=True):
        assert found[letter] / number == pytest.approx(share, abs=4 * (0.25 / number) ** 0.5)


# Rows, streams, seeds, threads


def test_rows_of_a_batch_are_held_one_by_one_and_streams_bring_their_tokens(engine: LlamaCppEngine) -> None:
    prompts = [*PROMPTS, PROMPTS[0]]
    answers = engine(prompts, asked(json_schema=PERSON), seed=5)
    stream = engine.stream(prompts, asked(json_schema=PERSON), seed=5)
    steps = list(stream)
    assert stream.result() == answers
    for row, answer in enumerate(answers):
        jsonschema.validate(json.loads(str(answer)), PERSON)
        assert tuple(step.token_id for step in steps if step.row == row) == answer.token_ids
    assert answers[0] != answers[4]
    assert engine(prompts, asked(json_schema=PERSON), seed=5) == answers
    assert engine(prompts, asked(json_schema=PERSON), seed=6) != answers


def test_more_rows_than_places_wait_for_one(engine: LlamaCppEngine) -> None:
    answers = engine(PROMPTS[2:3] * 40, asked(choices=CHOICES, temperature=5.0), seed=1)
    assert {answer.satisfied for answer in answers} == {True}
    assert len({answer.text for answer in answers}) > 1


def test_a_stream_that_is_closed_leaves_the_engine_to_others(engine: LlamaCppEngine) -> None:
    with engine.stream(PROMPTS, asked(json_schema=PERSON), seed=5) as stream:
        next(stream)
    assert engine._num_rows == 0
    assert ask(engine, choices=CHOICES).satisfied


def test_a_token_costs_one_step_and_what_is_forced_none(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    complete_each = LlamaServer.complete_each

    def counted(self: LlamaServer, requests: Any) -> list[dict[str, Any]]:
        answers = complete_each(self, requests)
        read.extend(int(answer["timings"]["prompt_n"]) for answer in answers)
        return answers

    monkeypatch.setattr(LlamaServer, "complete_each", counted)
    prompt = PROMPTS[0] * 3
    (answer,) = engine([prompt], asked(json_schema=PERSON), seed=2)
    assert sum(read) <= len(prompt) + len(answer.token_ids)
    assert len(read) < len(answer.token_ids)  # the keys alone may come where they stand


def test_threads_get_what_each_would_alone(engine: LlamaCppEngine) -> None:
    config = asked(choices=CHOICES, temperature=0.0)
    alone = [engine([prompt], config) for prompt in PROMPTS]
    found: list[tuple[int, Any]] = []

    def ask_for(place: int) -> None:
        for _ in range(3):
            found.append((place, engine([PROMPTS[place]], config)))

    threads = [threading.Thread(target=ask_for, args=(place,)) for place in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(answers == alone[place] for place, answers in found)


def test_rows_keep_to_adapters_of_their_own(file: Path, model: Any, tmp_path: Path) -> None:
    weights = tiny.adapter(model, 1)
    write_gguf_lora(weights, read_gguf(file), tmp_path / "first.gguf", name="first")
    config = asked(regex="[a-z ]{12}", temperature=0.0)
    with opened(file, adapters={"first": tmp_path / "first.gguf"}) as engine:
        changed = tiny.merged(model, weights)
        with CausalEngine(model, tiny.OWN) as plain, CausalEngine(changed, tiny.OWN) as adapted:
            wanted = [*plain(PROMPTS[:2], config), *adapted(PROMPTS[:2], config)]
        found = engine(PROMPTS[:2] * 2, config, adapters=[None, None, "first", "first"])
    assert [answer.text for answer in found] == [answer.text for answer in wanted]
    assert found[0].text != found[2].text


# With the other settings


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.8},
        {"top_k": 3},
        {"top_p": 0.2},
        {"min_p": 0.5},
        {"temperature": 0.0, "repetition_penalty": 1.3},
        {"bad_words": ("q", "7")},
        {"logprobs": 3},
    ],
    ids=str,
)
def test_penalties_cuts_and_bad_words_go_together_with_a_form(engine: LlamaCppEngine, settings: dict[str, Any]) -> None:
    for seed in range(3):
        answer = ask(engine, seed, json_schema=PERSON, **settings)
        assert answer.satisfied
        for word in settings.get("bad_words", ()):
            assert word not in json.loads(str(answer))["name"]


def test_log_probabilities_are_those_of_the_model_before_anything_is_struck_out(
    engine: LlamaCppEngine, model: Any
) -> None:
    answer = ask(engine, choices=CHOICES, logprobs=2)
    shares = tiny.logprobs(model, [*PROMPTS[0], *answer.token_ids])[len(PROMPTS[0]) - 1 :]
    noted = [(place, step) for place, step in enumerate(answer.steps) if step.logprob is not None]
    assert [step.token_id for step in answer.steps] == list(answer.token_ids)
    assert noted
    for place, step in noted:
        assert step.logprob == pytest.approx(shares[place, step.token_id].item(), abs=0.05)
        assert [share for _, share in step.top] == pytest.approx(shares[place].topk(2).values.tolist(), abs=0.05)


def test_bad_words_alone_are_kept_out_of_a_free_answer(engine: LlamaCppEngine) -> None:
    free = ask(engine, max_new_tokens=30)
    assert free.text is not None
    word = next(letter for letter in free.text if letter != "\ufffd")
    for seed in range(3):
        answer = ask(engine, seed, max_new_tokens=30, bad_words=(word,))
        assert word not in str(answer)
        assert answer.satisfied is None


def test_an_answer_that_was_cut_short_says_that_it_is_not_what_was_asked(engine: LlamaCppEngine) -> None:
    answer = ask(engine, json_schema=PERSON, max_new_tokens=4)
    assert (answer.ended, answer.satisfied, len(answer.token_ids)) == ("length", False, 4)
    stopped = ask(engine, json_schema=PERSON, stop=('"age"',))
    assert (stopped.ended, stopped.satisfied) == ("stop", False)
    assert str(stopped).startswith('{"name": "')


def test_what_leaves_no_token_says_so(engine: LlamaCppEngine) -> None:
    with pytest.raises(EngineError, match="bad_words, and the form that the answer is held to, forbid every token"):
        ask(engine, choices=("no",), bad_words=("n",))


# How it is asked for


def ways(allowed: torch.Tensor) -> list[Any]:
    return [way() for way in llama_held._ways(allowed, may_draw_freely=True, may_raise=True)]


def test_free_draws_that_are_made_again_leave_choices_as_likely_as_they_are(
    engine: LlamaCppEngine, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_held, "_LONG", 3)
    test_choices_come_as_often_as_the_model_finds_them_likely(engine, model)


def test_tokens_that_are_raised_are_chosen_as_those_that_are_left(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(temperature=0.0, json_schema=PERSON)
    wanted = engine(PROMPTS, config)
    assert ways(torch.arange(4) < 2) == [[[2, False], [3, False]]]
    monkeypatch.setattr(llama_held, "_LONG", 2)
    assert ways(torch.arange(5) < 1) == [[[0, 64.0]], [[1, False], [2, False], [3, False], [4, False]]]
    assert ways(torch.arange(7) < 4) == [[], [[4, False], [5, False], [6, False]]]
    assert len(ways(torch.arange(7) < 3)) == 3
    assert engine(PROMPTS, config) == wanted
    monkeypatch.setattr(llama_held, "_RAISED_BY", 0.0)  # nothing is raised: every foreign draw is made again
    assert engine(PROMPTS, config) == wanted
    assert all(answer.satisfied for answer in engine(PROMPTS, asked(json_schema=PERSON), seed=1))


def test_a_server_that_takes_what_it_may_not_is_told_on(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_held, "_ways", lambda allowed, **may: [list])
    with pytest.raises(EngineError, match="which it was forbidden"):
        ask(engine, regex="[0-9]{20}")


# Vocabularies


def test_a_vocabulary_with_tokens_for_bytes_writes_letters_where_it_has_them(tmp_path: Path) -> None:
    words = ["▁", "a", "b", "c", "é", "ab", "▁c", '{"', '":', '▁"']
    tokens = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words)
    entries = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": (2, 3, 3, *(6,) * 256, *(1,) * len(words)),
        "tokenizer.ggml.scores": (*(0.0,) * 259, *(-float(place) for place in range(len(words)))),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
    }
    place = tmp_path / "pieces.gguf"
    write_causal_gguf(
        tiny.network(vocab_size=len(tokens), eos_token_id=2), entries, place, precision="float32",
        entries={"general.name": "pieces"},
    )  # fmt: skip
    assert GgufVocabulary.of(entries).end_ids == (2,)
    own = PretrainedTokenizer.from_gguf(place)
    with LlamaCppEngine(LlamaFile.of_model(GgufModel.read(place)), own, threads=1) as engine:
        prompt = own.encode("abc") or [1]
        answer = engine([prompt], asked(choices=("cab é ж",)))[0]
        assert (answer.text, answer.satisfied) == ("cab é ж", True)
        assert [own.token(token) for token in answer.token_ids[-2:]] == ["<0xD0>", "<0xB6>"]
        for seed in range(4):
            assert engine([prompt], asked(json_schema=PERSON), seed=seed)[0].satisfied


def test_an_expert_whose_file_has_no_texts_of_tokens_is_held_by_its_tokenizer(tmp_path: Path) -> None:
    save_expert(made(norm="pre", vocab_size=337, max_seq_len=400), tmp_path / "expert", tokenizer())
    with open_engine("llamacpp", tmp_path / "expert", threads=1) as engine:
        expert = Expert(None, tokenizer(), engine=engine)
        for seed in range(4):
            answer = expert.generate("x", json_schema=PERSON, max_new_tokens=300, seed=seed)
            jsonschema.validate(json.loads(str(answer)), PERSON)
        streamed = expert.stream("x", choices=CHOICES, max_new_tokens=30, seed=1)
        assert "".join(streamed) in CHOICES
