"""One of a crowd that writes and reads one folder at once: `python crowd.py write|read FOLDER NAME WAY`.

The folder counts each writer's saves, in several files that must always agree. A writer loads, adds one to its own count and
saves where nobody else has saved meanwhile; then it acknowledges the save by a byte in a file of its own. Both go on
until the file `stop` stands beside the folder.
"""

import sys
from pathlib import Path

from interconnected_ai.errors import ConflictError
from interconnected_ai.storage import atomic_folder, folders, read_folder, read_json, version_of, write_json

KIND = "counts"
FILES = ["a.json", "b.json", "inside/c.json", "d.json"]

Counts = dict[str, int]


def save(folder: Path, counts: Counts, replaces: str | None) -> None:
    with atomic_folder(folder, kind=KIND, replaces=replaces) as scratch:
        (scratch / "inside").mkdir()
        for name in FILES:
            write_json(scratch / name, counts)


def read(folder: Path) -> tuple[str | None, Counts]:
    version, first, *others = version_of(folder), *(read_json(folder / name) for name in FILES)
    assert all(other == first for other in others), f"half of one version, half of another: {first}, {others}"
    return version, first


def load(folder: Path) -> tuple[str | None, Counts]:
    return read_folder(folder, read, kind=KIND)


def add_one(folder: Path, name: str) -> None:
    """Count one save of this writer, after however many conflicts."""
    while True:
        version, counts = load(folder)
        try:
            save(folder, {**counts, name: counts.get(name, 0) + 1}, version)
        except ConflictError:
            continue
        return


def write(folder: Path, name: str) -> None:
    while not (folder.parent / "stop").exists():
        add_one(folder, name)
        with (folder.parent / f"{name}.acknowledged").open("ab") as file:
            file.write(b".")


def look(folder: Path, name: str) -> None:
    last: Counts = {}
    while not (folder.parent / "stop").exists():
        _, counts = load(folder)
        assert all(counts.get(writer, 0) >= count for writer, count in last.items()), f"{last} became {counts}"
        last = counts
        with (folder.parent / f"{name}.reads").open("ab") as file:
            file.write(b".")


if __name__ == "__main__":
    what, place, who, way = sys.argv[1:]
    if way == "two renames":
        folders.exchange = lambda first, second: False
    {"write": write, "read": look}[what](Path(place), who)
