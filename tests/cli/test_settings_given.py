"""--set, --seed, -q and -v: the same on every verb that has a config, chance, or much to say."""

import logging
import re
from pathlib import Path

import pytest
from artefacts import calls, make_artefacts
from command_line import COMMANDS, error_of, run_json, run_main

from conftest import make_rows
from interconnected_ai.config import ExpertRunConfig, RunConfig, setting_names, with_settings
from interconnected_ai.data import write_rows
from interconnected_ai.errors import ConfigError

pytest.importorskip("Stemmer", reason='needs the extra "memory"')


OF_CHANCE = [
    "expert adapt",
    "init", "train", "branch add", "compare", "quickstart", "generate", "expert train", "expert quickstart", "surgery role",
    "surgery quickstart", "council quickstart",
]  # fmt: skip
OF_A_CONFIG = ["expert adapt", "init", "train", "doctor", "expert train", "plan system"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    make_artefacts(folder / "world")
    return folder / "world"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def flags(verb: str) -> set[str]:
    return {flag for parameter in COMMANDS[verb].params for flag in parameter.opts}


def test_every_verb_can_be_told_to_say_less_or_more() -> None:
    assert not [verb for verb in COMMANDS if not {"-q", "--quiet", "-v", "--verbose"} <= flags(verb)]


def test_what_is_drawn_has_a_seed_and_what_has_a_config_takes_settings() -> None:
    assert not [verb for verb in OF_CHANCE if "--seed" not in flags(verb)]
    assert not [verb for verb in OF_A_CONFIG if "--set" not in flags(verb)]


def test_a_seed_is_what_a_training_and_a_draw_depend_on(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(world / "run")
    first, same, other = (
        run_json(capsys, "compare", run, run, "--seed", seed)["branches"]["topics"]["interval"]
        for seed in ("1", "1", "2")
    )
    assert first == same == other == [0.0, 0.0]  # a run against itself
    assert "-1 is not in the range" in error_of(capsys, "compare", run, run, "--seed", "-1")
    for name in ("one", "two"):
        add = ["branch", "add", run, name, "--data", str(world / "topics.jsonl"), "--epochs", "1"]
        assert run_main(*add, "--seed", "1" if name == "one" else "2") == 0
    cards = {card["spec"]["name"]: card for card in run_json(capsys, "branch", "list", run)["branches"]}
    assert cards["one"]["temperature"] != cards["two"]["temperature"]  # other rows were held out


def test_a_branch_that_is_added_tells_how_far_it_is_unless_told_not_to(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interconnected_ai.progress.SECONDS_BETWEEN_LINES", 0.0)
    texts, labels = make_rows("moods", 40, seed=5).of("moods")
    write_rows(Path("moods.jsonl"), texts, labels)
    add = ["branch", "add", str(world / "run"), "--data", "moods.jsonl", "--epochs", "1"]
    assert run_main(*add, "told") == 0
    assert re.search(r"^encoding: \d+ of \d+, \d+ s", capsys.readouterr().err, re.MULTILINE)
    assert run_main(*add, "untold", "-q") == 0
    assert capsys.readouterr().err == ""


def test_settings_go_before_the_flags_and_the_config_of_an_expert(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["expert", "train", *calls(world)["expert train"]]
    assert (
        run_main(*train, "--set", "training.seed=4", "--set", "model.dropout=0.25", "--set", "text.split_seed=9") == 0
    )
    kept = ExpertRunConfig.from_file("trained-training/run.yaml")
    assert (kept.training.seed, kept.model.dropout, kept.text.split_seed) == (4, 0.25, 9)
    assert kept.training.max_steps == 2
    said = error_of(capsys, *train, "--set", "training.max_step=4")
    assert "unknown key 'training.max_step'; known, nearest first: training.max_steps" in said
    assert "--minutes chooses the steps" in error_of(
        capsys,
        "expert",
        "train",
        str(world / "corpus.txt"),
        "--out",
        "x",
        "--minutes",
        "1",
        "--set",
        "training.epochs=4",
    )


def test_the_doctor_looks_at_the_config_with_the_settings(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(world / "config.yaml")
    checks = run_json(capsys, "doctor", config, "--set", "training.gradient_clip=1000", code=1)["checks"]
    assert [check["state"] for check in checks if check["name"] == "clipping on"] == ["warning"]
    assert "is a run; name a config" in error_of(capsys, "doctor", str(world / "run"), "--set", "training.seed=1")


def test_a_second_name_of_a_setting_is_the_same_setting() -> None:
    assert with_settings(RunConfig, {"system": {"k": 3}}, ["system.top_k=1"]) == {"system": {"top_k": 1}}
    assert with_settings(RunConfig, {"system": {"top_k": 3}}, ["system.k=1"]) == {"system": {"top_k": 1}}
    assert "system.k" in setting_names(RunConfig)


@pytest.mark.parametrize(
    ("assignment", "nearest"),
    [
        ("epochs=1", "training.epochs"), ("training.ephocs=1", "training.epochs"), ("num_experts=1", "system.num_experts"),
        ("data.branches.0.path=x", "data.branches"), ("outptu=x", "output"), ("data.table.labls.x=y", "data.table.labels"),
    ],
)  # fmt: skip
def test_an_unknown_setting_names_the_nearest(assignment: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_settings(RunConfig, {}, [assignment])
    assert nearest in str(error.value).partition("nearest first: ")[2].split(", ")[:3]


def test_names_that_are_anybodys_are_taken_as_they_are() -> None:
    assert with_settings(RunConfig, {}, ["data.table.labels.mood=tone"]) == {
        "data": {"table": {"labels": {"mood": "tone"}}}
    }


def test_a_quiet_command_leaves_no_silence_to_the_next(world: Path) -> None:
    for flags_given, code in ((["-q"], 0), (["-v"], 0), (["-q", "-v"], 2), (["-q", "--nonsense"], 2)):
        assert run_main("expert", "list", str(world / "experts"), *flags_given) == code
        assert logging.getLogger("interconnected_ai").level == logging.INFO
