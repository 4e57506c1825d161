"""Which classes a branch takes for which: of a run's test rows, or of the rows held out when the server added the branch."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from interconnected_ai.config import BranchCard
from interconnected_ai.errors import InterconnectedAIError, StorageError
from interconnected_ai.storage import atomic_file, read_json, write_json

_RUN_ANSWERS = "answers.json"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")  # SHA-256; what stands in a folder may be anything


class Confusions:
    """Counts that were kept of branches, each under the fingerprint of its outputs, so that none is shown of another branch.

    Threads: any number at once, in one process.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def keep(self, fingerprint: str, counts: list[list[int]]) -> None:
        """Keep what a branch answered to rows held out: (right class, answer, how many). Raises `StorageError`."""
        try:
            self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"could not make {self._place}: {error.strerror or error}") from error
        with atomic_file(self._file(fingerprint)) as scratch:
            write_json(scratch, {"format_version": 1, "counts": counts})

    def forget(self, card: BranchCard) -> None:
        """Let go what was kept of a branch that is gone."""
        if (file := self._file_of(card)) is not None:
            file.unlink(missing_ok=True)

    def of(self, card: BranchCard, folder: Path | None) -> dict[str, Any] | None:
        """The counts and what rows they are of; None where nobody kept any. folder: where the branch's system stands."""
        if (kept := self._kept(card)) is not None:
            return _told("validation", kept)
        if folder is not None and (counts := _of_run(card, folder.parent / _RUN_ANSWERS)):
            return _told("test", counts)
        return None

    def _kept(self, card: BranchCard) -> list[list[int]] | None:
        file = self._file_of(card)
        if file is None or not file.is_file():
            return None
        try:
            content = read_json(file)
        except InterconnectedAIError:
            return None
        return _counts(content.get("counts"), card.spec.num_classes)

    def _file_of(self, card: BranchCard) -> Path | None:
        return self._file(card.fingerprint) if _FINGERPRINT.fullmatch(card.fingerprint or "") else None

    def _file(self, fingerprint: str | None) -> Path:
        assert _FINGERPRINT.fullmatch(fingerprint or "")
        return self._place / f"{fingerprint}.json"


def _of_run(card: BranchCard, path: Path) -> list[list[int]] | None:
    """The counts of the run that a system came from, where they are of a branch with these classes."""
    from interconnected_ai.training import kept_answers

    if card.trained != "joint":
        return None
    try:
        found = kept_answers(path).get(card.name)
    except InterconnectedAIError:
        return None
    if found is None or tuple(found.labels) != card.spec.labels:
        return None
    pairs = Counter(zip(found.targets, found.answers, strict=False))
    return [[right, said, count] for (right, said), count in sorted(pairs.items())]


def _counts(found: Any, num_classes: int) -> list[list[int]] | None:
    """Counts as they were read; None where a person has spoilt them."""
    if not isinstance(found, list):
        return None
    for each in found:
        if not (isinstance(each, list) and len(each) == 3 and all(type(part) is int for part in each)):
            return None
        if not (0 <= each[0] < num_classes and 0 <= each[1] < num_classes and each[2] >= 0):
            return None
    return found


def _told(rows: str, counts: list[list[int]]) -> dict[str, Any]:
    return {"rows": rows, "num_rows": sum(count for *_, count in counts), "counts": counts}
