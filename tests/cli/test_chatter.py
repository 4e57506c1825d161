"""What a command says on stderr is what it has to say: nothing of the libraries beneath, as a stranger's shell sees it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import transformers.utils.logging as of_transformers
from artefacts import calls, make_artefacts

from interconnected_ai.cli import main
from interconnected_ai.cli.chatter import without_chatter

SETTINGS = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One thing of every kind that commands read."""
    folder = tmp_path_factory.mktemp("world")
    make_artefacts(folder)
    return folder


def run_iai(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`iai ARGS` in a process of its own, as nobody has set its environment."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    program = [sys.executable, "-m", "interconnected_ai", *args]
    return subprocess.run(
        program, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.mark.parametrize(
    "verb",
    ["predict", "branch list", "generate", "surgery usage"]
    + [pytest.param(verb, marks=pytest.mark.slow) for verb in ("evaluate", "surgery role")],
)
def test_a_command_that_succeeds_says_nothing_on_stderr(verb: str, world: Path, tmp_path: Path) -> None:
    done = run_iai(*verb.split(), *calls(world)[verb], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout


def test_an_encoder_that_is_damaged_is_told_of_all_the_same(world: Path, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    config = tmp_path / "run.yaml"
    text = (world / "config.yaml").read_text(encoding="utf-8").replace("topics.jsonl", str(world / "topics.jsonl"))
    config.write_text(text.replace(str(world / "encoder"), str(tmp_path / "encoder")), encoding="utf-8")
    done = run_iai("train", str(config), cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot load the encoder" in done.stderr


def test_an_imported_transformers_is_hushed_for_the_command_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    of_transformers.enable_progress_bar()
    before = dict(os.environ), of_transformers.get_verbosity()
    with without_chatter():
        assert not of_transformers.is_progress_bar_enabled()
        assert of_transformers.get_verbosity() == logging.ERROR
        assert os.environ["TQDM_DISABLE"] == "1"
    assert of_transformers.is_progress_bar_enabled()
    assert (dict(os.environ), of_transformers.get_verbosity()) == before


def test_a_command_that_fails_leaves_nothing_hushed() -> None:
    of_transformers.enable_progress_bar()
    with pytest.raises(SystemExit):
        main(["branch", "list", "no-such-run"])
    assert of_transformers.is_progress_bar_enabled()


def test_what_the_person_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    level = of_transformers.get_verbosity()
    with without_chatter():
        assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
        assert of_transformers.get_verbosity() == level
