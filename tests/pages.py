"""What a page of the documentation shows: its code blocks and the commands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.ru.md")


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks of this language, in order."""
    return [text for found, text in all_blocks(page) if found == language]


def all_blocks(page: Path) -> list[tuple[str, str]]:
    """Every code block of the page with its language, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def without_comment(lines: str) -> str:
    """Shell or Python lines without what follows their `#`."""
    return re.sub(r"(?:^|(?<=\s))#.*", "", lines, flags=re.MULTILINE).strip()


def inline_commands(page: Path) -> list[str]:
    """Every `iai …` that stands between backquotes in the page's sentences and tables."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`(iai [^`]+)`", prose)


def tables(page: Path) -> list[list[list[str]]]:
    """The page's tables: rows of cells, the rule under the head left out."""
    found = re.findall(r"(?:^\|.*\|\n)+", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()] for table in found]
    return [[row for row in table if not all(set(cell) <= set("-: ") and cell for cell in row)] for table in rows]
