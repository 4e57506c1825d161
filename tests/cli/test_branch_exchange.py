"""`iai branch export` and `iai branch import` as a stranger uses them: a file from one copy of a system into another."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from command_line import run_json, run_main

from conftest import make_encoder, make_rows
from interconnected_ai.data import write_rows
from interconnected_ai.storage import version_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a copy of it that has one branch more, and a run of another trunk."""
    folder = tmp_path_factory.mktemp("exchanging")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    for name, seed in (("topics", 0), ("later", 5)):
        write_rows(folder / f"{name}.jsonl", *make_rows(name, 60, seed=seed).of(name))
    for name, seed in (("run", 0), ("other", 1)):
        config = {
            "output": str(folder / name),
            "system": {"base_model_name": str(folder / "encoder"), "num_experts": 2, "max_seq_len": 16, "d_ff": 16},
            "data": {"branches": [{"name": "topics", "path": "topics.jsonl"}]},
            "training": {
                "epochs": 1, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [], "seed": seed,
            },
        }  # fmt: skip
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        assert run_main("train", str(folder / "config.yaml"), "--no-baseline") == 0
    shutil.copytree(folder / "run", folder / "source")
    assert run_main("branch", "add", str(folder / "source"), "later", "--data", str(folder / "later.jsonl")) == 0
    return folder


def failure(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert run_main(*map(str, args)) == 2
    return capsys.readouterr().err


def test_a_branch_goes_from_one_copy_into_the_other(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "с пробелом" / "run", tmp_path / "later.safetensors"
    shutil.copytree(runs / "run", run)
    told = run_json(capsys, "branch", "export", str(runs / "source"), "later", "--out", str(file))
    assert told["bytes"] == file.stat().st_size > 0
    before = run_json(capsys, "predict", str(run), "rain and snow")["predictions"][0]["branches"]["topics"]
    brought = run_json(capsys, "branch", "import", str(run), str(file))
    assert (brought["branch"], brought["identical"], brought["old_outputs_max_abs_diff"]) == ("later", True, 0)
    assert brought["branches"] == ["topics", "later"]
    here = run_json(capsys, "predict", str(run), "rain and snow")["predictions"][0]["branches"]
    assert here["topics"] == before
    assert here["later"] == run_json(capsys, "predict", str(runs / "source"), "rain and snow")["predictions"][0][
        "branches"
    ]["later"]  # fmt: skip
    checks = run_json(capsys, "branch", "verify", str(run))
    assert checks["unchanged"]
    assert all(check["identical"] for check in checks["branches"])


def test_a_taken_name_and_a_standing_file_are_refused_until_asked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "run", tmp_path / "topics.safetensors"
    shutil.copytree(runs / "run", run)
    run_json(capsys, "branch", "export", str(run), "topics", "--out", str(file))
    before, version = file.read_bytes(), version_of(run / "model")
    assert "--overwrite" in failure(capsys, "branch", "export", run, "topics", "--out", file)
    weights = run / "model" / "model.safetensors"
    kept = weights.read_bytes()
    failure(capsys, "branch", "export", run, "topics", "--out", weights, "--overwrite")
    failure(capsys, "branch", "export", run, "topics", "--out", tmp_path / "topics.bin")
    assert (file.read_bytes(), weights.read_bytes()) == (before, kept)
    told = failure(capsys, "branch", "import", run, file)
    assert "--name" in told
    assert "--overwrite" in told
    assert version_of(run / "model") == version
    assert run_json(capsys, "branch", "import", str(run), str(file), "--name", "second")["branch"] == "second"
    replaced = run_json(capsys, "branch", "import", str(run), str(file), "--overwrite")
    assert replaced["branches"] == ["topics", "second"]


def test_another_trunk_and_a_cut_file_change_nothing(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, version = tmp_path / "later.safetensors", version_of(runs / "other" / "model")
    run_json(capsys, "branch", "export", str(runs / "source"), "later", "--out", str(file))
    assert "another trunk" in failure(capsys, "branch", "import", runs / "other", file)
    file.write_bytes(file.read_bytes()[:-9])
    assert run_main("branch", "import", str(runs / "run"), str(file), "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "IntegrityError"
    assert version_of(runs / "other" / "model") == version
    assert run_json(capsys, "branch", "list", str(runs / "run"))["branches"][0]["spec"]["name"] == "topics"
