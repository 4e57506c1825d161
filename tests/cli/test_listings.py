"""Verbs that look and change nothing answer without torch, from what folders say of themselves, and refuse what is absent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from artefacts import calls, make_artefacts
from command_line import error_of, run_json, run_main

from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.errors import IntegrityError

HEAVY = {"torch", "transformers", "sentence_transformers", "sklearn", "pandas", "accelerate", "datasets"}
LOOKING = [
    "branch list", "expert list", "memory stats", "memory search", "memory context", "memory facts", "plan system",
    "plan fit", "plan expert", "plan pool", "plan surgery", "plan explain", "plan document",
]  # fmt: skip
SHOW_IMPORTS = """
import sys
from interconnected_ai.cli import main
try:
    main(sys.argv[1:])
except SystemExit as leave:
    assert not leave.code, leave.code
print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One thing of every kind that commands read."""
    folder = tmp_path_factory.mktemp("world")
    make_artefacts(folder)
    return folder


@pytest.mark.parametrize("verb", LOOKING)
def test_what_only_looks_does_not_wait_for_torch(verb: str, world: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-c", SHOW_IMPORTS, *verb.split(), *calls(world)[verb]]
    done = subprocess.run(program, cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    imported = {name.split(".")[0] for name in done.stderr.split()}
    assert "interconnected_ai" in imported
    assert not imported & HEAVY


def test_branch_list_tells_what_the_loaded_system_knows(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = InterconnectedAISystem.from_pretrained(world / "run" / "model")
    found = run_json(capsys, "branch", "list", str(world / "run"))
    assert found["branches"] == [card.to_dict() for card in loaded.cards.values()]
    assert run_json(capsys, "branch", "list", str(world / "run" / "model")) == found


def test_branch_list_needs_no_encoder_and_checks_what_it_reads(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    InterconnectedAISystem.from_pretrained(world / "run" / "model").save_pretrained(model)
    config = (model / "config.json").read_text(encoding="utf-8")
    (model / "config.json").write_text(config.replace("topics", "topicz"), encoding="utf-8")
    assert "was altered" in error_of(capsys, "branch", "list", str(model))
    with pytest.raises(IntegrityError, match="was altered"):
        InterconnectedAISystem.from_pretrained(model)


@pytest.mark.parametrize(
    "verb",
    [["branch", "list"], ["expert", "list"], ["memory", "stats"], ["surgery", "inspect"], ["doctor"], ["report"]],
)
def test_what_is_absent_is_no_empty_list(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nothing-here" in error_of(capsys, *verb, "nothing-here")
    assert not list(tmp_path.iterdir())


def test_an_expert_can_be_listed_by_itself(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    among = run_json(capsys, "expert", "list", str(world / "experts"))["experts"]
    assert run_json(capsys, "expert", "list", str(world / "experts" / "tiny"))["experts"] == among
    assert [row["name"] for row in among] == ["tiny"]


def test_a_folder_without_experts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("expert", "list", str(tmp_path)) == 0
    assert "No experts" in capsys.readouterr().out
