"""Which message a row is, so that importing it again, or a longer export of the same chat, adds only what is new."""

import hashlib
from collections import Counter

from interconnected_ai.memory.importing.records import Row


class Identities:
    """Ids of an export's rows: their own, else of session, time, speaker and words, as the export has them. For one thread.

    Rows that are alike in all four are told apart by their order among each other, never by their line in the file.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def id_of(self, row: Row) -> str:
        """The id of a row."""
        if row.id is not None:
            return row.id
        words = "\0".join((row.user or "", row.session or "", repr(row.time), row.role, row.content))
        digest = hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:20]
        self._seen[digest] += 1
        number = self._seen[digest]
        return f"row-{digest}" + (f"-{number}" if number > 1 else "")
