"""What became of each mutant, a line each in a file that grows: a cut campaign goes on where it stopped."""

import difflib
import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.mutants.operators import Mutant

# killed: a test failed, or the tests could not even be collected. timeout: they took many times longer than without the
# fault, which a test run would notice too. survived: all passed. unseen: no test runs the line.
OUTCOMES = ("killed", "timeout", "survived", "unseen")


@dataclass(frozen=True)
class Record:
    """A tried mutant. source: hash of the file it was made from; tests: hash of the room's tests."""

    room: str
    mutant: Mutant
    outcome: str
    by: str  # the test that noticed, and how it failed
    num_tests: int
    seconds: float
    diff: str
    source: str
    tests: str

    @property
    def noticed(self) -> bool:
        """Whether the tests would have stopped this fault."""
        return self.outcome in ("killed", "timeout")

    def holds(self, source: str, tests: str) -> bool:
        """Whether it would come out the same: one that was noticed stays so while its file stands; others need new tests."""
        return self.source == source and (self.noticed or self.tests == tests)


class Records:
    """The records of a folder. One process at a time; its threads may call at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._of = {record.mutant.key: record for record in _read(file)}

    def get(self, mutant: Mutant) -> Record | None:
        """The last word on this mutant."""
        return self._of.get(mutant.key)

    def add(self, record: Record) -> None:
        """On disk before it counts."""
        with self._lock, self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            self._of[record.mutant.key] = record


def diff_of(path: str, before: str, after: str) -> str:
    """The change as a unified diff with one line around it."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, n=1, lineterm="")
    return "\n".join(list(lines)[2:])


def hash_of(texts: Iterable[str]) -> str:
    """One short hash of several texts."""
    total = hashlib.sha256()
    for text in texts:
        total.update(text.encode() + b"\0")
    return total.hexdigest()[:16]


def _read(file: Path) -> Iterable[Record]:
    if not file.exists():
        return
    text = file.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:  # the run was cut while it wrote this line
        file.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    for line in whole.splitlines():
        content = json.loads(line)
        mutant = content.pop("mutant")
        first, last = mutant.pop("lines")
        yield Record(mutant=Mutant(**mutant, lines=(first, last)), **content)
