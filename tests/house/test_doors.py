"""From room to room one goes through the door: `from interconnected_ai.nn import MoELayer`, never `…nn.moe`.

So the files of a room can be moved and split, and nobody outside notices. Imports inside functions and under TYPE_CHECKING
count.
"""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import interconnected_ai

PACKAGE = Path(interconnected_ai.__file__).parent
FILES = sorted(file for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE or file.name != "__init__.py")
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file())


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every module of ours that a file imports from, with the names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("interconnected_ai."):
            yield str(node.module), tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names if alias.name.startswith("interconnected_ai."))


def past_the_door(file: Path) -> list[str]:
    """What the file imports from inside other rooms, and what their doors do not offer."""
    found = []
    for module, names in imported(file):
        _, room, *inside = module.split(".")
        if room == room_of(file):
            continue
        if inside:
            found.append(f"{module}: import {', '.join(names)} from interconnected_ai.{room}")
        elif room in ROOMS:
            offered = import_module(module).__all__
            found += [f"{module} does not offer {name}: add it to its __all__" for name in names if name not in offered]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_goes_past_a_door(file: Path) -> None:
    assert past_the_door(file) == []


def test_what_goes_past_a_door_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    file = tmp_path / "cli" / "late.py"
    file.parent.mkdir()
    file.write_text(
        "def run():\n    from interconnected_ai.nn.moe import MoELayer\n    from interconnected_ai.planner import _secret\n"
        "    import interconnected_ai.text.stems\n    from interconnected_ai.cli.output import Output\n"
    )
    assert [words.split(":")[0] for words in past_the_door(file)] == [
        "interconnected_ai.nn.moe",
        "interconnected_ai.planner does not offer _secret",
        "interconnected_ai.text.stems",
    ]


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_a_door_offers_what_it_names(room: str) -> None:
    door = import_module(f"interconnected_ai.{room}")
    assert len(set(door.__all__)) == len(door.__all__)
    assert [name for name in door.__all__ if not hasattr(door, name)] == []
