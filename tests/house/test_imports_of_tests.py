"""Every room of the tests runs alone: what it takes from another room it imports by its whole name, `tests.ROOM.module`.

pytest puts the folder of a test file before all others when it imports it, so a plain name from another room is found only
where that room is run as well.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROOMS = sorted(path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("*.py")))


def imported_in(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def place_of(name: str, tests: Path) -> Path | None:
    """The file of a module that is named from the checkout, as `tests.ROOM.module`."""
    parts = name.split(".")
    file = tests.joinpath(*parts[1:]).with_suffix(".py") if parts[0] == "tests" and len(parts) > 2 else None
    return file if file is not None and file.is_file() else None


def misnamed(tests: Path) -> list[str]:
    """Imports that work only beside another room."""
    files = sorted(tests.rglob("*.py"))
    by_name = {path.stem: path for path in files if path.parent != tests}
    rooms = {path.parent.name for path in by_name.values()}
    shared = {place for file in files for name in imported_in(file) if (place := place_of(name, tests))}
    found = []
    for file in files:
        for name in imported_in(file):
            first, _, rest = name.partition(".")
            other = by_name.get(first)
            is_elsewhere = other is not None and (other.parent != file.parent or file in shared)
            is_by_room = first in rooms and (tests / first / f"{rest.partition('.')[0]}.py").is_file()
            if is_elsewhere or is_by_room:
                found.append(f"{file.relative_to(tests)} imports {name}")
    return found


def test_what_another_room_has_is_imported_by_its_whole_name() -> None:
    assert misnamed(TESTS) == []


def test_an_import_that_works_only_beside_another_room_would_be_found(tmp_path: Path) -> None:
    files = {
        "conftest.py": "import os",
        "one/shapes.py": "import sizes",
        "one/sizes.py": "import conftest",
        "one/test_one.py": "from shapes import a\nfrom one.sizes import b",
        "two/test_two.py": "import sizes\nfrom tests.one import shapes",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert sorted(set(misnamed(tmp_path))) == [
        "one/shapes.py imports sizes",  # which test_two imports through it
        "one/test_one.py imports one.sizes",
        "one/test_one.py imports one.sizes.b",
        "two/test_two.py imports sizes",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_collected_alone(room: str) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(TESTS / room)]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
