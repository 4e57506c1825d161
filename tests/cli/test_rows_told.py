"""Every command that reads rows reads the same files and says the same of them, once, for people and in JSON."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
import yaml
from command_line import run_json, run_main

from conftest import make_encoder, make_rows, make_system
from interconnected_ai.cli.output import Output
from interconnected_ai.cli.rows import warn_of_rows
from interconnected_ai.data import Rows, write_rows

RUSSIAN = ["Заблокируйте карту", "Какая погода в Омске", "Включи следующую песню", "Хочу заказать столик"]


def untidy(folder: Path) -> Path:
    """Rows as Excel saves "Unicode text", with a conflict, a look-alike and a row without a label."""
    texts, labels = make_rows("topics", 60).of("topics")
    texts += ["rain wind", "rain wind", "snow", "snow mist", "mist cloud"]
    labels += ["weather", "money", "", "Weather", "Weather"]
    texts += [f"{word} of the bank" for word in ("coin", "loan", "fund", "trade", "price", "stock", "sun", "warm")]
    labels += [""] * 8  # so many that training rows are among them, however they are split
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t", lineterminator="\r\n")
    writer.writerows([("text", "label"), *zip(texts * 2, labels * 2, strict=True)])
    (folder / "untidy.CSV").write_bytes(file.getvalue().encode("utf-16"))
    return folder / "untidy.CSV"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, untidy rows, and a config and a run of tidy ones."""
    folder = tmp_path_factory.mktemp("told")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    write_rows(folder / "topics.jsonl", *make_rows("topics", 60).of("topics"))
    untidy(folder)
    for name, file in (("run", "topics.jsonl"), ("untidy", "untidy.CSV")):
        config = {
            "output": str(folder / name),
            "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 32},
            "data": {"branches": [{"name": "topics", "path": file}]},
            "training": {"epochs": 1, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": []},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    run_main("train", str(folder / "run.yaml"))
    return folder


def test_every_command_says_the_same_of_the_same_rows(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, rows = str(world / "run"), f"topics={world / 'untidy.CSV'}"
    told = {}
    found = run_json(capsys, "branch", "add", run, "later", "--data", str(world / "untidy.CSV"), "--epochs", "1")
    told["branch add"] = found["warnings"]
    told["train"] = run_json(capsys, "train", str(world / "untidy.yaml"))["warnings"]
    untidy_run = str(world / "untidy")
    told["evaluate"] = run_json(capsys, "evaluate", untidy_run, "--data", rows)["warnings"]
    told["compare"] = run_json(capsys, "compare", untidy_run, untidy_run, "--data", rows)["warnings"]
    for verb, warnings in told.items():
        said = {w["name"]: w["evidence"] for w in warnings}
        assert "look alike: 'weather' (" in said["labels distinct"], verb
        assert "the first 'rain wind' is money and weather" in said["labels agree"], verb
        assert "rows have no label of any branch" in said["labels there"], verb
        assert len({json.dumps(w) for w in warnings}) == len(warnings), verb
    assert told["evaluate"] == told["compare"]


def test_a_remark_is_printed_once_and_not_among_the_results(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(world / "twice.jsonl", ["rain wind", "Rain wind"], ["weather", "money"])
    capsys.readouterr()
    data = ("--data", f"topics={world / 'twice.jsonl'}")
    assert run_main("compare", str(world / "run"), str(world / "run"), *data) == 0
    printed = capsys.readouterr()
    assert printed.err.count("warning: labels agree: topics: 1 texts, the first 'rain wind'") == 1
    assert "warning" not in printed.out


def test_predict_reads_the_tables_that_train_reads(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(world / "run")
    (world / "asked.tsv").write_text("body\tid\nrain\nand storm\t1\n".replace("\nand", " and"))
    found = run_json(capsys, "predict", run, "--file", str(world / "asked.tsv"), "--text", "body")
    assert [p["text"] for p in found["predictions"]] == ["rain and storm"]
    assert found["warnings"] == []
    (world / "asked.json").write_text('{"text": "cut \\ud83d"}\n{"text": "cat"}\n')
    found = run_json(capsys, "predict", run, "--file", str(world / "asked.json"))
    assert [p["text"] for p in found["predictions"]] == ["cut \ufffd", "cat"]
    assert "half of a character" in found["warnings"][0]["evidence"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("cat\r\n\r\ndog\r\n".encode("utf-16"))))
    found = run_json(capsys, "predict", run, "--file", "-")
    assert [p["text"] for p in found["predictions"]] == ["cat", "dog"]


def test_rows_that_an_english_encoder_cannot_read_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_rows(Output(False), make_system("one"), Rows(RUSSIAN, {}))
    said = capsys.readouterr().err
    assert said.startswith("warning: encoder reads the language: all-MiniLM-L6-v2 reads English only")
    assert "base_model_name: multilingual" in said
    warn_of_rows(Output(False), make_system("one"), Rows(["Please block my card", "Book a table"], {}))
    assert capsys.readouterr().err == ""
