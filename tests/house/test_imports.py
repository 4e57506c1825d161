"""What an import costs, what the front door offers, and that every public thing says what it is for."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interconnected_ai

PACKAGE = Path(interconnected_ai.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LIGHT = [
    "",
    ".config",
    ".errors",
    ".extras",
    ".memory",
    ".planner",
    ".routing",
    ".storage",
    ".text",
    ".types",
    ".cli",
    ".cli.memory",
    ".cli.plan",
]
HEAVY = {"torch", "transformers", "datasets", "sklearn", "pandas", "accelerate"}
SHOW_IMPORTS = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SHOW_IMPORTS, f"interconnected_ai{module}"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert "interconnected_ai" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("name", interconnected_ai.__all__)
def test_every_public_name_can_be_had_from_the_front_door(name: str) -> None:
    found = getattr(interconnected_ai, name)
    assert name in dir(interconnected_ai)
    if name != "__version__":
        assert found.__name__.split(".")[-1] == name
        assert found.__doc__


def test_the_front_door_says_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        interconnected_ai.no_such_name  # noqa: B018


def test_the_front_door_offers_what_its_type_hints_promise() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    hinted = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert hinted - {"import_module", "TYPE_CHECKING", "Any"} == set(interconnected_ai.__all__) - {"__version__"}


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a file, and public methods of its public classes."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            yield from (m for m in methods if not m.name.startswith("_") and not is_overload(m))


def is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in function.decorator_list)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_file_and_every_public_name_in_it_has_a_docstring(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.startswith('"""'), "a file opens with a docstring"
    tree = ast.parse(source)
    assert (ast.get_docstring(tree) or "").strip()
    silent = [f"{node.name} (line {node.lineno})" for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert not silent


def test_nothing_happens_to_the_environment_at_import() -> None:
    program = (
        "import os, logging; before = dict(os.environ), list(logging.getLogger().handlers)\n"
        "import interconnected_ai.cli, interconnected_ai.storage\n"
        "assert (dict(os.environ), list(logging.getLogger().handlers)) == before"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, check=True)
