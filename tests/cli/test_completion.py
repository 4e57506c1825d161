"""What the shell offers while a command is typed, and `iai help`: both without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import error_of, run_json, run_main

from conftest import make_system
from interconnected_ai.cli import VERBS
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.text import Tokenizer
from pages import ROOT


def completed(folder: Path, instruction: str, *typed: str) -> str:
    """What `iai` prints in this folder where the shell asks for completion; with nothing heavy imported."""
    program = (
        "import sys\nfrom interconnected_ai.cli import main\n"
        "try:\n    main([])\n"
        "finally:\n    assert not {'torch', 'transformers', 'numpy', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "_IAI_COMPLETE": instruction,
        "COMP_WORDS": " ".join(["iai", *typed]),
        "COMP_CWORD": str(len(typed)),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout


def offered(folder: Path, *typed: str) -> list[str]:
    """What a bash shell in this folder would be offered for the last of these words."""
    return [line.partition(",")[2] for line in completed(folder, "bash_complete", *typed).splitlines() if line]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs, a model saved elsewhere, an expert, and a folder that is neither."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("runs/first/model", "runs/second/model", "saved"):
        make_system("topics", "moods").save_pretrained(folder / name)
    (folder / "runs" / "unfinished").mkdir()
    for name in ("first", "second", "unfinished"):
        (folder / "runs" / name / "run.yaml").touch()
    words = Tokenizer.train(["the sun is warm"], 300)
    Expert(ExpertModel(words.vocab_size, 16, 1, 2, max_seq_len=64), words).save_pretrained(folder / "experts" / "pets")
    (folder / "runs" / "nothing").mkdir()
    return folder


def test_verbs_and_their_verbs_are_offered(tmp_path: Path) -> None:
    assert offered(tmp_path, "") == list(VERBS)
    assert offered(tmp_path, "pre") == ["predict"]
    assert offered(tmp_path, "branch", "l") == ["list"]
    assert offered(tmp_path, "help", "exp") == ["expert"]
    assert offered(tmp_path, "help", "expert", "q") == ["quickstart", "quantize"]
    assert "--overwrite" in offered(tmp_path, "train", "--o")


def test_runs_are_offered_where_a_run_is_needed(world: Path) -> None:
    runs = [str(Path("runs/first")), str(Path("runs/second")), str(Path("runs/unfinished"))]
    assert offered(world, "evaluate", "") == [*runs, str(Path("saved"))]
    assert offered(world, "predict", "runs/") == runs
    assert offered(world, "compare", "runs/first", "runs/se") == runs[1:2]
    assert offered(world, "report", "ru") == runs
    assert offered(world, "evaluate", "nowhere/x") == ["nowhere/x"]  # the shell's own folders


def test_branches_of_the_run_are_offered(world: Path) -> None:
    assert offered(world, "branch", "remove", "runs/first", "") == ["topics", "moods"]
    assert offered(world, "predict", "runs/first", "--branch", "mo") == ["moods"]
    assert offered(world, "branch", "remove", "runs/nothing", "") == []


def test_experts_are_offered_where_an_expert_is_needed(world: Path) -> None:
    assert offered(world, "generate", "") == [str(Path("experts/pets"))]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_that_the_page_names_gets_a_script(tmp_path: Path, shell: str) -> None:
    for page in ("docs/command-line.md", "docs/command-line.ru.md"):
        assert f"_IAI_COMPLETE={shell}_source iai" in (ROOT / page).read_text(encoding="utf-8")
    script = completed(tmp_path, f"{shell}_source")
    assert f"_IAI_COMPLETE={shell}_complete" in script


def test_help_of_a_verb_is_that_of_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for verbs in ([], ["train"], ["expert", "train"], ["surgery"]):
        assert run_main(*verbs, "--help") == 0
        expected = capsys.readouterr().out
        assert run_main("help", *verbs) == 0
        assert capsys.readouterr().out == expected
    assert run_json(capsys, "help", "branch", "add")["help"].startswith("Usage: iai branch add")
    assert "known, nearest first: train" in error_of(capsys, "help", "trian")
    assert "train has no verbs of its own, so no 'x'; try: iai help train" in error_of(capsys, "help", "train", "x")
