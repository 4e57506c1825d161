"""What a page shows as a config, JSON or Python is whole, or says in its first line that it is a fragment, and of what."""

import ast
import builtins
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from interconnected_ai.config import CouncilConfig, ExpertRunConfig, RunConfig, ServingConfig
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.planner import PlanRequest, find_device
from interconnected_ai.routing import RuleRouter

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.stem.split(".")[0] != "log")
PAGES = [ROOT / "README.md", ROOT / "README.ru.md", *DOCS]
FRAGMENT = re.compile(r"# (?:fragment|фрагмент)\b(.*)")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^ *```{language}\n(.*?)```", text, flags=re.DOTALL | re.MULTILINE)


def is_a_device_table(block: str, tmp_path: Path) -> bool:
    file = tmp_path / "devices.yaml"
    file.write_text(block, encoding="utf-8")
    rows = yaml.safe_load(block)
    return isinstance(rows, list) and all(find_device(row["name"], file) for row in rows)


def loads(block: str, tmp_path: Path) -> bool:
    """Whether something of ours takes this as it stands."""
    file = tmp_path / "shown.yaml"
    file.write_text(block, encoding="utf-8")
    takers: list[Callable[[], Any]] = [
        *(
            lambda kind=kind: kind.from_file(file)
            for kind in (RunConfig, ExpertRunConfig, CouncilConfig, ServingConfig, PlanRequest)
        ),
        lambda: RuleRouter.from_text(block),
        lambda: is_a_device_table(block, tmp_path),
    ]
    for take in takers:
        try:
            if take():
                return True
        except InterconnectedAIError:
            continue
    return False


def said_of(block: str) -> str | None:
    """What the first line says of the fragment; None where it does not say that it is one."""
    found = FRAGMENT.match(block)
    return None if found is None else found[1]


def lacking(block: str, known: set[str]) -> tuple[set[str], set[str]]:
    """Names that a block reads and nobody gave, and the names that it gives."""
    read, given = set[str](), set[str]()
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else given).add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
    return {name for name in read - given - known if not hasattr(builtins, name)}, given


def unsaid(page: Path) -> list[tuple[str, set[str]]]:
    """Python blocks of a page that need what neither they nor those above them have, and do not say so."""
    known, found = set[str](), []
    for block in blocks(page, "python"):
        missing, given = lacking(block, known)
        named = set(re.findall(r"\w+", said_of(block) or ""))
        if missing - named:
            found.append((block.splitlines()[0], missing - named))
        known |= given
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_config_on_a_page_is_whole_or_says_that_it_is_a_fragment(page: Path, tmp_path: Path) -> None:
    assert [b for b in blocks(page, "ya?ml") if said_of(b) is None and not loads(b, tmp_path)] == []
    for block in blocks(page, "json"):
        json.loads(block)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_has_all_it_needs_or_names_what_is_yours(page: Path) -> None:
    assert unsaid(page) == []


def test_what_is_not_whole_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint(system)\n```\n```python\n# fragment: texts are yours\nprint(texts)\n```\n", encoding="utf-8"
    )
    assert unsaid(page) == [("print(system)", {"system"})]
    assert not loads("training: {epochs: 3}\n", tmp_path)
    assert loads("output: runs/a\ndata: {branches: [{name: topic, path: topic.csv}]}\n", tmp_path)
