"""`iai doctor` as a stranger uses it, and the checklist at the start of `iai train`."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run_json, run_main

from conftest import make_encoder, make_rows
from interconnected_ai.config import RunConfig
from interconnected_ai.data import write_rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, rows, two configs, and the runs of both: one healthy, one with rates that are too high."""
    folder = tmp_path_factory.mktemp("world")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    for name, seed in (("topics", 0), ("more", 3)):
        write_rows(folder / f"{name}.jsonl", *make_rows(name, 320, seed=seed).of(name))
    write_config(folder, "good")
    write_config(folder, "bad", lr_moe=10.0, lr_head=10.0, lr_adapter=10.0, epochs=6, ridge=None)
    for name in ("good", "bad"):
        assert run_main("train", str(folder / f"{name}.yaml")) == 0
    return folder


def write_config(folder: Path, name: str, **training: Any) -> Path:
    config = {
        "output": str(folder / name),
        "system": {
            "base_model_name": str(folder / "encoder"), "num_experts": 2, "num_moe_layers": 1, "max_seq_len": 32, "d_ff": 48,
            "wide_terms": 0,  # words would answer well whatever ails the trunk
        },
        "data": {"branches": [{"name": n, "path": f"{n}.jsonl"} for n in ("topics", "more")], "test_fraction": 0.2},
        "training": {
            "epochs": 10, "batch_size": 16, "precision": "float32", "device": "cpu", "lr_head": 1e-2, "lr_adapter": 5e-3,
            "lr_moe": 1e-3, "checkpoint_every_steps": 50, "patience": None, **training,
        },
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_config_without_fault_leaves_with_0(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((world / "good.yaml").read_text()) | {"output": str(tmp_path / "new")}
    (world / "fresh.yaml").write_text(yaml.safe_dump(config))
    found = run_json(capsys, "doctor", str(world / "fresh.yaml"))
    assert found["healthy"]
    assert {check["state"] for check in found["checks"]} == {"ok"}
    assert found["fixed"] is None
    capsys.readouterr()
    assert run_main("doctor", str(world / "fresh.yaml")) == 0
    out = capsys.readouterr().out
    assert "encoder frozen" in out
    assert "rows, 3 classes" in out


def test_a_config_with_faults_leaves_with_1_and_its_fix_beside_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((world / "good.yaml").read_text())
    config["output"] = str(tmp_path / "new")
    config["training"] |= {"balance_loss_weight": 0.0, "gradient_clip": 500.0}
    (world / "faulty.yaml").write_text(yaml.safe_dump(config))
    found = run_json(capsys, "doctor", str(world / "faulty.yaml"), "--fix", code=1)
    assert [c["name"] for c in found["checks"] if c["state"] != "ok"] == ["clipping on", "balance weight set"]
    assert found["fixed"]["file"] == str(world / "faulty-fixed.yaml")
    fixed = RunConfig.from_file(world / "faulty-fixed.yaml")
    assert (fixed.training.balance_loss_weight, fixed.training.gradient_clip) == (0.01, 1.0)
    assert run_json(capsys, "doctor", str(world / "faulty-fixed.yaml"))["healthy"]
    before = (world / "faulty-fixed.yaml").read_bytes()
    error = run_json(capsys, "doctor", str(world / "faulty.yaml"), "--fix", code=2)["error"]
    assert "--overwrite" in error["message"]
    assert (world / "faulty-fixed.yaml").read_bytes() == before
    assert run_main("doctor", str(world / "faulty.yaml"), "--fix", "--output", str(tmp_path / "other.yaml")) == 1
    assert RunConfig.from_file(tmp_path / "other.yaml") == fixed


def test_a_healthy_run_leaves_with_0(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "doctor", str(world / "good"))
    assert found == {
        "run": str(world / "good"), "state": "finished", "healthy": True, "illnesses": [], "unjudged": [], "fixed": None,
    }  # fmt: skip
    assert run_main("doctor", str(world / "good"), "--fix") == 0
    out = capsys.readouterr().out
    assert "Nothing was found" in out
    assert "no file was written" in out
    assert not (world / "good" / "run-fixed.yaml").exists()


def test_an_ill_run_leaves_with_1_and_says_both_remedies(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "doctor", str(world / "bad"), code=1)
    ill = {illness["name"]: illness for illness in found["illnesses"]}
    assert {"learning rate too high", "branch under 85 %"} <= set(ill)
    assert ill["branch under 85 %"]["document_remedy"] == "lower LR_ADAPTER"
    assert ill["learning rate too high"]["settings_to_change"]["training.lr_moe"] == 3e-4
    assert run_main("doctor", str(world / "bad")) == 1
    out = capsys.readouterr().out
    assert "  document   lower LR_ADAPTER" in out
    assert "lr_moe=0.0003" in out


def test_the_fix_of_a_run_is_a_config_that_train_takes(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "doctor", str(world / "bad"), "--fix", code=1)
    file = Path(found["fixed"]["file"])
    assert file == world / "bad" / "run-fixed.yaml"
    assert {change["setting"] for change in found["fixed"]["changes"]} >= {"training.lr_moe", "training.lr_head"}
    fixed = RunConfig.from_file(file)
    assert fixed.output == str(world / "bad-fixed")
    (world / "bad-fixed").mkdir()
    assert run_main("doctor", str(world / "bad"), "--fix", "--output", str(world / "again.yaml")) == 1
    assert RunConfig.from_file(world / "again.yaml").output == str(world / "bad-fixed-2")
    (world / "short.yaml").write_text(fixed.with_changes(training={**fixed.training.to_dict(), "epochs": 1}).to_yaml())
    assert run_main("train", str(world / "short.yaml")) == 0
    assert (world / "bad-fixed" / "results.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ([], "UsageError", "CONFIG|RUN"),
        (["a", "b"], "UsageError", "unexpected extra argument"),
        (["absent.yaml"], "ConfigError", "no config at"),
        (["absent"], "NotAModelError", "no folder at"),
        (["absent", "--fixx"], "UsageError", "--fix"),
        (["absent.yaml", "--output", "x.yaml"], "UsageError", "add --fix"),
        (["absent.yaml", "--fix", "--output", "taken.yaml"], "StorageError", "--overwrite"),
        (["empty"], "NotAModelError", "holds no run.yaml"),
        (["taken.yaml"], "ConfigError", "needs a mapping"),
        (["wrong.yaml"], "ConfigError", "nearest first: training"),
        (["young"], "DataError", "no figures"),
    ],
)
def test_what_is_no_config_and_no_run_leaves_with_2_and_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    kind: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.yaml").write_text("just words\n")
    (tmp_path / "wrong.yaml").write_text("output: x\ndata: {table: {path: a.csv, labels: {a: a}}}\ntrainin: {}\n")
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "run.yaml").write_text("output: x\ndata: {table: {path: a.csv, labels: {a: a}}}\n")
    error = run_json(capsys, "doctor", *arguments, code=2)["error"]
    assert error["kind"] == kind
    assert words in error["message"]
    assert run_main("doctor", *arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_rows_that_cannot_be_read_are_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("output: x\ndata: {table: {path: nowhere.csv, labels: {a: a}}}\n")
    found = run_json(capsys, "doctor", str(tmp_path / "run.yaml"), code=1)
    check = next(check for check in found["checks"] if check["name"] == "rows can be read")
    assert check["state"] == "fails"
    assert "no file at" in check["evidence"]


# At the start of `iai train`


def test_training_begins_with_the_checklist_and_warnings_do_not_stop_it(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(world, "warned", epochs=1, monitors=[], checkpoint_every_steps=500)
    found = run_json(capsys, "train", str(path))
    assert Path(found["run"], "results.json").is_file()
    assert run_main("train", str(path), "--overwrite") == 0
    out = capsys.readouterr().out
    assert "Checklist: 18 of 20 ok" in out
    assert "warning: checkpoints on: the first would come at step 500" in out


def test_what_will_surely_fail_stops_a_training_before_anything_is_written(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(world / "foreign.jsonl", ["a cat and a dog", "my money"], ["animals", "planets"])
    path = write_config(world, "stopped", epochs=1)
    config = yaml.safe_load(path.read_text())
    config["data"]["branches"][0]["validation"] = "foreign.jsonl"
    path.write_text(yaml.safe_dump(config))
    error = run_json(capsys, "train", str(path), code=2)["error"]
    assert error["kind"] == "ConfigError"
    assert "validation of topics has 'planets'" in error["message"]
    assert "--force" in error["message"]
    assert not (world / "stopped").exists()
    forced = run_json(capsys, "train", str(path), "--force", code=2)["error"]
    assert forced["kind"] == "UnknownNameError"
    assert "planets" in forced["message"]
    assert (world / "stopped" / "metrics.jsonl").is_file()


def test_a_taken_folder_is_refused_before_the_rows_are_read(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai import data

    monkeypatch.setattr(data, "load_splits", lambda *_: pytest.fail("the rows were read"))
    assert "holds a finished run" in run_json(capsys, "train", str(world / "good.yaml"), code=2)["error"]["message"]
