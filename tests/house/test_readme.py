"""What the READMEs show is what runs."""

import shlex
from pathlib import Path

import pytest

from conftest import make_system, randomize
from interconnected_ai.branches import Encoder
from interconnected_ai.cli import VERBS
from interconnected_ai.config import ExpertRunConfig, RunConfig
from pages import READMES, ROOT, without_comment
from pages import blocks as blocks_of


def blocks(name: str, language: str) -> list[str]:
    return blocks_of(ROOT / name, language)


@pytest.mark.parametrize("name", READMES)
def test_the_first_python_block_runs_as_it_stands(
    name: str, tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = make_system("numpy", encoder=Encoder.load(str(encoder_folder)), base_model_name=str(encoder_folder))
    randomize(system).freeze_trunk()
    system.seal_branch("numpy", trained="joint")
    system.save_pretrained(tmp_path / "runs" / "quickstart" / "model")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(name, "python")[0], name, "exec"), {})
    assert capsys.readouterr().out.strip().splitlines()[-1] == "True"


@pytest.mark.parametrize("name", READMES)
def test_every_python_block_compiles(name: str) -> None:
    found = blocks(name, "python")
    assert len(found) >= 2
    for block in found:
        compile(block, name, "exec")


@pytest.mark.parametrize("name", READMES)
def test_every_command_that_is_shown_exists(name: str) -> None:
    lines = [line for block in blocks(name, "bash") for line in block.splitlines() if line.startswith("iai ")]
    verbs = {shlex.split(line, comments=True)[1] for line in lines}
    assert set(VERBS) <= verbs | {"quickstart"}
    assert verbs <= set(VERBS)


@pytest.mark.parametrize("name", READMES)
def test_no_figure_is_left_open(name: str) -> None:
    assert "{{" not in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_configs_are_valid(path: Path) -> None:
    kind = ExpertRunConfig if path.stem.startswith("expert_") else RunConfig
    assert kind.from_file(path).output


def test_both_readmes_show_the_same_commands() -> None:
    shown = [[without_comment(line) for b in blocks(n, "bash") for line in b.splitlines()] for n in READMES]
    assert shown[0] == shown[1]
