"""A copy of the checkout to put faults into: whatever happens to the run, the checkout itself stays as it is."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".mutants", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "site", "runs", "*.egg-info"
)


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """A folder with everything that tests may read, gone at the end. No compiled files: Python tells a stale one by its
    size and its second, and a mutant differs in neither.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(root, copy, ignore=_LEFT_OUT, symlinks=True)
        yield copy
