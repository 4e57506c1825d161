"""One text of a corpus and where it stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text, and the name of where it stands: a file, a row of one, a documented function."""

    text: str
    source: str
