"""The page on the command line names every exit code and every environment variable that the sources know."""

import re
from pathlib import Path

import pytest

import interconnected_ai
from interconnected_ai.cli import failures

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(Path(interconnected_ai.__file__).parent.rglob("*.py"))
PAGES = ["docs/command-line.md", "docs/command-line.ru.md"]


def first_cells(page: str, pattern: str) -> set[str]:
    """The first cells of the page's tables that look like this."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return set(re.findall(rf"^\| `({pattern})` \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_environment_variable_of_ours_is_named(page: str) -> None:
    used = {name for file in SOURCES for name in re.findall(r'"(IAI_[A-Z_]+)"', file.read_text(encoding="utf-8"))}
    assert used
    assert first_cells(page, "IAI_[A-Z_]+") == used


@pytest.mark.parametrize("page", PAGES)
def test_every_exit_code_is_named(page: str) -> None:
    codes = {failures.FOUND, failures.BAD_INPUT, failures.INTERNAL_ERROR, failures.INTERRUPTED}
    assert first_cells(page, r"\d+") == {"0", *map(str, codes)}


def test_no_command_leaves_with_a_number_of_its_own() -> None:
    rooms = [file for file in SOURCES if "cli" in file.parts]
    assert rooms
    found = [f"{file.name}: {line}" for file in rooms for line in file.read_text(encoding="utf-8").splitlines()
             if re.search(r"Exit\(\d|sys\.exit\(\d", line)]  # fmt: skip
    assert not found
