"""Which sources are mutated, and whose tests must notice: one row a room."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path("src/interconnected_ai")


@dataclass(frozen=True)
class Room:
    """A part of the package and the tests that answer for it.

    sources: globs below `src/interconnected_ai`. tests: files or folders, from the root of the checkout; what is not there
    is passed over, so that a file may become a folder. preload: modules of other packages that its tests import, loaded
    once instead of once a mutant.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    preload: tuple[str, ...] = ()

    def source_files(self, root: Path) -> list[Path]:
        """Paths from `root`, in order."""
        found = {path for pattern in self.sources for path in (root / PACKAGE).glob(pattern) if path.suffix == ".py"}
        return sorted(path.relative_to(root) for path in found)

    def test_paths(self, root: Path) -> list[str]:
        """Those of `tests` that exist."""
        return [path for path in self.tests if (root / path).exists()]


ROOMS = (
    Room("nn", ("nn/**/*.py",), ("tests/nn",)),
    Room("storage", ("storage/**/*.py",), ("tests/storage",)),
    Room("branches", ("branches/**/*.py",), ("tests/branches",)),
    Room("memory", ("memory/**/*.py",), ("tests/memory",), ("sqlite3", "psycopg", "pymorphy3", "Stemmer")),
    Room(
        "surgery",
        ("surgery/operations.py", "surgery/operations/**/*.py", "surgery/changes.py", "surgery/renumbering.py"),
        ("tests/surgery",),
        tuple(
            f"transformers.models.{family}.modeling_{family}"
            for family in ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss")
        ),
    ),
)
