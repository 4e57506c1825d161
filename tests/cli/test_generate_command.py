"""`iai generate`: an answer, a stream, JSON, standard input, and wrong words."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import command_line
import pytest
import torch

from interconnected_ai import Expert, ExpertModel, GenerationConfig
from interconnected_ai.cli.generate import _SETTINGS
from interconnected_ai.experts.engines import ENGINES
from interconnected_ai.text import Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experts") / "tiny"
    words = Tokenizer.train(["the expert answers, эксперт отвечает"], 300)
    generator = torch.Generator().manual_seed(0)
    Expert(ExpertModel(words.vocab_size, 16, 1, 2, max_seq_len=64, generator=generator), words).save_pretrained(path)
    return path


def run(*arguments: str) -> int:
    return command_line.run_main("generate", *arguments)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return command_line.run_json(capsys, "generate", *arguments, code=code)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    return str(run_json(capsys, *arguments, code=2)["error"]["message"])


def test_every_setting_has_an_option() -> None:
    assert list(_SETTINGS) == list(GenerationConfig.model_fields)


def test_an_answer_is_printed_and_json_says_how_it_came(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (str(folder), "the expert", "--max-new-tokens", "6", "--top-k", "20", "--seed", "3")
    assert run(*asked) == 0
    printed = capsys.readouterr().out
    found = run_json(capsys, *asked, "--logprobs", "2")
    wanted = Expert.from_pretrained(folder).generate("the expert", max_new_tokens=6, top_k=20, seed=3)
    (answer,) = found["answers"]
    assert answer["text"] == wanted.text
    assert printed == f"{wanted}\n"
    assert answer["token_ids"] == list(wanted.token_ids)
    assert answer["ended"] == "length"
    assert len(answer["steps"]) == 6
    assert len(answer["steps"][0]["top"]) == 2
    assert found["config"]["top_k"] == 20
    assert found["engine"] == "torch"


def test_a_stream_prints_the_same_and_leaves_tabs_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (str(folder), "the expert", "--max-new-tokens", "40", "--seed", "10")
    printed = []
    assert "\t" in str(Expert.from_pretrained(folder).generate("the expert", max_new_tokens=40, seed=10))
    for way in ("--stream", "--no-stream"):
        assert run(*asked, way) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "\t" in printed[0]


def test_several_prompts_get_an_answer_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, str(folder), "the", "эксперт", "--max-new-tokens", "3", "--temperature", "0")
    assert [answer["prompt"] for answer in found["answers"]] == ["the", "эксперт"]
    assert run(str(folder), "the", "эксперт", "--max-new-tokens", "3") == 0
    assert "эксперт →" in capsys.readouterr().out


def test_standard_input_is_a_prompt(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    give("два\nслова\n".encode())
    assert run_json(capsys, str(folder), "--max-new-tokens", "2")["answers"][0]["prompt"] == "два\nслова"
    give("два\nслова\n".encode())
    assert run_json(capsys, str(folder), "-", "--max-new-tokens", "2")["answers"][0]["prompt"] == "два\nслова"
    give("слово".encode("cp1251"))
    assert "not UTF-8" in error_of(capsys, str(folder))
    give(b" \n")
    assert "holds no text" in error_of(capsys, str(folder))


def test_stop_strings_and_bad_words_may_be_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(
        capsys, str(folder), "the", "--stop", "x", "--stop", "y", "--bad-word", "z", "--max-new-tokens", "20", "--seed", "0"
    )  # fmt: skip
    assert found["config"]["stop"] == ["x", "y"]
    assert found["config"]["bad_words"] == ["z"]
    assert not {"x", "y", "z"} & set(found["answers"][0]["text"])


def test_an_answer_is_held_to_a_schema_an_expression_or_choices(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps({"type": "array", "items": {"enum": ["да", 7]}, "minItems": 1, "maxItems": 2}), "utf-8"
    )
    for seed, way in enumerate(
        (["--json-schema", str(schema)], ["--regex", "[a-c]{3}"], ["--choice", "да", "--choice", "нет"])
    ):
        assert run(str(folder), "the", *way, "--seed", str(seed), "--max-new-tokens", "40") == 0
        printed = capsys.readouterr()
        text = printed.out.removesuffix("\n")
        assert text in ("да", "нет") or re.fullmatch("[a-c]{3}", text) or set(json.loads(text)) <= {"да", 7}
        assert not printed.err
        (answer,) = run_json(capsys, str(folder), "the", *way, "--seed", str(seed), "--max-new-tokens", "40")["answers"]
        assert (answer["text"], answer["satisfied"]) == (text, True)


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_an_answer_that_was_cut_short_is_told_on_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    assert run(str(folder), "the", "--regex", "[a-c]{30}", "--max-new-tokens", "3", way) == 0
    printed = capsys.readouterr()
    assert re.fullmatch("[a-c]{3}\n", printed.out)
    assert "1 of 1 answers not as --regex asks: 1 cut short; give more --max-new-tokens" in printed.err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--top-p", "1.5"], "top_p"),
        (["--num-beams", "2", "--temperature", "0.5"], "searches"),
        (["--max-new-tokens", "100"], "more than the window of 64"),
        (["--engine", "troch"], "unknown engine 'troch'"),
        (["--stream"], "no --json"),
        (["--window", "open"], "window"),
        (["--device", "potato"], "unknown device 'potato'; known: auto, cpu, cuda"),
        (["--device", "cuda:77"], "'cuda:77' is not on this machine"),
        (["--engine", "onnx", "--device", "cpu"], "device='cpu' is for the engine torch"),
        (["--num-beams", "2", "--length-penalty=-1e300"], "length_penalty"),
        (["--num-beams", "2", "--length-penalty", "400"], "length_penalty"),
        (["--repetition-penalty", "1e300"], "repetition_penalty"),
        (["--stop", "\udcff"], "not UTF-8"),
        (["--seed", "a"], "seed"),
        (["--regex", "a", "--choice", "b"], "--regex and --choice shut each other out"),
        (["--regex", "a[", "--max-new-tokens", "3"], "unclosed character class"),
        (["--json-schema", "nowhere.json"], "cannot read the schema nowhere.json: No such file"),
        (["--json-schema", __file__], "the schema is not JSON"),
    ],
)
def test_wrong_words_get_one_clear_message(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], says: str
) -> None:
    assert says in error_of(capsys, str(folder), "the", *wrong)


def test_the_engine_that_was_chosen_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, str(folder), "the", "--max-new-tokens", "2", "--engine", "auto")
    assert found["engine"] in ENGINES


def test_a_folder_that_holds_no_expert_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no folder at" in error_of(capsys, str(tmp_path / "nowhere"), "the")
