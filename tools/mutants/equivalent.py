"""Mutants that no test can notice, since the program does the same with them: named one by one, with the reason."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.mutants.operators import Mutant

FILE = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """path, function, before, after: as a report shows the mutant; several equal ones in a function are meant together."""

    path: str
    function: str
    before: str
    after: str
    why: str

    def is_of(self, mutant: Mutant) -> bool:
        """Whether this entry speaks of that mutant."""
        return (self.path, self.function, self.before, self.after) == (
            mutant.path,
            mutant.function,
            mutant.before,
            mutant.after,
        )


def read_equivalents(file: Path = FILE) -> list[Equivalent]:
    """Raises: TypeError for an entry that lacks a key or has one too many."""
    return [Equivalent(**entry) for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("mutant", [])]


def reason(mutant: Mutant, equivalents: Iterable[Equivalent]) -> str | None:
    """Why no test can notice it; None where one should."""
    return next((entry.why for entry in equivalents if entry.is_of(mutant)), None)
