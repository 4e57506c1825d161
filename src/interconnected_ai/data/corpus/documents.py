"""One text of a corpus and where it stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text, and the name of where it stands: a file, a row of one, a documented function.

    continues: the text goes on from the document before it; both are pieces of one long file.
    """

    text: str
    source: str
    continues: bool = False
