"""What a quickstart learns from: docstrings of installed libraries, Russian messages of installed programs, or a folder."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.data import (
    LIBRARIES,
    PROGRAMS,
    Rows,
    Splits,
    docstring_rows,
    is_table,
    message_rows,
    read_rows,
    split_rows,
)
from interconnected_ai.errors import DataError

TEST, VALIDATION = 0.2, 0.1


@dataclass(frozen=True)
class QuickstartTexts:
    """first: the branches that are trained together. later: the one that is added."""

    first: Splits
    later: Splits

    @property
    def names(self) -> list[str]:
        """The first branches."""
        return self.first.train.branch_names

    @property
    def later_name(self) -> str:
        """The branch that is added."""
        return self.later.train.branch_names[0]


def english_texts(*, seed: int = 0) -> QuickstartTexts:
    """Docstrings by module: three libraries, and scikit-learn."""
    *first, later = LIBRARIES
    return QuickstartTexts(library_splits(first, seed=seed), library_splits([later], seed=seed))


def russian_texts(*, seed: int = 0) -> QuickstartTexts:
    """Russian messages by the part of the program that says them: JupyterLab and Django, and django-allauth."""

    def splits(names: Iterable[str]) -> Splits:
        rows = {name: message_rows(name) for name in names}
        return _held_out(
            [Rows.of_branch(n, [r.text for r in found], [r.label for r in found]) for n, found in rows.items()], seed
        )

    *first, later = PROGRAMS
    return QuickstartTexts(splits(first), splits([later]))


def own_texts(folder: Path, *, text: str = "text", label: str = "label", seed: int = 0) -> QuickstartTexts:
    """Each table in the folder is a branch with the file's name; the last by name is the one that is added.

    Raises `DataError` for fewer than two tables.
    """
    tables = sorted(path for path in folder.glob("*") if path.is_file() and is_table(str(path)))
    if len(tables) < 2:
        raise DataError(
            f"{folder} holds {len(tables)} tables such as bank.csv; needs two or more, one for each branch, with the columns "
            f"{text!r} and {label!r}: the last by name is added to a system of the others"
        )
    rows = [read_rows(path, text, {path.name.split(".")[0]: label}) for path in tables]
    return QuickstartTexts(_held_out(rows[:-1], seed), _held_out(rows[-1:], seed))


TEXTS: Mapping[str, Callable[[], QuickstartTexts]] = {"en": english_texts, "ru": russian_texts}


def library_splits(names: Sequence[str], *, seed: int = 0) -> Splits:
    """Docstrings of the named libraries, one branch each, 20 % to measure on and 10 % to stop by."""
    rows = []
    for name in names:
        found = docstring_rows(name)
        rows.append(Rows.of_branch(name, [row.text for row in found], [row.label for row in found]))
    return _held_out(rows, seed)


def _held_out(rows: Sequence[Rows], seed: int) -> Splits:
    held, validation, train = split_rows(Rows.joined(rows), [TEST, VALIDATION], seed)
    return Splits(train, validation, held)
