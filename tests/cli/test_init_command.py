"""`iai init`: a commented config from tables alone, that loads and trains; and `iai train` on tables without one."""

import csv
import os
import re
from pathlib import Path

import pytest
from command_line import error_of, run_json, run_main

from conftest import make_encoder, make_rows
from interconnected_ai.cli.commented import commented_yaml
from interconnected_ai.cli.from_tables import as_begun, start_of
from interconnected_ai.config import RunConfig
from interconnected_ai.data import write_rows

FAST = [
    "--set", "training.epochs=1", "--set", "training.batch_size=16", "--set", "training.device=cpu",
    "--set", "training.precision=float32", "--set", "training.monitors=[]", "--set", "system.num_experts=2",
    "--set", "system.d_ff=16",
]  # fmt: skip
RUSSIAN = ["дождь и ветер за окном", "заблокируйте мою карту"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space and Cyrillic letters in its name: an encoder, an English table, a Russian one, an unclear one."""
    folder = tmp_path_factory.mktemp("мои данные")
    made = make_encoder()
    made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(folder / "encoder")
    rows = make_rows("topics", 60)
    texts, labels = rows.of("topics")
    numbered = [[str(n), text, label, str(n % 4)] for n, (text, label) in enumerate(zip(texts, labels, strict=True))]
    (folder / "tables").mkdir()
    for name, header, cells in (
        ("tickets.csv", ["id", "Message", "Topic"], [row[:3] for row in numbered]),
        ("unclear.csv", ["id", "a", "b", "c"], numbered),
        ("обращения за май.csv", ["номер", "текст", "метка"], [[str(n), f"{RUSSIAN[n % 2]} {n}", "да нет".split()[n % 2]]
                                                     for n in range(60)]),
    ):  # fmt: skip
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=";").writerows([header, *cells])
    write_rows(folder / "tables" / "mood_train.jsonl", texts, labels)
    write_rows(folder / "tables" / "mood_test.jsonl", texts[:8], labels[:8])
    write_rows(folder / "tables" / "topics.jsonl", texts, labels)
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def small(world: Path) -> list[str]:
    """Settings of a training of seconds."""
    return [*FAST, "--set", f"system.base_model_name={world / 'encoder'}"]


def test_the_config_written_says_what_was_guessed_and_why(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "init", str(world / "tickets.csv"), "--seed", "7")
    (branch,) = found["branches"]
    assert (branch["name"], branch["text"], branch["label"]) == ("tickets", "Message", "Topic")
    assert branch["text_reason"] == "its name says so"
    assert branch["num_rows"] == 60
    assert sum(branch["classes"].values()) == 60
    assert found["encoder"]["name"] == "all-MiniLM-L6-v2"
    assert found["next"] == "iai train iai.yaml"
    assert found["changes"].keys() == {"training.checkpoint_every_steps"}
    written = Path("iai.yaml").read_text(encoding="utf-8")
    classes = ", ".join(f"{label} {count}" for label, count in branch["classes"].items())
    assert f"    # 60 rows, {len(branch['classes'])} classes: {classes}" in written
    assert f"    # a row: {branch['example'][0]!r} is {branch['example'][1]!r}" in written
    assert "      text: Message  # its name says so" in written
    config = RunConfig.from_file("iai.yaml")
    assert config.training.seed == 7
    assert config.output == "runs/tickets"
    assert (Path(config.data.branches[0].path)).resolve() == world / "tickets.csv"


def test_russian_rows_with_russian_headers_get_the_encoder_that_reads_them(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("init", str(world / "обращения за май.csv"), "--output", "мой конфиг.yaml") == 0
    said = capsys.readouterr().out
    assert "texts from 'текст' (its name says so), labels from 'метка' (its name says so; 2 classes)" in said
    assert "Encoder: multilingual (of " in said
    assert "Next: iai train 'мой конфиг.yaml'" in said
    config = RunConfig.from_file("мой конфиг.yaml")
    assert config.system.base_model_name == "multilingual"
    assert config.data.branches[0].name == "обращения-за-май"


def test_what_is_odd_is_told_as_train_and_doctor_tell_it(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, labels = make_rows("topics", 60).of("topics")
    write_rows(Path("twins.jsonl"), [*texts, "rain wind", "rain", "snow"], [*labels, "weather", "Weather", "Weather"])
    found = run_json(capsys, "init", "twins.jsonl", *small(world))
    checks = run_json(capsys, "doctor", "iai.yaml", code=1)["checks"]
    told = {check["name"]: check["evidence"] for check in checks if check["state"] != "ok"}
    assert {warning["name"]: warning["evidence"] for warning in found["warnings"]} == told
    assert "look alike" in told["labels distinct"]


def test_the_config_trains_and_a_second_init_needs_overwrite(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init = ["init", str(world / "tickets.csv"), *small(world)]
    assert run_main(*init) == 0
    before = Path("iai.yaml").read_bytes()
    assert "--overwrite" in error_of(capsys, *init)
    assert Path("iai.yaml").read_bytes() == before
    assert run_main(*init, "--overwrite") == 0
    assert "iai.csv needs a name that ends in .yaml" in error_of(capsys, *init, "--output", "iai.csv")
    found = run_json(capsys, "train", "iai.yaml")
    assert Path(found["run"]) == Path("runs/tickets")
    assert found["test"]["tickets"]["num_rows"] > 0


def test_a_folder_is_a_branch_a_table_and_files_of_other_sides_stand_beside(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "init", str(world / "tables"), *small(world))
    assert [branch["name"] for branch in found["branches"]] == ["mood", "topics"]
    assert found["branches"][0]["test"].endswith("mood_test.jsonl")
    config = RunConfig.from_file("iai.yaml")
    assert config.output == "runs/tables"
    assert config.data.branches[0].test == os.path.relpath(world / "tables" / "mood_test.jsonl")


def test_several_labels_of_one_table_are_a_branch_each(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["--label", "b", "--label", "c"]
    found = run_json(capsys, "init", str(world / "unclear.csv"), *labels, *small(world))
    assert [(branch["name"], branch["label"]) for branch in found["branches"]] == [("b", "b"), ("c", "c")]
    config = RunConfig.from_file("iai.yaml")
    assert config.data.table is not None
    assert config.data.table.labels == {"b": "b", "c": "c"}
    assert "several --label make branches of one table" in error_of(
        capsys, "init", str(world / "tables"), *labels, "--overwrite"
    )


def test_columns_that_cannot_be_told_are_shown(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("init", "train"):
        said = error_of(capsys, verb, str(world / "unclear.csv"))
        assert "the labels could stand in 'b' or 'c'. Name them: --text COLUMN --label COLUMN" in said
        assert "'c': 60 cells, 4 of them different" in said
    assert not list(Path.cwd().iterdir())


def test_every_setting_behind_a_sign_can_be_taken_and_changes_nothing(world: Path) -> None:
    assert run_main("init", str(world / "tickets.csv"), *small(world)) == 0
    written = Path("iai.yaml").read_text(encoding="utf-8")
    taken = re.sub(r"^  #(?=\S)", "  ", written, flags=re.MULTILINE)
    assert taken.count("\n  num_moe_layers: 2\n") == 1
    Path("taken.yaml").write_text(taken, encoding="utf-8")
    assert RunConfig.from_file("taken.yaml") == RunConfig.from_file("iai.yaml")
    for section, record in (("system", "SystemConfig"), ("training", "TrainingConfig")):
        fields = type(getattr(RunConfig.from_file("iai.yaml"), section)).model_fields
        missing = [name for name in fields if not re.search(rf"^  #?{name}:", written, re.MULTILINE)]
        assert missing in ([], ["branches"]), record


@pytest.mark.parametrize(
    "name",
    [
        "plain", "yes", "null", "1e5", "a: b", "# c", "'q\"", "tab\there",
        "two\nlines", "\x85\u2028", "- x", "[", "é\u0301", "🙂 x", "",
    ],
)  # fmt: skip
def test_any_name_of_a_file_or_column_comes_back_from_the_file(tmp_path: Path, name: str) -> None:
    branch = {"name": "b", "path": f"dir/{name}.csv", "text": name, "label": f"{name} 2"}
    config = RunConfig.from_mapping({"output": f"runs/{name}", "data": {"branches": [branch]}})
    text = commented_yaml(
        config, head=[name], reasons={"output": name, "b.text": name}, sources={"b": [name, f"a\n{name}"]}
    )
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert RunConfig.from_file(tmp_path / "config.yaml") == config
    table = {"path": name, "text": "t", "labels": {"b": name}}
    config = RunConfig.from_mapping({"output": "x", "data": {"table": table}, "training": {"lr_moe": 1e-5}})
    (tmp_path / "config.yaml").write_text(commented_yaml(config, head=[], reasons={}, sources={}), encoding="utf-8")
    assert RunConfig.from_file(tmp_path / "config.yaml") == config


def test_train_takes_tables_without_a_config_and_keeps_the_one_it_used(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", str(world / "tickets.csv"), *small(world), "--seed", "3"]
    assert run_main(*train) == 0
    said = capsys.readouterr().out
    assert "texts from 'Message' (its name says so), labels from 'Topic'" in said
    assert "set: training.checkpoint_every_steps: 500 → " in said
    kept = RunConfig.from_file("runs/tickets/run.yaml")
    assert kept.data.branches[0].path == str(world / "tickets.csv")
    assert (kept.training.seed, kept.training.epochs, kept.system.num_experts) == (3, 1, 2)
    assert "holds a finished run" in error_of(capsys, *train)
    again = start_of([str(world / "tickets.csv")], assignments=small(world)[1::2], changes={"training": {"seed": 3}})
    assert again.config != kept  # advice is not in it
    assert as_begun(again.config) == kept  # --resume goes on with it
    found = run_json(capsys, *train, "--output", "second run", "--text", "Message", "--label", "Topic")
    assert found["run"] == "second run"
    assert RunConfig.from_file("second run/run.yaml") == kept.with_changes(output="second run")


def test_what_a_person_sets_is_not_set_otherwise_by_the_checklist(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(
        capsys, "init", str(world / "tickets.csv"), *small(world), "--set", "training.checkpoint_every_steps=400"
    )
    assert found["changes"] == {}
    assert [w["name"] for w in found["warnings"] if "first would come at step 400" in w["evidence"]] == [
        "checkpoints on"
    ]
    assert RunConfig.from_file("iai.yaml").training.checkpoint_every_steps == 400


def test_columns_are_no_options_of_a_config(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("init", str(world / "tickets.csv"), *small(world)) == 0
    assert "name columns of a table" in error_of(capsys, "train", "iai.yaml", "--text", "Message")
    assert "2 arguments given" in error_of(capsys, "train", "iai.yaml", str(world / "tickets.csv"))


def test_settings_are_laid_over_a_config(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("init", str(world / "tickets.csv"), *small(world)) == 0
    train = ["train", "iai.yaml", "--output", "runs/other", "--seed", "5"]
    said = error_of(capsys, *train, "--set", "epochs=2")
    assert "unknown key 'epochs'; known, nearest first: training.epochs" in said
    assert "epochs = 'many'" in error_of(capsys, *train, "--set", "training.epochs=many")
    assert "'nonsense' is no setting; write KEY=VALUE" in error_of(capsys, *train, "--set", "nonsense")
    assert run_main(*train, "--set", "training.epochs=2", "--set", "system.k=1") == 0
    kept = RunConfig.from_file("runs/other/run.yaml")
    assert (kept.training.epochs, kept.training.seed, kept.system.top_k) == (2, 5, 1)


def test_quiet_says_the_result_alone_and_verbose_says_every_evaluation(
    world: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interconnected_ai.progress.SECONDS_BETWEEN_LINES", 0.0)
    train = ["train", str(world / "tickets.csv"), *small(world), "--overwrite"]
    assert run_main(*train) == 0
    plain = capsys.readouterr()
    assert re.search(r"^encoding: 5\d of 5\d, ", plain.err, re.MULTILINE)
    assert re.search(r"^training: 1 of \d, epoch 1, loss [\d.]+, \d+ s, \d+ s left$", plain.err, re.MULTILINE)
    assert "Encoder: " in plain.out
    assert "device cpu" in caplog.text
    assert "accuracy/mean" not in caplog.text
    caplog.clear()
    assert run_main(*train, "-q") == 0
    quiet = capsys.readouterr()
    assert quiet.err == caplog.text == ""
    assert "Encoder" not in quiet.out
    assert "Checklist" not in quiet.out
    assert "set: " not in quiet.out
    assert "warning: monitoring on: nothing draws the curves" in quiet.out
    assert "Test rows" in quiet.out
    assert "Model: runs/tickets/model" in quiet.out
    assert run_main(*train, "-v") == 0
    assert re.search(r"step \d: .*accuracy/mean", caplog.text)
    assert "give one of them" in error_of(capsys, *train, "-q", "-v")
