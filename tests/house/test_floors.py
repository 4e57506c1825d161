"""The floors of the house: who may import whom. The contract stands in pyproject.toml."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import interconnected_ai

pytest.importorskip("importlinter")

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(interconnected_ai.__file__).parent
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in `source` against the contract of this checkout."""
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_no_file_imports_from_a_higher_floor_or_from_a_stranger() -> None:
    done = lint(PACKAGE.parent)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("errors.py", "from interconnected_ai.config import SystemConfig"),  # upwards
        ("nn/lora.py", "from interconnected_ai.text import Tokenizer"),  # to a stranger
        ("config/record.py", "def late():\n    from interconnected_ai.nn import LoRA"),  # hidden in a function
    ],
)
def test_a_forbidden_import_would_be_found(tmp_path: Path, file: str, line: str) -> None:
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0, done.stdout
    assert "BROKEN" in done.stdout


def floors() -> list[list[str]]:
    """The contract's floors, the highest first, each with its rooms."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = tomllib.loads(text)["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[room.strip().removeprefix("interconnected_ai.") for room in floor.split("|")] for floor in layers]


def test_every_room_stands_on_a_floor() -> None:
    placed = {room for floor in floors() for room in floor}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__", "__main__"} == placed


def test_the_figure_for_contributors_is_the_contract() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Floors")[1]
    figure = section.split("```")[1].strip().splitlines()
    assert [sorted(line.split()) for line in figure] == [sorted(floor) for floor in floors()]
