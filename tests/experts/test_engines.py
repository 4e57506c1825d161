"""Engines: every one that is installed here continues prompts as the reference does, or says what it lacks."""

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from engine_parameters import parameter
from expert_models import made, tokenizer

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError, MissingExtraError, PromptError, UnknownNameError
from interconnected_ai.experts import ExpertModel, TorchEngine, save_expert
from interconnected_ai.experts.engines import ENGINES, choose_engine, open_engine, runnable_engines
from interconnected_ai.experts.engines.ctranslate2_seed import can_seed
from interconnected_ai.types import Generate

PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8], [9], [3, 4, 5]]


FAST = [parameter(name) for name in ENGINES if name not in ("torch", "llamacpp")]


def asked(**settings: Any) -> GenerationConfig:
    return GenerationConfig.from_mapping({"max_new_tokens": 15, "temperature": 0.0, **settings}, source="test")


@pytest.fixture
def expert(tmp_path: Path) -> Path:
    """An expert of 330 tokens on disk, with its tokenizer."""
    save_expert(made(vocab_size=330), tmp_path / "expert", tokenizer())
    return tmp_path / "expert"


@pytest.fixture
def pre_norm_expert(tmp_path: Path) -> Path:
    """The same with pre-norm, and more rows in its embedding than the tokenizer has tokens."""
    save_expert(made(norm="pre", vocab_size=340, d_model=64, d_ff=128), tmp_path / "pre", tokenizer())
    return tmp_path / "pre"


def opened(name: str, expert: Path | ExpertModel, **options: Any) -> Generate:
    return open_engine(name, expert, threads=1, **options)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("name", FAST)
def test_greedy_answers_are_the_references(name: str, norm: str) -> None:
    model = made(norm=norm)
    config = asked(max_new_tokens=20)
    assert opened(name, model)(PROMPTS, config) == TorchEngine(model)(PROMPTS, config)


@pytest.mark.parametrize("name", FAST)
def test_beam_search_finds_what_the_reference_finds(name: str) -> None:
    model, config = made(seed=2), asked(num_beams=3)
    assert opened(name, model)(PROMPTS, config) == TorchEngine(model)(PROMPTS, config)


@pytest.mark.parametrize("name", FAST)
def test_an_answer_ends_before_the_end_token(name: str) -> None:
    model, config = made(), asked()
    end_id = TorchEngine(model)(PROMPTS, config)[1].token_ids[4]
    answers = opened(name, model, end_ids=end_id)(PROMPTS, config)
    assert answers == TorchEngine(model, end_ids=end_id)(PROMPTS, config)
    assert answers[1].ended == "eos"


@pytest.mark.parametrize("name", FAST)
def test_an_answer_ends_at_any_of_several_end_tokens(name: str) -> None:
    model, config = made(), asked()
    rows = [answer.token_ids for answer in TorchEngine(model)(PROMPTS, config)]
    end_ids = [rows[1][4], rows[0][3]]
    answers = opened(name, model, end_ids=end_ids)(PROMPTS, config)
    assert answers == TorchEngine(model, end_ids=end_ids)(PROMPTS, config)
    for answer, row in zip(answers, rows, strict=True):
        place = next((n for n, token in enumerate(row) if token in end_ids), len(row))
        assert answer.token_ids == row[:place]


def test_a_beam_ends_at_any_of_several_end_tokens() -> None:
    model, config = made(), asked(num_beams=2)
    free = TorchEngine(model)(PROMPTS, config)
    end_ids = [free[1].token_ids[4], free[0].token_ids[3]]
    answers = TorchEngine(model, end_ids=end_ids)(PROMPTS, config)
    assert not {token for answer in answers for token in answer.token_ids} & set(end_ids)
    assert "eos" in {answer.ended for answer in answers}


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "min_p": 0.01},
        {"temperature": 1.0, "repetition_penalty": 1.4, "presence_penalty": 0.5, "frequency_penalty": 0.2},
        {"max_new_tokens": 60, "window": "slide"},
        {"bad_words": ("the", "й")},
    ],
)
def test_onnx_serves_every_setting_as_the_reference_does(settings: dict[str, Any], expert: Path) -> None:
    config = asked(**settings)
    assert opened("onnx", expert)(PROMPTS, config, seed=3) == open_engine("torch", expert)(PROMPTS, config, seed=3)


LACKING = {
    "ctranslate2": [
        {"min_p": 0.1},
        {"repetition_penalty": 1.2},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"bad_words": ("the",)},
        {"logprobs": 0},
        {"json_schema": {"type": "integer"}},
        {"regex": "a+"},
        {"choices": ("yes", "no")},
        {"top_k": 5, "top_p": 0.5},
        {"num_beams": 2, "stop": ("the",)},
        {"max_new_tokens": 60, "window": "slide"},
    ],
    "llamacpp": [
        {"num_beams": 2},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"max_new_tokens": 60, "window": "slide"},
    ],
}
LLAMACPP_TOO = {"min_p", "repetition_penalty", "bad_words", "logprobs", "json_schema", "regex", "choices", "top_p"}


@pytest.mark.parametrize("name", [parameter(name) for name in LACKING])
def test_settings_that_an_engine_lacks_are_refused_by_name(name: str, pre_norm_expert: Path) -> None:
    engine = opened(name, pre_norm_expert)
    for settings in LACKING[name]:
        lacking = list(settings)[-1]
        able = "torch, onnx and llamacpp" if lacking in LLAMACPP_TOO else "torch and onnx"
        able = "torch, onnx and ctranslate2" if lacking == "num_beams" else able
        with pytest.raises(EngineError, match=rf"the engine {name} has no .*{lacking}.*; the engines {able} have it"):
            engine(PROMPTS, asked(**settings))


@pytest.mark.parametrize("name", FAST)
def test_wrong_prompts_are_refused_before_anything_is_read(name: str) -> None:
    engine = opened(name, made())
    for prompts, said in (
        ([[1, 97]], "token id 97 is outside"),
        ([[]], "prompt 0 is empty"),
        ([[1] * 39], "are more than"),
    ):
        with pytest.raises(PromptError, match=said):
            engine(prompts, asked())


# llama.cpp: pre-norm, with a tokenizer, a sampler of its own

llamacpp = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("xllamacpp", "gguf")),
    reason="xllamacpp or gguf is not installed",
)


@llamacpp
@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 1.5}, {"stop": ("d", "7")}], ids=str)
def test_llamacpp_answers_as_the_reference_does(settings: dict[str, Any], pre_norm_expert: Path) -> None:
    config = asked(**settings)
    answers = opened("llamacpp", pre_norm_expert)(PROMPTS, config)
    assert answers == open_engine("torch", pre_norm_expert)(PROMPTS, config)


@llamacpp
def test_llamacpp_notes_the_models_log_probabilities(pre_norm_expert: Path) -> None:
    config = asked(logprobs=3)
    answers, wanted = (
        opened("llamacpp", pre_norm_expert)(PROMPTS, config),
        open_engine("torch", pre_norm_expert)(PROMPTS, config),
    )
    for answer, reference in zip(answers, wanted, strict=True):
        assert [step.token_id for step in answer.steps] == list(answer.token_ids)
        for step, other in zip(answer.steps, reference.steps, strict=False):
            assert step.logprob == pytest.approx(other.logprob, abs=0.05)
            assert len(step.top) == 3


@llamacpp
def test_llamacpp_samples_by_its_seed_and_serves_more_prompts_than_it_has_places_for(pre_norm_expert: Path) -> None:
    engine, config = opened("llamacpp", pre_norm_expert), asked(temperature=1.5, top_k=60, top_p=0.9, min_p=0.01)
    assert engine(PROMPTS, config, seed=7) == engine(PROMPTS, config, seed=7)
    assert engine(PROMPTS, config, seed=7) != engine(PROMPTS, config, seed=8)
    many = engine([[1 + number % 50, 2] for number in range(40)], asked())
    assert [answer.ended for answer in many] == ["length"] * 40
    assert many[:3] == engine([[1, 2], [2, 2], [3, 2]], asked())


@llamacpp
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_llamacpp_runs_quantised_weights(precision: str, pre_norm_expert: Path) -> None:
    answers = opened("llamacpp", pre_norm_expert, precision=precision)(PROMPTS, asked())
    assert [len(answer.token_ids) for answer in answers] == [15] * len(PROMPTS)


@llamacpp
def test_llamacpp_says_what_it_cannot_run(expert: Path, pre_norm_expert: Path) -> None:
    with pytest.raises(EngineError, match="llamacpp cannot run this expert: GGUF's gpt2 is a pre-norm transformer"):
        open_engine("llamacpp", expert)


@llamacpp
def test_llamacpp_ends_an_answer_at_any_token_that_it_was_opened_with(pre_norm_expert: Path) -> None:
    end_id = open_engine("torch", pre_norm_expert)(PROMPTS, asked())[1].token_ids[4]
    answers = opened("llamacpp", pre_norm_expert, end_ids=end_id)(PROMPTS, asked())
    assert answers == open_engine("torch", pre_norm_expert, end_ids=end_id)(PROMPTS, asked())
    assert answers[1].ended == "eos"


@llamacpp
def test_llamacpp_runs_an_expert_without_a_tokenizer() -> None:
    model = made(norm="pre", seed=1)
    config = asked(max_new_tokens=8)
    wanted = TorchEngine(model)(PROMPTS, config)
    assert all(0 not in answer.token_ids for answer in wanted)  # the token that llama.cpp then takes for the end token
    assert opened("llamacpp", model)(PROMPTS, config) == wanted


# Opening


def test_an_unknown_engine_lists_the_known_ones(expert: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'onx'; known, nearest first: 'onnx'"):
        open_engine("onx", expert)


def test_a_precision_that_an_engine_lacks_is_refused_with_one_that_has_it(expert: Path) -> None:
    with pytest.raises(
        EngineError, match=r"ctranslate2 has no precision='int4', it has float32, int8; onnx and llamacpp can"
    ):
        open_engine("ctranslate2", expert, precision="int4")


def test_a_shape_that_an_engine_cannot_run_is_refused(tmp_path: Path) -> None:
    save_expert(made(n_heads=8), tmp_path / "narrow")
    with pytest.raises(
        EngineError, match=r"onnx cannot run this expert: .*multiple of 8, here it is 4; torch runs every"
    ):
        open_engine("onnx", tmp_path / "narrow")
    assert "multiple of 8" in runnable_engines(tmp_path / "narrow")["onnx"]


@pytest.mark.usefixtures("no_optional_packages")
def test_an_engine_that_is_not_installed_is_named_with_its_extra(expert: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"the engine ctranslate2 needs .*interconnected-ai\[ctranslate2\]"):
        open_engine("ctranslate2", expert)


@pytest.mark.parametrize("name", FAST)
def test_weights_are_converted_once_and_again_when_they_change(name: str, expert: Path) -> None:
    opened(name, expert)
    home = expert.parent / ".expert.engines"
    (first,) = home.iterdir()
    written = (first / "manifest.json").stat().st_mtime_ns
    opened(name, expert)
    assert [(p, (p / "manifest.json").stat().st_mtime_ns) for p in home.iterdir()] == [(first, written)]
    changed = made(vocab_size=330, seed=5)
    save_expert(changed, expert, tokenizer())
    engine = opened(name, expert)
    (second,) = home.iterdir()
    assert second != first
    assert engine(PROMPTS, asked()) == TorchEngine(changed, tokenizer())(PROMPTS, asked())


@pytest.mark.parametrize("name", FAST)
def test_a_conversion_that_was_cut_short_is_made_again(name: str, expert: Path, tmp_path: Path) -> None:
    opened(name, expert, cache=tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()
    (place / "manifest.json").unlink()  # it is written last
    if any(place.iterdir()):
        shutil.rmtree(place)  # a folder without a manifest never stands in its place: the rename comes after it
    assert len(opened(name, expert, cache=tmp_path / "cache")(PROMPTS, asked())) == len(PROMPTS)


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_an_expert_is_converted_once_however_many_open_it_at_once(
    expert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.experts.export import onnx

    num_written = []
    write = onnx.write_onnx
    monkeypatch.setattr(onnx, "write_onnx", lambda *given, **named: (num_written.append(1), write(*given, **named)))
    together = threading.Barrier(8)

    def ask(_: int) -> object:
        together.wait()
        return opened("onnx", expert)(PROMPTS, asked())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert num_written == [1]
    assert found == [open_engine("torch", expert)(PROMPTS, asked())] * 8


OPEN = """
import sys
from interconnected_ai.experts.engines import open_engine
open_engine("onnx", sys.argv[1], threads=1).close()
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_processes_convert_one_expert_at_once_while_its_weights_change(expert: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", OPEN, str(expert)], stderr=subprocess.PIPE) for _ in range(4)]
    for seed in range(20):
        save_expert(made(vocab_size=330, seed=seed), expert, tokenizer())
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    assert opened("onnx", expert)(PROMPTS, asked()) == open_engine("torch", expert)(PROMPTS, asked())


# Seeds of CTranslate2


@pytest.mark.parametrize("name", [parameter("ctranslate2")])
@pytest.mark.parametrize("may_seed", [True, False], ids=["on the worker", "by a new worker"])
def test_a_seed_is_the_librarys_own(name: str, may_seed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctranslate2

    from interconnected_ai.experts.engines import ctranslate2 as engines_ctranslate2

    engine, config = opened(name, made()), asked(temperature=1.5, top_k=60)
    assert isinstance(engine, engines_ctranslate2.CTranslate2Engine)
    assert can_seed(), "this build's random state is not the one that is known"
    monkeypatch.setattr(engines_ctranslate2, "can_seed", lambda: may_seed)
    if may_seed:
        monkeypatch.setattr(engine, "_opened", None)  # nothing is loaded again
    found = [engine([PROMPTS[0]], config, seed=seed)[0].token_ids for seed in (7, 8, 7)]
    for seed, token_ids in zip((7, 8), found, strict=False):
        ctranslate2.set_random_seed(seed)
        fresh = ctranslate2.Generator(str(engine._folder), intra_threads=1, inter_threads=1)
        wanted = fresh.generate_batch(
            [[engine._words[token] for token in PROMPTS[0]]], max_length=15, include_prompt_in_result=False, end_token=[],
            sampling_topk=60, sampling_temperature=1.5,
        )  # fmt: skip
        assert token_ids == tuple(wanted[0].sequences_ids[0])
    assert found[2] == found[0] != found[1]


# Choosing


def test_auto_times_the_engines_that_are_here_and_says_why(expert: Path) -> None:
    choice = choose_engine(expert, threads=1)
    assert set(choice.tokens_per_second) | set(choice.passed_over) == set(ENGINES)
    assert choice.engine == max(choice.tokens_per_second, key=choice.tokens_per_second.__getitem__)
    assert choice.engine in str(choice)
    assert len(open_engine("auto", expert, threads=1)(PROMPTS, asked())) == len(PROMPTS)


def test_a_choice_is_remembered_until_the_circumstances_change(expert: Path) -> None:
    choose_engine(expert, threads=1)
    note = expert.parent / ".expert.engines" / "choice-float32.json"
    kept = json.loads(note.read_text())
    note.write_text(json.dumps({**kept, "engine": "torch", "tokens_per_second": {"torch": 1.0}}))
    assert choose_engine(expert, threads=1).tokens_per_second == {"torch": 1.0}
    assert choose_engine(expert, threads=2).tokens_per_second != {"torch": 1.0}
    note.write_text("{")
    assert choose_engine(expert, threads=1).tokens_per_second != {"torch": 1.0}
