"""The command line as a stranger uses it: a run from CSV files to predictions, and wrong words on the way."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command_line import run_json, run_main

from conftest import make_encoder, make_rows
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.data import read_rows, split_rows, write_rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, data, and a trained run."""
    folder = tmp_path_factory.mktemp("world")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    for name, seed in (("topics", 0), ("more", 3), ("later", 5)):
        write_rows(folder / f"{name}.jsonl", *make_rows(name, 90, seed=seed).of(name))
    config = {
        "output": str(folder / "run"),
        "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 32},
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("topics", "more")], "test_fraction": 0.2},
        "training": {
            "epochs": 12, "batch_size": 16, "precision": "float32", "device": "cpu", "lr_head": 1e-2, "lr_moe": 3e-3,
            "monitors": [],
        },
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    run_main("train", str(folder / "run.yaml"))
    return folder


def test_a_run_leaves_everything_a_person_needs(world: Path) -> None:
    names = {p.name for p in (world / "run").iterdir()}
    assert {"run.yaml", "model", "metrics.jsonl", "results.json", "data_report.json", "checkpoints"} <= names


def test_training_shows_the_baseline_beside_the_result_unless_told_not_to(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((world / "run.yaml").read_text())
    config["training"]["epochs"] = 1
    config["data"]["branches"] = [{"name": "topics", "path": str(world / "topics.jsonl")}]
    for name, flags in (("with", []), ("without", ["--no-baseline"])):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({**config, "output": str(tmp_path / name)}))
        capsys.readouterr()
        assert run_main("train", str(tmp_path / "run.yaml"), *flags) == 0
        shown = capsys.readouterr().out
        assert ("baseline accuracy %" in shown) == ("TF-IDF + linear" in shown) == (name == "with")
        kept = json.loads((tmp_path / name / "results.json").read_text())
        assert ("baseline" in kept) == (name == "with")


def test_a_branch_below_the_baseline_is_named(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"{word} {i}", "label": word} for i in range(30) for word in ("rain", "bank")]
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = yaml.safe_load((world / "run.yaml").read_text())
    config["system"]["wide_terms"] = 0
    config["training"] |= {"epochs": 1, "ridge": 1e9, "lr_head": 1e-12, "lr_moe": 1e-12}
    config |= {
        "output": str(tmp_path / "weak"),
        "data": {"branches": [{"name": "words", "path": str(tmp_path / "words.jsonl")}]},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    assert run_main("train", str(tmp_path / "run.yaml")) == 0
    results = json.loads((tmp_path / "weak" / "results.json").read_text())
    below = results["test"]["words"]["accuracy"] < results["baseline"]["words"]["accuracy"]
    assert results["baseline"]["words"]["accuracy"] == 1.0
    assert below
    assert "Below the baseline's accuracy: words" in capsys.readouterr().out


def test_predict_answers_with_every_branch_in_order(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "predict", str(world / "run"), "rain and snow storm", "cat dog horse lion")
    answers = [p["branches"]["topics"]["label"] for p in found["predictions"]]
    assert answers == ["weather", "animals"]
    assert set(found["predictions"][0]["branches"]) == {"topics", "more"}
    assert 0 <= found["predictions"][0]["branches"]["more"]["confidence"] <= 1


def test_predict_prints_a_table_for_people(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_main("predict", str(world / "run"), "rain and snow storm", "--branch", "topics") == 0
    out = capsys.readouterr().out
    assert "weather" in out
    assert "more" not in out


@pytest.mark.parametrize("place", [["-"], ["--file", "-"], []])
def test_predict_reads_a_text_a_line_of_standard_input(
    place: list[str], world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"rain and snow storm\ncat dog horse lion\n")))
    found = run_json(capsys, "predict", str(world / "run"), *place, "--branch", "topics")
    assert [p["text"] for p in found["predictions"]] == ["rain and snow storm", "cat dog horse lion"]


def test_predict_reads_a_file(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "texts.txt").write_text("bank money card\n\nsnow wind\n", encoding="utf-8")
    found = run_json(capsys, "predict", str(world / "run"), "--file", str(world / "texts.txt"))
    assert [p["text"] for p in found["predictions"]] == ["bank money card", "snow wind"]


def test_evaluate_measures_the_runs_own_test_rows_and_other_files(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = run_json(capsys, "evaluate", str(world / "run"))
    assert own["branches"]["topics"]["accuracy"] > 0.8
    results = json.loads((world / "run" / "results.json").read_text())
    assert own["branches"]["topics"]["accuracy"] == pytest.approx(results["test"]["topics"]["accuracy"])
    other = run_json(capsys, "evaluate", str(world / "run"), "--data", f"topics={world / 'later.jsonl'}")
    assert other["branches"]["topics"]["num_rows"] == 90


def test_a_branch_is_added_verified_and_removed_without_touching_the_others(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(world / "run")
    before = run_json(capsys, "predict", run, "rain and snow storm")["predictions"][0]["branches"]
    added = run_json(capsys, "branch", "add", run, "later", "--data", str(world / "later.jsonl"))
    assert added["old_outputs_max_abs_diff"] == 0
    assert added["num_classes"] == 3
    _, learnt = split_rows(read_rows(world / "later.jsonl", "text", {"later": "label"}), [0.1], seed=0)
    assert added["num_rows"] == len(learnt)
    listed = run_json(capsys, "branch", "list", run)
    assert [(b["spec"]["name"], b["trained"]) for b in listed["branches"]] == [
        ("topics", "joint"), ("more", "joint"), ("later", "added"),
    ]  # fmt: skip
    checks = run_json(capsys, "branch", "verify", run)
    assert checks["unchanged"]
    assert all(c["identical"] and c["max_abs_diff"] == 0 for c in checks["branches"])
    after = run_json(capsys, "predict", run, "rain and snow storm")["predictions"][0]["branches"]
    assert {name: after[name] for name in before} == before
    removed = run_json(capsys, "branch", "remove", run, "later", "--yes")
    assert removed["branches"] == ["topics", "more"]
    assert run_json(capsys, "predict", run, "rain and snow storm")["predictions"][0]["branches"] == before


def test_adding_a_branch_spares_the_encoder_what_the_training_has_encoded(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, encode, encoded = str(world / "run"), InterconnectedAISystem.encode, []

    def noting(self: InterconnectedAISystem, texts: list[str], **given: int) -> torch.Tensor:
        encoded.extend(texts)
        return encode(self, texts, **given)

    monkeypatch.setattr(InterconnectedAISystem, "encode", noting)
    run_json(capsys, "branch", "add", run, "again", "--data", str(world / "topics.jsonl"))
    learnt = read_rows(world / "topics.jsonl", "text", {"again": "label"}).texts
    tested = len(set(learnt) & set(encoded))
    assert tested < len(set(learnt)) / 2, "only the rows that the run held out for its test are new to the encoder"
    run_json(capsys, "branch", "remove", run, "again", "--yes")


def test_compare_finds_no_difference_between_a_run_and_itself(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "compare", str(world / "run"), str(world / "run"))
    assert found["branches"]["topics"]["p_value"] == 1
    assert found["branches"]["topics"]["difference"] == 0
    assert "no difference" in found["branches"]["topics"]["verdict"]


def test_rows_that_a_model_has_learnt_are_left_out_and_counted(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, data = str(world / "run"), f"topics={world / 'topics.jsonl'}"
    own = run_json(capsys, "evaluate", run)
    assert own["left_out"] == {"topics": 0, "more": 0}
    whole = run_json(capsys, "evaluate", run, "--data", data)
    assert whole["branches"]["topics"] == own["branches"]["topics"]
    assert whole["left_out"]["topics"] + whole["branches"]["topics"]["num_rows"] == 90
    assert run_json(capsys, "evaluate", run, "--data", data, "--include-learnt")["branches"]["topics"]["num_rows"] == 90
    compared = run_json(capsys, "compare", run, run, "--data", data)
    assert compared["left_out"] == whole["left_out"]
    assert compared["branches"]["topics"]["num_rows"] == own["branches"]["topics"]["num_rows"]
    everything = run_json(capsys, "compare", run, run, "--data", data, "--include-learnt")
    assert everything["branches"]["topics"]["num_rows"] == 90


def test_a_run_is_not_resumed_with_other_rows_and_takes_new_ones_where_told_to(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((world / "run.yaml").read_text())
    config["output"] = str(tmp_path / "run")
    config["data"]["branches"] = [{"name": "topics", "path": str(tmp_path / "topics.jsonl")}]
    config["training"] |= {"epochs": 1, "checkpoint_every_steps": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    train = ["train", str(tmp_path / "config.yaml")]
    texts, labels = make_rows("topics", 60).of("topics")
    write_rows(tmp_path / "topics.jsonl", texts, labels)
    run_json(capsys, *train)
    test_rows = run_json(capsys, "evaluate", str(tmp_path / "run"))["branches"]["topics"]["num_rows"]
    more = make_rows("topics", 15, seed=8, marker="again").of("topics")
    write_rows(tmp_path / "topics.jsonl", [*more[0], *texts], [*more[1], *labels])
    assert "15 rows are new" in error_of(capsys, *train, "--resume")
    assert run_json(capsys, "evaluate", str(tmp_path / "run"))["branches"]["topics"]["num_rows"] == test_rows
    assert "--resume" in error_of(capsys, *train, "--new-rows")
    run_json(capsys, *train, "--resume", "--new-rows")
    write_rows(tmp_path / "topics.jsonl", texts, ["a" + label for label in labels])
    told = error_of(capsys, *train, "--resume", "--new-rows")
    assert "lost the classes 'animals', 'money', 'weather'" in told
    assert "15 rows are gone" in told


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    return str(run_json(capsys, *args, code=2)["error"]["message"])


def test_wrong_words_get_one_clear_message_and_exit_code_2(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(world / "run")
    assert "nearest first: 'topics'" in error_of(capsys, "predict", run, "a text", "--branch", "topcs")
    assert "no folder" in error_of(capsys, "predict", str(world / "nowhere"), "a text")
    assert "empty" in error_of(capsys, "predict", run, "  ")
    assert "no config" in error_of(capsys, "train", str(world / "nowhere.yaml"))
    assert "holds a finished run" in error_of(capsys, "train", str(world / "run.yaml"))
    later = str(world / "later.jsonl")
    assert "no safe file name" in error_of(capsys, "branch", "add", run, "../evil", "--data", later)
    assert "exists already" in error_of(capsys, "branch", "add", run, "Topics", "--data", later)
    assert "no column 'labl'" in error_of(capsys, "branch", "add", run, "x", "--data", later, "--label", "labl")
    told = error_of(capsys, "branch", "add", run, "x", "--data", "nowhere.csv")
    assert f"no file at nowhere.csv (seen from {Path.cwd()})" in told
    assert "config" not in told
    assert "which branch" in error_of(capsys, "evaluate", run, "--data", later)


def test_labels_that_a_branch_never_learnt_are_named_at_evaluation(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(world / "odd.jsonl", ["a cat"], ["planets"])
    message = error_of(capsys, "evaluate", str(world / "run"), "--data", f"topics={world / 'odd.jsonl'}")
    assert "'planets'" in message
    assert "animals" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"text,label\n", "has no rows"),
        ("text,label\nкошка,да\nсобака,нет\n".encode("cp1251"), "not UTF-8"),
        (b"text,label\nmy cat,a\nmy dog,b\nthe cow,b\n", "one distinct text"),
        (b"text,label\nmy cat,a\n ,b\n", "row 2"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    assert said in error_of(capsys, "branch", "add", str(world / "run"), "bad", "--data", str(tmp_path / "bad.csv"))
    assert run_json(capsys, "branch", "list", str(world / "run"))["branches"][-1]["spec"]["name"] == "more"


def test_altered_weights_are_noticed(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(world / "run" / "model", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "restore it from a copy" in error_of(capsys, "predict", str(tmp_path / "model"), "a text")


def test_a_pickle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pt")
    assert "pickle" in error_of(capsys, "predict", str(tmp_path), "a text")
