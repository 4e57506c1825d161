"""What a page prints below an `iai plan` command is what the command prints, figure for figure; so is what its Python prints.

A line of `…` stands for lines left out, a `…` at the end of a line or number for the rest of it.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import run_main
from test_plan_command import QWEN3

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / name for name in ("README.md", "README.ru.md")), *sorted((ROOT / "docs").glob("*.md"))]
# Figures of one machine on one day.
MEASURED = {"iai plan calibrate", "iai plan system --branches 5 --classes 40 --rows 20000 --tokens 40"}
# Blocks that stand away from their command, by how they begin.
AWAY = {
    "Where the document and the figures part:": (
        "iai plan system --branches 5 --classes 40 --rows 20000 --tokens 40 --device L4"
    ),
    "iai: device 'A100' is not clear": "iai plan system --device A100",
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def shown_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of `iai plan`, and the lines that the page shows of what each prints."""
    for shell, printed in re.findall(r"```bash\n([^`]*)```\n+```text\n(.*?)```", text, flags=re.DOTALL):
        line = shlex.join(shlex.split(shell.strip().splitlines()[-1], comments=True))
        if line.startswith("iai plan ") and line not in MEASURED:
            yield line, printed.splitlines()
    for printed in blocks(text, "text"):
        for beginning, line in AWAY.items():
            if printed.startswith(beginning):
                yield line, printed.splitlines()


def cells(line: str) -> tuple[str, ...]:
    """A line of a table as its cells, any other as one; borders as nothing."""
    if line[:1] in "┏┡└├":
        return ()
    return tuple(cell.strip() for cell in re.split("[│┃]", line.strip("│┃"))) if line else ()


def tells(printed: tuple[str, ...], shown: tuple[str, ...]) -> bool:
    pairs = zip(printed, shown, strict=False)
    return len(printed) == len(shown) and all(p.startswith(s[:-1]) if s.endswith("…") else p == s for p, s in pairs)


def missing(shown: list[str], printed: str) -> list[str]:
    """The lines shown that are not printed, in that order."""
    left, lacking = iter([cells(line) for line in printed.splitlines()]), []
    for line in shown:
        if line.strip() == "…" or not cells(line):
            continue
        kept = list(left)
        at = next((i for i, one in enumerate(kept) if tells(one, cells(line))), None)
        if at is None:
            lacking.append(line)
        left = iter(kept if at is None else kept[at + 1 :])
    return lacking


def tables_below(text: str, line: str) -> list[str]:
    """Rows of the tables between a command and the next heading, as the command line would print them."""
    section = text[text.index(line) :].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, flags=re.MULTILINE)
    return [f"│ {row.replace(' | ', ' │ ')} │" for row in rows]


def numbers(*texts: str) -> set[str]:
    """The figures in some texts, whatever the language of the words between them."""
    return {number.rstrip(".,") for text in texts for number in re.findall(r"\d[\d.,]*", text)}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An uncalibrated machine, in a folder with the config that pages speak of."""
    monkeypatch.setenv("IAI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qwen3").mkdir()
    (tmp_path / "qwen3" / "config.json").write_text(json.dumps(QWEN3), encoding="utf-8")
    return tmp_path


def with_files_of(text: str, folder: Path) -> None:
    """Write the files whose names head the page's YAML blocks."""
    for block in blocks(text, "yaml"):
        if named := re.match(r"# (\S+\.yaml)\b", block):
            (folder / named[1]).write_text(block, encoding="utf-8")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints, on stdout and stderr."""

    def of(line: str) -> str:
        run_main(*shlex.split(line)[1:])
        told = capsys.readouterr()
        return told.out + told.err

    return of


CASES = [(page, *shown) for page in PAGES for shown in shown_in(page.read_text(encoding="utf-8"))]


def test_there_are_figures_to_compare() -> None:
    assert {page.name for page, *_ in CASES} >= {"plan.md", "plan.ru.md"}
    assert len(CASES) >= 16


@pytest.mark.parametrize(("page", "line", "shown"), CASES, ids=[f"{page.name} {line}" for page, line, _ in CASES])
def test_what_a_page_shows_below_a_plan_is_what_the_plan_prints(
    page: Path, line: str, shown: list[str], place: Path, printed: Callable[[str], str]
) -> None:
    with_files_of(page.read_text(encoding="utf-8"), place)
    told = printed(line)
    assert missing(shown, told) == [], told


@pytest.mark.parametrize("page", ["docs/plan.md", "docs/plan.ru.md"])
@pytest.mark.parametrize(("command", "at_least"), [("iai plan surgery", 8), ("iai plan document", 3)])
def test_every_figure_of_a_table_made_of_a_plan_is_printed_in_its_row(
    page: str, command: str, at_least: int, printed: Callable[[str], str]
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    line = next(found for block in blocks(text, "bash") for found in block.splitlines() if found.startswith(command))
    rows = [numbers(row) for row in printed(shlex.join(shlex.split(line, comments=True))).splitlines()]
    shown = [
        figures for row in tables_below(text, line) if (figures := numbers(*[c for c in cells(row) if c[:1].isdigit()]))
    ]
    assert len(shown) >= at_least
    for figures in shown:
        assert any(figures <= row for row in rows), figures


@pytest.mark.parametrize("page", ["docs/plan.md", "docs/plan.ru.md"])
def test_what_the_python_of_the_page_prints_stands_beside_it(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks((ROOT / page).read_text(encoding="utf-8"), "python")
    exec(compile(block, page, "exec"), {})
    shown = re.findall(r"^print\(.*\)  # (.*)$|^# (.*)$", block, flags=re.MULTILINE)
    told = capsys.readouterr().out.splitlines()
    for line, words in zip(told, (beside or below for beside, below in shown), strict=True):
        said = words.split(" ")
        whole = line.split(" ")
        if said[-1] == "…":
            said, whole = said[:-1], whole[: len(said) - 1]
        assert tells(tuple(whole), tuple(said)), line


def test_a_figure_that_is_not_printed_would_be_found() -> None:
    told = "5 branches\n│ USD │ 0.15 (0.01–0.37) │\nTimes: assumed, not measured\n"
    assert missing(["5 branches", "…", "│ USD  │ 0.15 (0.01–0.37)  │", "Times: assumed…"], told) == []
    assert missing(["│ USD │ 0.16 (0.01–0.37) │"], told) == ["│ USD │ 0.16 (0.01–0.37) │"]
    assert missing(["Times: assumed…", "5 branches"], told) == ["5 branches"]
