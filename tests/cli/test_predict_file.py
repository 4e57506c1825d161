"""`iai predict RUN --file IN --out OUT` as a stranger uses it: whole files answered, nothing lost, nothing replaced unasked."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run_json, run_main

from conftest import make_encoder, make_rows
from interconnected_ai.branches import InterconnectedAISystem, Prediction
from interconnected_ai.data import write_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run of two branches."""
    folder = tmp_path_factory.mktemp("answering")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    for name, seed in (("topics", 0), ("more", 3)):
        write_rows(folder / f"{name}.jsonl", *make_rows(name, 90, seed=seed).of(name))
    config = {
        "output": str(folder / "run"),
        "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 32},
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("topics", "more")]},
        "training": {"epochs": 1, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": []},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    assert run_main("train", str(folder / "run.yaml"), "--no-baseline") == 0
    return folder / "run"


def table(path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("id", "text")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def failure(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert run_main(*map(str, args)) == 2
    return capsys.readouterr().err


def test_the_answers_are_those_of_predict_beside_the_columns_that_were_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["rain and snow storm", "bank card money", "cat dog horse"]
    asked = table(tmp_path / "in.csv", [(f"0{n}", text) for n, text in enumerate(texts)])
    told = run_json(capsys, "predict", str(run), "--file", str(asked), "--out", str(tmp_path / "out.csv"))
    plain = run_json(capsys, "predict", str(run), *texts)["predictions"]
    rows = read(tmp_path / "out.csv")
    assert list(rows[0]) == [
        "id", "text", "topics_label", "topics_confidence", "topics_unknown", "more_label", "more_confidence", "more_unknown",
    ]  # fmt: skip
    for number, (row, one) in enumerate(zip(rows, plain, strict=True)):
        assert (row["id"], row["text"]) == (f"0{number}", texts[number])
        for name, answer in one["branches"].items():
            assert row[f"{name}_label"] == answer["label"]
            assert float(row[f"{name}_confidence"]) == pytest.approx(answer["confidence"], abs=1e-5)
            assert row[f"{name}_unknown"] == str(answer["unknown"]).lower()
    assert told["rows"] == 3
    assert told["columns"] == list(rows[0])[2:]
    assert told["branches"]["topics"]["unknown"] == sum(p["branches"]["topics"]["unknown"] for p in plain)


def test_a_row_without_a_text_is_unknown_and_has_no_label(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = table(tmp_path / "in.csv", [("1", "rain storm"), ("2", "  "), ("3", "")])
    told = run_json(
        capsys, "predict", str(run), "--file", str(asked), "--out", str(tmp_path / "out.jsonl"), "--branch", "topics"
    )
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0]["topics_label"] == "weather"
    for row in rows[1:]:
        assert (row["topics_label"], row["topics_confidence"], row["topics_unknown"]) == (None, None, True)
    assert "more_label" not in rows[0]
    assert told["empty"] == 2
    assert told["branches"] == {"topics": {"unknown": 2 + rows[0]["topics_unknown"]}}


def test_few_rows_are_asked_at_once_and_in_their_order(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interconnected_ai.data.streams.rows.MOST_ROWS", 50)
    asked, predict = [], InterconnectedAISystem.predict

    def noting(self: InterconnectedAISystem, texts: list[str], **given: Any) -> list[Prediction]:
        asked.append(len(texts))
        return predict(self, texts, **given)

    monkeypatch.setattr(InterconnectedAISystem, "predict", noting)
    names = [(str(n), f"rain and snow {n}") for n in range(220)]
    run_json(
        capsys,
        "predict",
        str(run),
        "--file",
        str(table(tmp_path / "in.csv", names)),
        "--out",
        str(tmp_path / "out.csv"),
    )
    assert asked == [50, 50, 50, 50, 20]
    assert [(row["id"], row["text"]) for row in read(tmp_path / "out.csv")] == names


def test_another_column_and_lines_of_standard_input_can_be_asked(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = table(tmp_path / "in.tsv.csv", [("1", "rain storm")], ("id", "message"))
    out = tmp_path / "out.tsv"
    run_json(capsys, "predict", str(run), "--file", str(asked), "--text", "message", "--out", str(out))
    assert out.read_text(encoding="utf-8").splitlines()[0].split("\t")[:2] == ["id", "message"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("rain\n\nбанк\n".encode())))
    run_json(capsys, "predict", str(run), "--file", "-", "--out", str(tmp_path / "lines.csv"))
    assert [row["text"] for row in read(tmp_path / "lines.csv")] == ["rain", "банк"]


def test_nothing_that_stands_there_is_replaced_unasked(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = table(tmp_path / "in.csv", [("1", "rain")]), tmp_path / "out.csv"
    out.write_text("mine")
    before = asked.read_bytes()
    assert "--overwrite" in failure(capsys, "predict", run, "--file", asked, "--out", out)
    assert out.read_text() == "mine"
    (tmp_path / "link.csv").symlink_to(asked)
    for same in (asked, tmp_path / "link.csv", tmp_path / "x" / ".." / "in.csv"):
        for flag in ([], ["--overwrite"]):
            failure(capsys, "predict", run, "--file", asked, "--out", same, *flag)
    assert asked.read_bytes() == before
    kept = (run / "results.json").read_bytes()
    failure(capsys, "predict", run, "--file", asked, "--out", run / "results.json", "--overwrite")
    assert (run / "results.json").read_bytes() == kept
    run_json(capsys, "predict", str(run), "--file", str(asked), "--out", str(out), "--overwrite")
    assert read(out)[0]["text"] == "rain"


def test_a_column_that_is_there_already_needs_a_prefix(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = table(tmp_path / "in.csv", [("1", "rain")])
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    run_json(capsys, "predict", str(run), "--file", str(asked), "--out", str(first))
    told = failure(capsys, "predict", run, "--file", first, "--out", second)
    assert "topics_label" in told
    assert "--prefix" in told
    assert not second.exists()
    run_json(capsys, "predict", str(run), "--file", str(first), "--out", str(second), "--prefix", "again_")
    row = read(second)[0]
    assert row["again_topics_label"] == row["topics_label"]


def test_options_that_mean_nothing_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, out = table(tmp_path / "in.csv", [("1", "rain")]), tmp_path / "out.csv"
    for args in (
        ["a text", "--out", out],
        ["--file", asked, "--out", out, "--top", "2"],
        ["--file", asked, "--overwrite"],
        ["--file", asked, "--prefix", "p"],
        ["--file", asked, "--out", out, "--branch", "nobody"],
        ["--file", asked, "--out", tmp_path / "out.xlsx"],
        ["--file", asked, "--out", tmp_path],
        ["--file", tmp_path / "nothing.csv", "--out", out],
    ):
        failure(capsys, "predict", run, *args)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
