"""From the first page of the documentation every other is one link away, and every command is named with what it does."""

import re
from pathlib import Path

import pytest

from interconnected_ai.cli import VERBS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {page.name for page in DOCS.glob("*.md") if not page.name.endswith(".ru.md") and page.stem != "index"}


@pytest.mark.parametrize("index", ["index.md", "index.ru.md"])
def test_every_page_and_every_command_stands_on_the_first_page(index: str) -> None:
    text = (DOCS / index).read_text(encoding="utf-8")
    listed = text[text.rindex("\n## ") :]
    assert set(re.findall(r"^- \[[^]]+\]\(([\w-]+\.md)\)", listed, flags=re.MULTILINE)) == PAGES
    assert "(results/README.md)" in listed
    assert sorted(re.findall(r"^\| `iai ([\w-]+)` \|", text, flags=re.MULTILINE)) == sorted(VERBS)


def test_the_navigation_has_every_page() -> None:
    settings = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"^  - [^:]+: ([\w-]+\.md)$", settings, flags=re.MULTILINE)) == PAGES | {"index.md"}
