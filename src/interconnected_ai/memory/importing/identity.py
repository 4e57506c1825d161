"""Which message a row is, so that importing it again, or a longer export of the same chat, adds only what is new."""

import hashlib
from collections import Counter

from interconnected_ai.memory.importing.records import Row


class Identities:
    """Ids of one file's rows: their own, else of session, time, speaker and words. For one thread.

    Rows that are alike in all four are told apart by their order among each other, never by their line in the file.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def id_of(self, row: Row, user: str, session: str) -> str:
        """The id of a row, which belongs to this user and session."""
        if row.id is not None:
            return row.id
        words = "\0".join((user, session, repr(row.time), row.role, row.content))
        digest = hashlib.sha256(words.encode("utf-8", "surrogatepass"))
        number = self._seen[digest.digest()]
        self._seen[digest.digest()] += 1
        return f"row-{digest.hexdigest()[:20]}" + (f"-{number + 1}" if number else "")
