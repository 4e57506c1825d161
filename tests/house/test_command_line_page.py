"""The page on the command line names every exit code and every environment variable that the sources know."""

import re
from pathlib import Path

import pytest

import interconnected_ai
from interconnected_ai.cli import failures
from pages import ROOT, tables

SOURCES = sorted(Path(interconnected_ai.__file__).parent.rglob("*.py"))
PAGES = ["docs/command-line.md", "docs/command-line.ru.md"]


# What libraries read, not we; tests/cli/test_environment.py tries each.
OF_LIBRARIES = {
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "TERM",
    "COLUMNS",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
}


def first_cells(page: str, pattern: str) -> set[str]:
    """What stands between backquotes in the first cells of the page's tables and looks like this."""
    cells = [row[0] for table in tables(ROOT / page) for row in table]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell) if re.fullmatch(pattern, word)}


def read_variables() -> set[str]:
    """Every environment variable that the sources read, a name with a part to be filled in as `NAME_…`."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in SOURCES)
    read = re.findall(r'(?:environ(?:\.get\(|\[)|getenv\(|envvar=)\s*f?"([^"]+)"', text)
    return {re.sub(r"\{.*?\}", "…", name) for name in [*read, *re.findall(r'"(IAI_[A-Z_]+)"', text)]}


@pytest.mark.parametrize("page", PAGES)
def test_the_environment_variables_that_are_read_are_named_and_no_others(page: str) -> None:
    read = read_variables()
    assert {"IAI_DEBUG", "IAI_HOME", "IAI_MEMORY", "RANK", "ACCELERATE_USE_…"} <= read
    assert first_cells(page, "[A-Z_]+…?") == read | OF_LIBRARIES


@pytest.mark.parametrize("page", PAGES)
def test_every_exit_code_is_named(page: str) -> None:
    codes = {
        number
        for name, number in vars(failures).items()
        if name.isupper() and name[0] != "_" and isinstance(number, int)
    }
    assert {0, *codes} == {int(cell) for cell in first_cells(page, r"\d+")}


def test_no_command_leaves_with_a_number_of_its_own() -> None:
    rooms = [file for file in SOURCES if "cli" in file.parts]
    assert rooms
    found = [f"{file.name}: {line}" for file in rooms for line in file.read_text(encoding="utf-8").splitlines()
             if re.search(r"Exit\(\d|sys\.exit\(\d", line)]  # fmt: skip
    assert not found
