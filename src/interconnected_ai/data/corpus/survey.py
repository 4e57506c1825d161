"""The first reading of a corpus: what is in it, which documents stand twice, and which are held out.

It needs no tokenizer, so that one can be learnt from the texts that are not held out."""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.corpus.report import CorpusReport, SideReport, Tally
from interconnected_ai.data.corpus.texts import SIDES, TRAIN, Texts
from interconnected_ai.errors import DataError
from interconnected_ai.text import digest_of, language_of

LEFT_OUT = 255  # the side of a document that is empty or a copy
_FEW_FILES = 40  # of fewer texts than these, pieces are held out instead of whole ones
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Survey:
    """What the first reading found. sides: (num_documents,) of every document in reading order, `LEFT_OUT` for some."""

    texts: Texts
    sides: np.ndarray
    report: CorpusReport

    def documents(self) -> Iterator[tuple[int, int, Document]]:
        """Every document that is kept: its side, its source's number, itself.

        Raises `DataError` when a source is no longer what it was at the first reading.
        """
        for read, side in zip_longest(self.texts.documents(), self.sides):
            if read is None or side is None:
                raise DataError("the sources changed while they were read; leave them alone meanwhile, and try again")
            if side != LEFT_OUT:
                yield int(side), *read

    def training_texts(self) -> Iterator[str]:
        """The texts that a tokenizer may be learnt from: those that are not held out."""
        return (document.text for side, _, document in self.documents() if side == TRAIN)


@checked
def survey(texts: Texts) -> Survey:
    """Read everything once. Raises `DataError` when nothing is left, or too little to hold out what is asked for."""
    found = _Found(texts)
    for number, document in texts.documents():
        found.add(number, document)
    sides = found.dealt_out()
    return Survey(texts, sides, found.report(sides))


class _Found:
    """Per document 18 bytes and an entry in a set: that is all that grows with a corpus, its text does not stay in memory."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.tallies = [Tally(source.name, dict(source.left_out())) for _, source in texts.sources]
        self.seen: set[int] = set()
        self.sides, self.begins, self.digests, self.sizes = array("B"), array("B"), array("Q"), array("Q")

    def add(self, number: int, document: Document) -> None:
        """Note a document, whether it is kept or not."""
        size, tally = len(document.text.encode()), self.tallies[number]
        digest = digest_of(document.text)
        if not document.text.strip():
            side = LEFT_OUT
            tally.left_out("empty text")
        elif digest in self.seen:
            side = LEFT_OUT
            tally.left_out("duplicate")
        else:
            side = self.texts.sources[number][0]
            tally.add(document, size, len(_WORD.findall(document.text)), language_of(document.text))
            self.seen.add(digest)
        self.sides.append(side)
        self.begins.append(not document.continues)
        self.digests.append(digest)
        self.sizes.append(size)

    def dealt_out(self) -> np.ndarray:
        """The side of every document, with those that are held out of the ones to learn from."""
        sides = np.array(self.sides, dtype=np.uint8)
        learnt = np.flatnonzero(sides == TRAIN)
        if not len(learnt):
            raise DataError(
                "the sources hold no text to learn from; every document is empty or a copy of a held-out one"
            )
        files = np.cumsum(np.array(self.begins, dtype=np.int64))[learnt]
        _, firsts, files = np.unique(files, return_index=True, return_inverse=True)
        if len(firsts) < _FEW_FILES:
            firsts = files = np.arange(len(learnt))
        digests = np.array(self.digests, dtype=np.uint64)[learnt][firsts]
        sizes = np.bincount(files, weights=np.array(self.sizes, dtype=np.float64)[learnt])
        sides[learnt] = deal_out(digests, sizes, self.texts.fractions, self.texts.seed)[files]
        return sides

    def report(self, sides: np.ndarray) -> CorpusReport:
        """All figures but those of tokens."""
        sizes = np.array(self.sizes, dtype=np.int64)
        per_side = [
            SideReport(name, int((sides == side).sum()), int(sizes[sides == side].sum()))
            for side, name in enumerate(SIDES)
        ]
        return CorpusReport(tuple(tally.report() for tally in self.tallies), tuple(per_side))


def deal_out(digests: np.ndarray, sizes: np.ndarray, fractions: Sequence[float], seed: int) -> np.ndarray:
    """The side of each text: 0 is learnt from, 1, 2, … hold about these fractions of all bytes.

    A text's place in the queue follows from its own content and the seed, so adding some moves few of the others. A side
    gets texts from the queue while they fit, or the shortest one. Raises `DataError` when there are too few.
    """
    wanted = [(side, fraction) for side, fraction in enumerate(fractions, start=1) if fraction > 0]
    if len(digests) <= len(wanted):
        raise DataError(
            f"{len(digests)} texts are too few to hold out {' and '.join(SIDES[side] for side, _ in wanted)}; give more text, "
            "unit: line or paragraph, sources of their own for the held-out sides, or fraction 0"
        )
    queue = np.argsort(_mixed(digests, seed), kind="stable")
    sides = np.zeros(len(digests), dtype=np.uint8)
    for still_wanted, (side, fraction) in zip(range(len(wanted), 0, -1), wanted, strict=True):
        waiting = queue[sides[queue] == TRAIN]
        held = _first_that_fit(waiting, sizes, fraction * float(sizes.sum()))
        sides[held[: len(waiting) - still_wanted]] = side  # one for each of the other sides, and one to learn from
    return sides


def _first_that_fit(waiting: np.ndarray, sizes: np.ndarray, room: float) -> np.ndarray:
    small = waiting[sizes[waiting] <= room]
    fitting = small[np.cumsum(sizes[small]) <= room]
    return fitting if len(fitting) else waiting[[np.argmin(sizes[waiting])]]


def _mixed(digests: np.ndarray, seed: int) -> np.ndarray:
    """Other random-looking numbers for every seed (the finaliser of SplitMix64, Steele et al. 2014)."""
    number = digests + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
