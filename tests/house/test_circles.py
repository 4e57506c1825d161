"""No import circle between the files of a room: a file can be read, tested and moved with what stands below it alone.

Imports under TYPE_CHECKING and inside functions count: they hide a circle, and do not cut it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import interconnected_ai

PACKAGE = Path(interconnected_ai.__file__).parent
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, known: set[str]) -> Iterator[str]:
    """The files of this package that a file imports, wherever in it."""
    here = name_of(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = here.split(".") if file.name == "__init__.py" else here.split(".")[:-1]
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # a name of a package may be a file of it, which is meant then, or something in its __init__
            named = [f"{module}.{a.name}" if f"{module}.{a.name}" in known else module for a in node.names]
        else:
            continue
        yield from (each for each in named if each in known and each != here)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one file (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(file: str) -> None:
        order[file] = low[file] = len(order)
        stack.append(file)
        for other in sorted(graph[file]):
            if other not in order:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], order[other])
        if low[file] == order[file]:
            part = [stack.pop()]
            while part[-1] != file:
                part.append(stack.pop())
            found.extend([sorted(part)] if len(part) > 1 else [])

    for file in sorted(graph):
        if file not in order:
            visit(file)
    return found


def graph_of(room: str) -> dict[str, set[str]]:
    files = {name_of(file): file for file in (PACKAGE / room).rglob("*.py")}
    return {name: set(imports_of(file, set(files))) for name, file in files.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_of_a_room_imports_one_that_imports_it(room: str) -> None:
    assert circles(graph_of(room)) == []


def test_a_circle_would_be_found_wherever_it_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from house.room.first import a\n")
    (room / "first.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.room import second\n"
    )
    (room / "second.py").write_text("def late():\n    from .third import c\n")
    (room / "third.py").write_text("import house.room.first\n")
    (room / "fourth.py").write_text("from house.room.third import c\n")
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path / "house")
    assert circles(graph_of("room")) == [["house.room.first", "house.room.second", "house.room.third"]]
